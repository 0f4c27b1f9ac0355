"""Executions that have to do with one another: a fault at any commit, and all end as if undisturbed, each told once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from family_shapes import FAMILIES
from sim_shapes import Shape
from test_commits import Commits, begin, check_history, commits, disturbed, outcome_of

import nbflow
from nbflow.client import WorkflowHandle
from nbflow.core.machines import CHILD, EXTERNAL_CANCEL, EXTERNAL_SIGNAL, advance
from nbflow.testing import WorkflowEnvironment

assert commits  # the fixture


def settled() -> list[Any]:
    """Wait until everybody who can end has ended; return how often what happened, by workflow type."""
    for workflow_id in nbflow.sql("SELECT DISTINCT workflow_id FROM executions")["workflow_id"]:
        outcome_of(nbflow.get(workflow_id))
    query = """
        SELECT runs.name AS workflow_type, event_type, count(*) AS number
        FROM events JOIN (SELECT run_id, name FROM events WHERE event_id = 1) AS runs USING (run_id)
        GROUP BY ALL ORDER BY ALL
    """
    return [tuple(row) for row in nbflow.sql(query).itertuples(index=False)]


def check_families() -> None:
    """Every history is whole, and every machine of what lies between executions takes every event."""
    for run in nbflow.sql("SELECT workflow_id, run_id FROM executions").itertuples(index=False):
        handle = nbflow.get(run.workflow_id, run.run_id)
        check_history(handle)
        states: dict[int, str] = {}
        for event in handle.history():
            kind = type(event).__name__
            machine = next((it for it in (CHILD, EXTERNAL_SIGNAL, EXTERNAL_CANCEL) if kind in names(it)), None)
            if machine is not None:
                number = getattr(event, "initiated_event_id", event.event_id)
                states[number] = advance(machine, states.get(number, "New"), kind, number)


def names(machine: Any) -> set[str]:
    """Name the events of a machine."""
    return {event for row in machine.values() for event in row}


def undisturbed(shape: Shape, path: Path, commits: Commits) -> tuple[list[Any], int]:
    """Run without a fault: what happens, and how many commits that takes."""
    with WorkflowEnvironment(path):
        assert outcome_of(begin(shape)) == shape.expected
        happened = settled()
    return happened, commits.done


def go_on(shape: Shape) -> WorkflowHandle:
    """Take up what the fault left, which may come to its end on opening: that is not begun anew."""
    if not len(nbflow.executions("workflow_id = 'one'")):
        return begin(shape)
    handle = nbflow.get("one")
    shape.drive(handle)
    return handle


SLOW = {"parent_of_chains", "parent_of_three"}


@pytest.mark.parametrize(
    "shape",
    [pytest.param(it, id=it.name, marks=[pytest.mark.slow] * (it.name in SLOW)) for it in FAMILIES],
)
def test_a_fault_at_any_commit_of_a_family(shape: Shape, tmp_path: Path, commits: Commits) -> None:
    """Whichever commit is the last one on the disk, children, signals and cancellations happen once."""
    happened, count = undisturbed(shape, tmp_path / "calm.duckdb", commits)
    for n in range(1, count + 1):
        commits.done, commits.fail_at = 0, n
        path = tmp_path / f"{n}.duckdb"
        disturbed(shape, path, commits)
        with WorkflowEnvironment(path):
            assert outcome_of(go_on(shape)) == shape.expected, f"after a fault at commit {n}"
            assert Counter(settled()) == Counter(happened), f"after a fault at commit {n}"
            check_families()
