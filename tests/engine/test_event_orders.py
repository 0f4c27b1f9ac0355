"""The ordered event types of an execution are those a Temporal server records, workflow-task events aside."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.exceptions import ActivityError, ApplicationError, WorkflowFailedError
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, events_of

QUICK = RetryPolicy(initial_interval=0.01)
SCHEDULED, STARTED, COMPLETED = "ActivityTaskScheduled", "ActivityTaskStarted", "ActivityTaskCompleted"


@pytest.mark.usefixtures("env")
def test_one_activity() -> None:
    """An activity is scheduled, and started together with its outcome."""

    @activity
    def double(x: int) -> int:
        return 2 * x

    @workflow
    def one() -> int:
        return double(4)

    handle = one.start()

    assert handle.result() == 8
    assert event_types(handle) == ["Started", SCHEDULED, STARTED, COMPLETED, "Completed"]


@pytest.mark.usefixtures("env")
def test_retry_then_success() -> None:
    """Failed attempts are no events; the last start tells their number and the last failure."""
    attempts: list[int] = []

    @activity(retry=QUICK)
    def flaky() -> str:
        attempts.append(nbflow.activity_info().attempt)
        if len(attempts) < 3:
            msg = f"attempt {len(attempts)} failed"
            raise ConnectionError(msg)
        return "ok"

    @workflow
    def retrying() -> str:
        return flaky()

    handle = retrying.start()

    assert handle.result() == "ok"
    assert attempts == [1, 2, 3]
    assert event_types(handle) == ["Started", SCHEDULED, STARTED, COMPLETED, "Completed"]
    (started,) = events_of(handle, STARTED)
    assert (started.attempt, started.last_failure.message) == (3, "attempt 2 failed")


@pytest.mark.usefixtures("env")
def test_retries_exhausted() -> None:
    """The last attempt's failure closes the activity, and unhandled, the execution."""

    @activity(retry=RetryPolicy(initial_interval=0.01, maximum_attempts=3))
    def failing() -> None:
        msg = "no luck"
        raise ConnectionError(msg)

    @workflow
    def exhausted() -> None:
        failing()

    handle = exhausted.start()
    with pytest.raises(WorkflowFailedError) as caught:
        handle.result()

    assert event_types(handle) == ["Started", SCHEDULED, STARTED, "ActivityTaskFailed", "Failed"]
    (failed,) = events_of(handle, "ActivityTaskFailed")
    assert failed.retry_state == "MAXIMUM_ATTEMPTS_REACHED"
    cause = caught.value.__cause__
    assert isinstance(cause, ActivityError)
    assert isinstance(cause.__cause__, ApplicationError)
    assert cause.__cause__.type == "ConnectionError"


@pytest.mark.usefixtures("env")
def test_non_retryable() -> None:
    """A programming error is not retried."""

    @activity
    def broken() -> None:
        msg = "a typo"
        raise ValueError(msg)

    @workflow
    def not_retried() -> str:
        try:
            broken()
        except ActivityError as error:
            return error.retry_state
        return ""

    handle = not_retried.start()

    assert handle.result() == "NON_RETRYABLE_FAILURE"
    assert events_of(handle, STARTED)[0].attempt == 1


@pytest.mark.usefixtures("env")
def test_start_to_close_timeout() -> None:
    """An attempt that takes too long times out; without attempts left, so does the activity."""
    release = threading.Event()

    @activity(start_to_close_timeout=0.05, retry=1)
    def slow() -> None:
        release.wait(10)

    @workflow
    def timing_out() -> str:
        try:
            slow()
        except ActivityError as error:
            return error.__cause__.timeout_type
        return ""

    handle = timing_out.start()

    assert handle.result() == "START_TO_CLOSE"
    assert event_types(handle) == ["Started", SCHEDULED, STARTED, "ActivityTaskTimedOut", "Completed"]
    release.set()


def test_schedule_to_start_timeout() -> None:
    """An activity that finds no place in time has no ActivityTaskStarted."""
    from nbflow.engine.engine import EngineOptions

    release = threading.Event()

    @activity(retry=1)
    def hold() -> None:
        release.wait(10)

    @activity(schedule_to_start_timeout=0.05, retry=1)
    def queued() -> None: ...

    @workflow
    async def crowded() -> str:
        first = hold.start()
        try:
            await queued()
        except ActivityError as error:
            release.set()
            await first
            return error.__cause__.timeout_type
        return ""

    with WorkflowEnvironment(options=EngineOptions(threads=1)):
        handle = crowded.start()

        assert handle.result(timeout=10) == "SCHEDULE_TO_START"
        assert [name for name in event_types(handle) if "Activity" in name][:3] == [
            SCHEDULED,
            SCHEDULED,
            "ActivityTaskTimedOut",
        ]


