"""nbflow with `async def` workflows and activities."""

from __future__ import annotations

import asyncio
from typing import Any

import nbflow
from benchmarks.engines.nbflow_log import w9
from benchmarks.engines.nbflow_runs import Plays, stamp
from benchmarks.measure import unlike

__all__ = ["w9"]


@nbflow.activity
async def noop(value: int) -> int:
    stamp()
    return value


@nbflow.activity
async def blob(size: int, at: int) -> str:
    stamp()
    return unlike(size, at)


@nbflow.workflow
async def chain(steps: int) -> int:
    total = 0
    for at in range(steps):
        total += await noop(at)
    return total


@nbflow.workflow
async def fan(steps: int) -> int:
    return sum(await asyncio.gather(*(noop(at) for at in range(steps))))


@nbflow.workflow
async def sleeper() -> None:
    await nbflow.sleep(3600)


@nbflow.workflow
async def blocked(steps: int) -> Any:
    for at in range(steps):
        await noop(at)
    return await nbflow.wait_for_signal("go")


@nbflow.workflow
async def large_chain(steps: int, size: int) -> int:
    for at in range(steps):
        await blob(size, at)
    return steps


globals().update(Plays(chain, fan, sleeper, blocked, large_chain).functions())
