"""The ordered events of an execution are those a Temporal server records for the same code, workflow tasks aside."""

from __future__ import annotations

import asyncio

import pytest

import nbflow
from nbflow.core.failures import Failure, RetryState, TimeoutType
from nbflow.exceptions import ApplicationError

SCHEDULED, STARTED, COMPLETED = "ActivityTaskScheduled", "ActivityTaskStarted", "ActivityTaskCompleted"


@nbflow.activity
def fetch():
    """TRY_CANCEL, the default."""


@nbflow.activity(cancellation_type="WAIT_CANCELLATION_COMPLETED")
def fetch_wait():
    """Waits until the activity has let the cancellation pass."""


@nbflow.activity(cancellation_type="ABANDON")
def fetch_abandon():
    """Goes on at once and tells nobody."""


async def one_activity():
    return await fetch()


def one_activity_def():
    return fetch()


@pytest.mark.parametrize("function", [one_activity, one_activity_def])
def test_one_activity(play, function):
    """Scheduled at once; Started is written late, together with the outcome."""
    player = play(function)
    assert player.types == ["Started", SCHEDULED]
    player.complete(0, "rows")
    assert player.types == ["Started", SCHEDULED, STARTED, COMPLETED, "Completed"]
    assert player.result == "rows"


def test_retries_leave_no_events(play):
    """Two failed attempts show only as attempt 3 and the last failure of the one Started."""
    player = play(one_activity).complete(0, "rows", attempt=3, last_failure=Failure(message="attempt 2 failed"))
    assert player.types == ["Started", SCHEDULED, STARTED, COMPLETED, "Completed"]


@pytest.mark.parametrize("retry_state", [RetryState.MAXIMUM_ATTEMPTS_REACHED, RetryState.NON_RETRYABLE_FAILURE])
def test_an_activity_that_fails_for_good(play, retry_state):
    """The execution fails with ActivityError caused by ApplicationError, retry states as Temporal gives them."""
    player = play(one_activity).fail(0, ApplicationError("no", type="Bad"), retry_state, attempt=5)
    assert player.types == ["Started", SCHEDULED, STARTED, "ActivityTaskFailed", "Failed"]
    assert player.failure.kind == "activity"
    assert player.failure.info["retry_state"] == retry_state
    assert player.failure.cause.info["type"] == "Bad"
    assert player.history[-1].retry_state == RetryState.RETRY_POLICY_NOT_SET


@pytest.mark.parametrize(
    ("timeout_type", "ran"),
    [
        (TimeoutType.START_TO_CLOSE, True),
        (TimeoutType.HEARTBEAT, True),
        (TimeoutType.SCHEDULE_TO_CLOSE, True),
        (TimeoutType.SCHEDULE_TO_CLOSE, False),
        (TimeoutType.SCHEDULE_TO_START, False),
    ],
)
def test_an_activity_that_times_out(play, timeout_type, ran):
    """An attempt that ran has its Started; one that never did has none."""
    player = play(one_activity).time_out(0, timeout_type, ran=ran)
    assert player.types == ["Started", SCHEDULED, *[STARTED] * ran, "ActivityTaskTimedOut", "Failed"]
    assert player.failure.cause.kind == "timeout"
    assert player.failure.cause.info["timeout_type"] == timeout_type


async def one_timer():
    await nbflow.sleep(60)


def one_timer_def():
    nbflow.sleep(60)


@pytest.mark.parametrize("function", [one_timer, one_timer_def])
def test_a_timer(play, function):
    """Timers are numbered from 1 as text."""
    player = play(function)
    assert player.history[1].timer_id == "1"
    assert player.history[1].fire_time == player.now + 60_000_000
    assert player.fire().types == ["Started", "TimerStarted", "TimerFired", "Completed"]


def race(activity):
    async def run():
        try:
            async with asyncio.timeout(10):
                return await activity()
        except TimeoutError:
            return "late"

    return run


async def race_of_futures():
    work, clock = fetch(), nbflow.sleep(10)
    done, pending = await asyncio.wait([work, clock], return_when=asyncio.FIRST_COMPLETED)
    for loser in pending:
        loser.cancel()
    return len(done)


def test_a_race_that_the_activity_wins(play):
    """The timer is cancelled before the execution completes."""
    player = play(race_of_futures).complete(0)
    assert player.types == [
        "Started", SCHEDULED, "TimerStarted", STARTED, COMPLETED, "TimerCanceled", "Completed",
    ]  # fmt: skip


def test_a_race_that_the_timer_wins_try_cancel(play):
    """Cancellation is requested and the code goes on at once; nothing follows the close."""
    player = play(race_of_futures).fire()
    assert player.types == [
        "Started", SCHEDULED, "TimerStarted", "TimerFired", "ActivityTaskCancelRequested", "Completed",
    ]  # fmt: skip