@pytest.mark.usefixtures("env")
def test_heartbeat_timeout_is_retried() -> None:
    """A missing heartbeat ends the attempt; the next one goes on from its details."""
    release = threading.Event()

    @activity(heartbeat_timeout=0.05, retry=QUICK)
    def silent() -> Any:
        details = nbflow.activity_info().heartbeat_details
        if details is None:
            nbflow.heartbeat([7])
            release.wait(10)
        return details

    @workflow
    def beating() -> Any:
        return silent()

    handle = beating.start()

    assert handle.result() == [7]
    (started,) = events_of(handle, STARTED)
    assert (started.attempt, started.last_failure.info["timeout_type"]) == (2, "HEARTBEAT")
    release.set()


@pytest.mark.usefixtures("env")
def test_no_retry_begins_after_schedule_to_close() -> None:
    """When the next attempt can't begin in time, the activity times out at once."""

    @activity(schedule_to_close_timeout=5, retry=RetryPolicy(initial_interval=10))
    def failing() -> None:
        msg = "down"
        raise ConnectionError(msg)

    @workflow
    def early() -> str:
        try:
            failing()
        except ActivityError as error:
            return error.retry_state
        return ""

    handle = early.start()

    assert handle.result() == "TIMEOUT"
    assert event_types(handle) == ["Started", SCHEDULED, STARTED, "ActivityTaskTimedOut", "Completed"]


@pytest.mark.usefixtures("env")
def test_timer() -> None:
    """A sleep of thirty days is two events and no time."""

    @workflow
    def sleeping() -> None:
        nbflow.sleep("30 days")

    handle = sleeping.start()
    handle.result(timeout=5)

    assert event_types(handle) == ["Started", "TimerStarted", "TimerFired", "Completed"]


@pytest.mark.usefixtures("env")
def test_activity_wins_the_race() -> None:
    """The loser, a timer, is cancelled before the execution closes."""

    @activity
    async def quick() -> str:
        return "won"

    @workflow
    async def race() -> str:
        return await asyncio.wait_for(quick(), 3600)

    handle = race.start()

    assert handle.result() == "won"
    assert event_types(handle) == [
        "Started", SCHEDULED, "TimerStarted", STARTED, COMPLETED, "TimerCanceled", "Completed",
    ]  # fmt: skip


@pytest.mark.usefixtures("env")
@pytest.mark.parametrize(
    ("cancellation_type", "after_timer"),
    [
        ("TRY_CANCEL", ["ActivityTaskCancelRequested", "Completed"]),
        ("WAIT_CANCELLATION_COMPLETED", ["ActivityTaskCancelRequested", STARTED, "ActivityTaskCanceled", "Completed"]),
        ("ABANDON", ["Completed"]),
    ],
)
def test_timer_wins_the_race(cancellation_type: str, after_timer: list[str]) -> None:
    """The loser, an activity, is cancelled the way its cancellation type says."""

    @activity(cancellation_type=cancellation_type)
    async def forever() -> None:
        await asyncio.Event().wait()

    @workflow
    async def race() -> str:
        try:
            await asyncio.wait_for(forever(), 0.05)
        except TimeoutError:
            return "timer"
        return "activity"

    handle = race.start()

    assert handle.result(timeout=5) == "timer"
    assert event_types(handle) == ["Started", SCHEDULED, "TimerStarted", "TimerFired", *after_timer]


def test_signal_while_sleeping(env: WorkflowEnvironment) -> None:
    """A signal comes between the timer's start and its end."""

    @workflow
    def sleeping() -> Any:
        nbflow.sleep("1 hour")
        return nbflow.wait_for_signal("note")

    handle = sleeping.start()
    handle.signal("note", {"a": 1})

    assert handle.result() == {"a": 1}
    assert event_types(handle) == ["Started", "TimerStarted", "Signaled", "TimerFired", "Completed"]
    assert env.now() > handle.describe()["start_time"]


@pytest.mark.usefixtures("env")
def test_condition_met_by_a_signal() -> None:
    """A condition that comes true cancels its timer."""

    @workflow
    def waiting() -> list[str]:
        seen: list[str] = []
        nbflow.signal(name="note")(seen.append)
        nbflow.wait_condition(lambda: len(seen) == 1, timeout="1 hour")
        return seen

    handle = waiting.start()
    handle.signal("note", "x")

    assert handle.result() == ["x"]
    assert event_types(handle) == ["Started", "TimerStarted", "Signaled", "TimerCanceled", "Completed"]
