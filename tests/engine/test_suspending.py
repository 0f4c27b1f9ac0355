"""on_error="suspend": code that raised waits to be mended, and goes on as if it had never raised."""

from __future__ import annotations

import asyncio
import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.exceptions import ClientError, ConfigurationError, WorkflowFailedError, WorkflowSuspendedError
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, wait_until
from tests.engine.test_pausing import replays


@activity
def mendable_step(x: int) -> int:
    """Add one."""
    return x + 1


def broken_report() -> Any:
    """Define a workflow that raises behind a step and a sleep."""

    @workflow(name="mendable_report", on_error="suspend")
    def report(x: int) -> object:
        mendable_step(x)
        nbflow.sleep("1 hour")
        raise KeyError("city")

    return report


def mended_report() -> Any:
    """Define it so that it goes on."""

    @workflow(name="mendable_report", on_error="suspend")
    def report(x: int) -> object:
        first = mendable_step(x)
        nbflow.sleep("1 hour")
        return first, nbflow.wait_for_signal("word"), mendable_step(first)

    return report


def test_a_waiting_caller_is_told_that_the_code_raised(env: WorkflowEnvironment) -> None:
    """Now and later, with the cause and with what to do; the execution is open and shows its failure."""
    handle = broken_report().start(1)
    for _ in range(2):
        with pytest.raises(WorkflowSuspendedError, match=r"suspended: KeyError.*run its cell again.*resume") as told:
            handle.result(timeout=10)
        assert told.value.cause.type == "KeyError"  # type: ignore[union-attr]
        assert str(pickle.loads(pickle.dumps(told.value))) == str(copy.copy(told.value)) == str(told.value)
    row = handle.describe()
    assert (row["status"], row["failure_type"], row["close_time"]) == ("Suspended", "KeyError", None)
    assert nbflow.failures()[["failed", "failure_type"]].values.tolist() == [["execution", "KeyError"]]
    assert event_types(handle)[-2:] == ["TimerFired", "WorkflowExecutionPaused"]
    assert replays(handle, env)


def test_running_the_mended_cell_resumes_it(env: WorkflowEnvironment) -> None:
    """What came meanwhile is applied; done work is not done again; the history replays with the new code."""
    handle = broken_report().start(1)
    with pytest.raises(WorkflowSuspendedError):
        handle.result(timeout=10)
    handle.signal("word", "hello")
    mended = mended_report()
    assert handle.result(timeout=10) == (2, "hello", 3)
    pause = ["WorkflowExecutionPaused", "Signaled", "WorkflowExecutionUnpaused"]
    assert event_types(handle)[5:9] == ["TimerFired", *pause]
    assert handle.describe()["definition_hash"] == mended.definition().hash
    assert replays(handle, env)


def test_it_stays_suspended_over_a_restart_and_is_mended_there(tmp_path: Path) -> None:
    """The next process knows that it is suspended; there the mended cell resumes it, and it is rebuilt by that."""
    path = tmp_path / "a.duckdb"
    with WorkflowEnvironment(path):
        handle = broken_report().options(id="restarted").start(1)
        with pytest.raises(WorkflowSuspendedError):
            handle.result(timeout=10)
    with WorkflowEnvironment(path) as env:
        handle = nbflow.get("restarted")
        assert handle.status == handle.describe()["status"] == "Suspended"
        broken_report()  # the same cell once more mends nothing
        with pytest.raises(WorkflowSuspendedError):
            handle.result(timeout=10)
        mended_report()
        wait_until(lambda: handle.status == "Running")
    with WorkflowEnvironment(path) as env:
        handle = nbflow.get("restarted")
        handle.signal("word", "hello")
        assert handle.result(timeout=10) == (2, "hello", 3)
        assert replays(handle, env)


def test_resume_tries_again_with_the_same_code(env: WorkflowEnvironment) -> None:
    """As after an outage. If it raises again, it is suspended again; each try is in the history."""
    handle = broken_report().start(1)
    with pytest.raises(WorkflowSuspendedError):
        handle.result(timeout=10)
    handle.resume()
    with pytest.raises(WorkflowSuspendedError):
        handle.result(timeout=10)
    pauses = ["WorkflowExecutionPaused", "WorkflowExecutionUnpaused", "WorkflowExecutionPaused"]
    assert event_types(handle)[6:] == pauses
    assert replays(handle, env)
    with pytest.raises(ClientError, match="suspended"):
        handle.unpause()
    mended_report()
    handle.signal("word", 1)
    assert handle.result(timeout=10) == (2, 1, 3)
    assert replays(handle, env)


def test_code_that_does_not_fit_leaves_it_suspended(env: WorkflowEnvironment) -> None:
    """The caller hears why, and the log tells it."""
    handle = broken_report().start(1)
    with pytest.raises(WorkflowSuspendedError):
        handle.result(timeout=10)

    @workflow(name="mendable_report", on_error="suspend")
    def report(x: int) -> object:
        return nbflow.sleep("1 minute")

    with pytest.raises(WorkflowSuspendedError):
        handle.result(timeout=10)
    assert handle.status == "Suspended"
    logged = nbflow.sql("SELECT message FROM logs WHERE message LIKE '%stays suspended%'").message
    assert "StartTimer" in logged[0]
    handle.terminate()
    assert handle.status == "Terminated"


def test_the_first_lines_may_raise(env: WorkflowEnvironment) -> None:
    """Then the start itself is taken back, and runs once more when the code is mended."""

    @workflow(name="raises_at_once", on_error="suspend")
    def broken() -> float:
        raise ValueError(nbflow.random().random())

    handle = broken.start()
    with pytest.raises(WorkflowSuspendedError):
        handle.result(timeout=10)
    assert event_types(handle) == ["Started", "WorkflowExecutionPaused"]

    @workflow(name="raises_at_once", on_error="suspend")
    def mended() -> int:
        return mendable_step(1)

    assert handle.result(timeout=10) == 2
    assert replays(handle, env)


def test_other_work_of_a_suspended_execution_ends(env: WorkflowEnvironment) -> None:
    """An activity under way when the code raised comes to its outcome, which the mended code gets."""
    gate: list[int] = []

    @activity(name="gated_of_suspended")
    def gated() -> str:
        while not gate:
            nbflow.heartbeat()
        return "through"

    @workflow(name="raises_beside", on_error="suspend")
    async def broken() -> str:
        asyncio.ensure_future(gated())  # noqa: RUF006  it raises before
        await mendable_step(1)
        raise ValueError("no")

    handle = broken.start()
    with pytest.raises(WorkflowSuspendedError):
        handle.result(timeout=10)
    gate.append(1)
    wait_until(lambda: event_types(handle)[-1] == "ActivityTaskCompleted")

    @workflow(name="raises_beside", on_error="suspend")
    async def mended() -> object:
        pending = gated()
        await mendable_step(1)
        return await pending

    assert handle.result(timeout=10) == "through"
    assert replays(handle, env)


def test_without_it_an_exception_fails_the_execution(env: WorkflowEnvironment) -> None:
    """The default; and other words are refused."""

    @workflow
    def fails_plainly() -> None:
        raise ValueError("no")

    with pytest.raises(WorkflowFailedError):
        fails_plainly()
    with pytest.raises(ConfigurationError, match="on_error"):
        workflow(on_error="ignore")