def test_a_race_that_the_timer_wins_wait_cancellation(play):
    """The code goes on when the activity has let the cancellation pass."""
    player = play(race(fetch_wait)).fire()
    assert player.types == ["Started", "TimerStarted", SCHEDULED, "TimerFired", "ActivityTaskCancelRequested"]
    player.let_cancel()
    assert player.types[5:] == [STARTED, "ActivityTaskCanceled", "Completed"]
    assert player.result == "late"


def test_a_race_that_the_timer_wins_abandon(play):
    """Nobody is told: no event of cancellation."""
    player = play(race(fetch_abandon)).fire()
    assert player.types == ["Started", "TimerStarted", SCHEDULED, "TimerFired", "Completed"]
    assert player.result == "late"


def test_a_signal_while_sleeping(play):
    """The signal is recorded when it comes and wakes nobody."""
    player = play(one_timer).signal("hello", 1).fire()
    assert player.types == ["Started", "TimerStarted", "Signaled", "TimerFired", "Completed"]


async def waits_for_condition():
    seen = []

    @nbflow.signal
    def go():
        seen.append(1)

    await nbflow.wait_condition(lambda: seen, timeout=60)


async def waits_for_signal():
    await nbflow.wait_for_signal("go", timeout=60)


@pytest.mark.parametrize("function", [waits_for_condition, waits_for_signal])
def test_a_condition_met_by_a_signal(play, function):
    """The timer of the timeout is cancelled."""
    player = play(function).signal("go")
    assert player.types == ["Started", "TimerStarted", "Signaled", "TimerCanceled", "Completed"]


@pytest.mark.parametrize("function", [waits_for_condition, waits_for_signal])
def test_a_condition_that_nobody_meets(play, function):
    """The timeout reaches the code as TimeoutError."""
    player = play(function).fire()
    assert player.types == ["Started", "TimerStarted", "TimerFired", "Failed"]
    assert player.failure.type_name == "TimeoutError"


def waiting_for(activity):
    async def run():
        return await activity()

    return run


def test_workflow_cancel_with_an_activity_running_try_cancel(play):
    """Asked to cancel, the activity is told and the execution ends at once."""
    player = play(one_activity).cancel("enough")
    assert player.types == ["Started", SCHEDULED, "CancelRequested", "ActivityTaskCancelRequested", "Canceled"]


def test_workflow_cancel_with_an_activity_running_in_def(play):
    """The same for a plain def."""
    player = play(one_activity_def).cancel()
    assert player.types == ["Started", SCHEDULED, "CancelRequested", "ActivityTaskCancelRequested", "Canceled"]


def test_workflow_cancel_with_an_activity_running_wait(play):
    """The execution ends when the activity has let the cancellation pass."""
    player = play(waiting_for(fetch_wait)).cancel()
    assert player.types == ["Started", SCHEDULED, "CancelRequested", "ActivityTaskCancelRequested"]
    assert player.let_cancel().types[4:] == [STARTED, "ActivityTaskCanceled", "Canceled"]


def test_workflow_cancel_that_the_activity_swallows(play):
    """The activity completed all the same, so the execution does."""
    player = play(waiting_for(fetch_wait)).cancel().complete(0, 5)
    assert player.types[2:] == [
        "CancelRequested", "ActivityTaskCancelRequested", STARTED, COMPLETED, "Completed",
    ]  # fmt: skip
    assert player.result == 5


def test_workflow_cancel_with_an_activity_running_abandon(play):
    """The activity is not told."""
    player = play(waiting_for(fetch_abandon)).cancel()
    assert player.types == ["Started", SCHEDULED, "CancelRequested", "Canceled"]


@pytest.mark.parametrize("function", [one_timer, one_timer_def])
def test_workflow_cancel_while_sleeping(play, function):
    """The timer is cancelled first."""
    player = play(function).cancel()
    assert player.types == ["Started", "TimerStarted", "CancelRequested", "TimerCanceled", "Canceled"]


def test_workflow_cancel_during_backoff(play):
    """An activity that does not run at the moment has no Started before its Canceled."""
    player = play(waiting_for(fetch_wait)).cancel().let_cancel(0, ran=False)
    assert player.types[3:] == ["ActivityTaskCancelRequested", "ActivityTaskCanceled", "Canceled"]


async def cleans_up():
    try:
        await nbflow.sleep(60)
    except asyncio.CancelledError:
        await fetch()
        raise


def cleans_up_def():
    try:
        nbflow.sleep(60)
    finally:
        fetch()


