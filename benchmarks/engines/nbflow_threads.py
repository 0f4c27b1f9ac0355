"""nbflow with plain `def` workflows and activities: what most notebooks will have."""

from __future__ import annotations

from typing import Any

import nbflow
from benchmarks.engines.nbflow_runs import Plays, stamp
from benchmarks.measure import unlike


@nbflow.activity
def noop(value: int) -> int:
    stamp()
    return value


@nbflow.activity
def blob(size: int, at: int) -> str:
    stamp()
    return unlike(size, at)


@nbflow.workflow
def chain(steps: int) -> int:
    total = 0
    for at in range(steps):
        total += noop(at)
    return total


@nbflow.workflow
def fan(steps: int) -> int:
    return sum(noop.map(range(steps)))


@nbflow.workflow
def sleeper() -> None:
    nbflow.sleep(3600)


@nbflow.workflow
def blocked(steps: int) -> Any:
    for at in range(steps):
        noop(at)
    return nbflow.wait_for_signal("go")


@nbflow.workflow
def large_chain(steps: int, size: int) -> int:
    for at in range(steps):
        blob(size, at)
    return steps


globals().update(Plays(chain, fan, sleeper, blocked, large_chain).functions())
