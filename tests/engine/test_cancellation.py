"""Cancelling and terminating executions: what is recorded, and what cleanup code may do."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.exceptions import CancelledError, TerminatedError, WorkflowClosedError, WorkflowFailedError
from tests.engine.helpers import event_types, wait_until

SCHEDULED, STARTED = "ActivityTaskScheduled", "ActivityTaskStarted"
pytestmark = pytest.mark.usefixtures("env")


def _cause(handle: nbflow.WorkflowHandle) -> Any:
    with pytest.raises(WorkflowFailedError) as caught:
        handle.result(timeout=5)
    return caught.value.__cause__


@pytest.mark.parametrize(
    ("cancellation_type", "expected"),
    [
        ("TRY_CANCEL", ["ActivityTaskCancelRequested", "Canceled"]),
        ("WAIT_CANCELLATION_COMPLETED", ["ActivityTaskCancelRequested", STARTED, "ActivityTaskCanceled", "Canceled"]),
        ("ABANDON", ["Canceled"]),
    ],
)
def test_cancel_while_an_activity_runs(cancellation_type: str, expected: list[str]) -> None:
    """The activity is cancelled the way its cancellation type says, then the execution is."""

    @activity(cancellation_type=cancellation_type)
    async def forever() -> None:
        await asyncio.Event().wait()

    @workflow
    def waiting() -> None:
        forever()

    handle = waiting.start()
    handle.cancel("enough")

    assert isinstance(_cause(handle), CancelledError)
    assert event_types(handle) == ["Started", SCHEDULED, "CancelRequested", *expected]


def test_an_activity_may_swallow_the_cancellation() -> None:
    """With WAIT_CANCELLATION_COMPLETED, what the activity returns in spite of it counts."""

    @activity(cancellation_type="WAIT_CANCELLATION_COMPLETED")
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        return ""

    @workflow
    async def waiting() -> str:
        return await stubborn()

    handle = waiting.start()
    handle.cancel()

    assert handle.result(timeout=5) == "done all the same"
    assert event_types(handle)[-3:] == [STARTED, "ActivityTaskCompleted", "Completed"]


def test_cancel_while_sleeping() -> None:
    """The timer is cancelled with the execution."""

    @workflow
    def sleeping() -> None:
        nbflow.sleep("1 day")

    handle = sleeping.start()
    handle.cancel()

    assert isinstance(_cause(handle), CancelledError)
    assert event_types(handle) == ["Started", "TimerStarted", "CancelRequested", "TimerCanceled", "Canceled"]


def test_cancel_during_backoff() -> None:
    """An activity that waits for its next attempt is cancelled without having started."""

    @activity(cancellation_type="WAIT_CANCELLATION_COMPLETED", retry=RetryPolicy(initial_interval="1 day"))
    def failing() -> None:
        msg = "down"
        raise ConnectionError(msg)

    @workflow
    def waiting() -> None:
        failing()

    handle = waiting.start()
    wait_until(lambda: len(nbflow.sql("FROM attempts")) == 1)
    handle.cancel()

    assert isinstance(_cause(handle), CancelledError)
    assert event_types(handle)[2:] == [
        "CancelRequested", "ActivityTaskCancelRequested", "ActivityTaskCanceled", "Canceled",
    ]  # fmt: skip


def test_cleanup_runs_activities() -> None:
    """Cleanup code may run activities before it lets the cancellation pass."""
    cleaned: list[str] = []

    @activity
    def clean_up() -> None:
        cleaned.append("yes")

    @workflow
    def careful() -> None:
        try:
            nbflow.sleep("1 day")
        finally:
            clean_up()

    handle = careful.start()
    handle.cancel()

    assert isinstance(_cause(handle), CancelledError)
    assert cleaned == ["yes"]
    assert event_types(handle)[3:] == ["TimerCanceled", SCHEDULED, STARTED, "ActivityTaskCompleted", "Canceled"]


def test_a_swallowed_cancellation_completes() -> None:
    """A workflow that catches the cancellation and returns has completed."""

    @workflow
    async def swallowing() -> str:
        try:
            await nbflow.sleep("1 day")
        except asyncio.CancelledError:
            return "swallowed"
        return ""

    handle = swallowing.start()
    handle.cancel()

    assert handle.result(timeout=5) == "swallowed"


def test_a_second_request_leaves_no_event() -> None:
    """Cancelling twice is recorded once, and cancelling a closed execution does nothing."""
    release = threading.Event()

    @activity(cancellation_type="WAIT_CANCELLATION_COMPLETED", run_in="thread")
    def deaf() -> None:
        release.wait(10)

    @workflow
    def waiting() -> None:
        deaf()

    handle = waiting.start()
    handle.cancel()
    handle.cancel()
    release.set()

    assert isinstance(_cause(handle), CancelledError)
    assert event_types(handle).count("CancelRequested") == 1
    handle.cancel()
    assert handle.status == "Canceled"


def test_terminate_runs_no_code() -> None:
    """A terminated execution has no chance to clean up, and takes no more requests."""

    @workflow
    def careful() -> None:
        try:
            nbflow.sleep("1 day")
        finally:
            nbflow.sleep("1 day")

    handle = careful.start()
    handle.terminate("out of money")

    cause = _cause(handle)
    assert isinstance(cause, TerminatedError)
    assert "out of money" in str(cause)
    assert event_types(handle) == ["Started", "TimerStarted", "Terminated"]
    with pytest.raises(WorkflowClosedError, match="already Terminated"):
        handle.signal("anything")


def test_run_timeout() -> None:
    """An execution whose time is up is closed without running its code."""

    @workflow(run_timeout="1 hour")
    def endless() -> None:
        nbflow.sleep("1 day")

    handle = endless.start()
    with pytest.raises(WorkflowFailedError, match="TimedOut"):
        handle.result(timeout=5)

    assert event_types(handle) == ["Started", "TimerStarted", "TimedOut"]


def test_a_thread_is_told_by_its_heartbeat() -> None:
    """A threaded activity learns of its cancellation when it heartbeats."""
    started = threading.Event()
    stopped = threading.Event()

    @activity(cancellation_type="WAIT_CANCELLATION_COMPLETED")
    def beating() -> None:
        try:
            while not stopped.wait(0.001):
                nbflow.heartbeat()
                started.set()
        finally:
            stopped.set()

    @workflow
    def waiting() -> None:
        beating()

    handle = waiting.start()
    assert started.wait(5)
    handle.cancel()

    assert isinstance(_cause(handle), CancelledError)
    assert stopped.is_set()