@pytest.mark.parametrize("function", [cleans_up, cleans_up_def])
def test_workflow_cancel_with_cleanup(play, function):
    """Cleanup code may run activities; the execution is Canceled when it lets the cancellation pass."""
    player = play(function).cancel().complete(0)
    assert player.types == [
        "Started", "TimerStarted", "CancelRequested", "TimerCanceled", SCHEDULED, STARTED, COMPLETED, "Canceled",
    ]  # fmt: skip


def test_a_second_cancel_request_changes_nothing(play):
    """Cleanup is not disturbed."""
    player = play(cleans_up).cancel().cancel()
    assert player.types[4:] == [SCHEDULED, "CancelRequested"]
    assert player.complete(0).types[6:] == [STARTED, COMPLETED, "Canceled"]


async def cancels_itself():
    raise asyncio.CancelledError


def test_a_cancellation_that_nobody_requested_is_a_failure(play):
    """CancelledError out of the blue fails the execution, as on Temporal."""
    player = play(cancels_itself)
    assert player.types == ["Started", "Failed"]
    assert player.failure.kind == "canceled"


async def asks_and_takes_back():
    handle, timer = fetch(), nbflow.sleep(5)
    handle.cancel()
    timer.cancel()


def test_what_is_cancelled_where_it_was_asked_for_leaves_no_event(play):
    """Timers and activities cancelled in the same activation were never there."""
    assert play(asks_and_takes_back).types == ["Started", "Completed"]


async def asks_again_after_taking_back():
    first, second = fetch(), fetch()
    first.cancel()
    await second


def test_taking_back_one_of_two_equal_commands_keeps_the_other(play):
    """It is the handle that counts, not what it asked for."""
    player = play(asks_again_after_taking_back)
    assert player.types == ["Started", SCHEDULED]
    assert player.history[1].activity_id == "2"
    assert player.complete(0).types[-1] == "Completed"


def test_terminating_runs_no_code(play):
    """The closing event is the last one, whatever cleanup the code had in mind."""
    player = play(cleans_up).terminate()
    assert player.types == ["Started", "TimerStarted", "Terminated"]
    assert player.instance.is_closed


async def has_side_effects():
    return nbflow.side_effect(lambda: 7)


def test_a_side_effect_is_a_marker(play):
    """Its value is in the history."""
    player = play(has_side_effects)
    assert player.types == ["Started", "MarkerRecorded", "Completed"]
    assert player.history[1].marker_name == "side_effect"
    assert player.result == 7


async def fans_out():
    return await asyncio.gather(*(fetch() for _ in range(3)))


def test_outcomes_of_a_fan_out_come_in_the_order_of_the_world(play):
    """All are scheduled at once; each outcome is an activation of its own."""
    player = play(fans_out).complete(2, "c").complete(0, "a").complete(0, "b")
    assert player.types == ["Started", *[SCHEDULED] * 3, *[STARTED, COMPLETED] * 3, "Completed"]
    assert player.result == ["a", "b", "c"]


async def takes_updates():
    ended = []

    @nbflow.update
    def at_once(x):
        return x

    @at_once.validator
    def check(x):
        if x < 0:
            raise ValueError(x)

    @nbflow.update
    async def with_activity():
        return await fetch()

    @nbflow.update
    def end():
        ended.append(1)

    await nbflow.wait_condition(lambda: ended)


def test_an_update_that_is_handled_at_once(play):
    """Accepted and completed in one activation; one that ends the workflow is answered before the end."""
    player = play(takes_updates).update("at_once", 1)
    assert player.types == ["Started", "UpdateAccepted", "UpdateCompleted"]
    assert player.history[2].accepted_event_id == 2
    player.update("end")
    assert player.types[3:] == ["UpdateAccepted", "UpdateCompleted", "Completed"]


def test_a_rejected_update_leaves_no_event(play):
    """The next event takes the next id."""
    player = play(takes_updates)
    with pytest.raises(ValueError, match="-1"):
        player.update("at_once", -1)
    assert player.update("at_once", 1).history[1].event_id == 2


def test_an_update_that_runs_an_activity(play):
    """It is completed when its handler has returned."""
    player = play(takes_updates).update("with_activity")
    assert player.types == ["Started", "UpdateAccepted", SCHEDULED]
    player.complete(0, "rows")
    assert player.types[3:] == [STARTED, COMPLETED, "UpdateCompleted"]


async def patches_and_says_so():
    nbflow.patched("one")
    nbflow.upsert_search_attributes({"city": "Oslo"})
    nbflow.upsert_memo({"note": 1})


def test_a_patch_and_what_an_execution_says_of_itself(play):
    """The marker is followed by the list of patches; upserts stand where they were asked for."""
    upsert = "UpsertWorkflowSearchAttributes"
    expected = ["Started", "MarkerRecorded", upsert, upsert, "WorkflowPropertiesModified", "Completed"]
    assert play(patches_and_says_so).types == expected
