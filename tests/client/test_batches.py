"""Batches do the same to many executions, each durably, and tell what became of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.exceptions import SqlError, WorkflowFailedError
from nbflow.testing import WorkflowEnvironment

down: set[int] = set()


@activity(retry=1)
def batch_step(x: int) -> int:
    """Add one, unless it is down."""
    if x in down:
        raise ConnectionError(x)
    return x + 1


@workflow
def batch_listening(x: int) -> int:
    """Wait for a number."""
    return x + nbflow.wait_for_signal("number")


@workflow
def batch_working(x: int) -> int:
    """Work."""
    return batch_step(x)


@pytest.fixture(autouse=True)
def env() -> Iterator[WorkflowEnvironment]:
    """An engine over a store in memory."""
    down.clear()
    with WorkflowEnvironment() as environment:
        yield environment


def test_a_batch_says_whom_it_is_about_before_it_does_anything() -> None:
    """It is chosen when it is made: later executions are not in it."""
    batch_listening.start_many(range(5), ids=[f"b{x}" for x in range(5)])
    batch = nbflow.batch("workflow_type = 'batch_listening' AND workflow_id < $last", last="b3")
    batch_listening.options(id="b0-late").start(1)
    assert (len(batch), repr(batch)) == (3, "<Batch of 3 workflow executions>")
    assert sorted(batch.executions.workflow_id) == ["b0", "b1", "b2"]
    assert set(nbflow.executions().status) == {"Running"}
    with pytest.raises(SqlError):
        nbflow.batch("no such column")


def test_thousands_are_signalled_in_a_few_commits(env: WorkflowEnvironment) -> None:
    """Each gets the signal, and completes."""
    handles = batch_listening.start_many(range(1200))
    commits = env.client.engine.journal.sequence
    began = time.monotonic()
    table = nbflow.batch("status = 'Running'").signal("number", 10)
    assert time.monotonic() - began < 20
    assert env.client.engine.journal.sequence - commits < 120
    assert table.columns.tolist() == ["workflow_id", "run_id", "outcome", "error"]
    assert (len(table), set(table.outcome)) == (1200, {"done"})
    assert [handle.result(timeout=10) for handle in handles[:3]] == [10, 11, 12]


def test_what_fails_for_one_stops_no_other() -> None:
    """The closed ones are told as failed, with why; where there was nothing to do it says so."""
    batch_listening.start_many(range(3), ids=["b0", "b1", "b2"])
    nbflow.get("b1").terminate()
    table = nbflow.batch("workflow_id LIKE 'b%' ORDER BY workflow_id --").pause("rest")
    assert table.outcome.tolist() == ["done", "failed", "done"]
    assert "WorkflowClosedError" in table.error[1]
    assert set(nbflow.batch("status = 'Paused'").pause().outcome) == {"unchanged"}
    assert set(nbflow.batch("status = 'Paused'").unpause().outcome) == {"done"}
    assert set(nbflow.batch("status = 'Running'").cancel("enough").outcome) == {"done"}
    assert sorted(nbflow.executions().status) == ["Canceled", "Canceled", "Terminated"]


def test_failed_executions_are_rewound_and_reset_together() -> None:
    """The table names the new runs."""
    down.update({1, 2})
    for x, handle in enumerate(batch_working.start_many(range(4))):
        with pytest.raises(WorkflowFailedError) if x in down else nullcontext():
            handle.result(timeout=10)
    down.clear()
    table = nbflow.batch("status = 'Failed'").rewind("it is up again")
    assert set(table.outcome) == {"done"}
    results = [nbflow.get(row.workflow_id, row.new_run_id).result(timeout=10) for row in table.itertuples()]
    assert sorted(results) == [2, 3]
    again = nbflow.batch("status = 'Failed'").reset("first")
    assert all(nbflow.get("", run_id).result(timeout=10) for run_id in again.new_run_id)


def test_an_empty_batch_does_nothing() -> None:
    """And says so in a table with no rows."""
    assert len(nbflow.batch("status = 'Failed'").terminate()) == 0
