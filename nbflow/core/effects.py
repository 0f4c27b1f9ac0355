"""What each event does to an execution, as two tables: events from outside, and events that record a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from nbflow.core.child_effects import APPLICATIONS_BETWEEN, CONFIRMATIONS_BETWEEN
from nbflow.core.events import (
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    HistoryEvent,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionPaused,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
    WorkflowExecutionUnpaused,
    WorkflowExecutionUpdateAccepted,
    WorkflowExecutionUpdateCompleted,
    WorkflowTaskCompleted,
    WorkflowTaskFailed,
    WorkflowTaskScheduled,
    WorkflowTaskStarted,
    WorkflowTaskTimedOut,
)
from nbflow.core.failures import ACTIVITY as ACTIVITY_FAILURE
from nbflow.core.failures import Failure, exception_of_failure
from nbflow.core.machines import ACTIVITY, TIMER, advance
from nbflow.core.operations import ActivityHandle, DurableTimer
from nbflow.core.updates import UpdateState
from nbflow.exceptions import HistoryCorruptedError

if TYPE_CHECKING:
    from nbflow.core.instance import WorkflowInstance

__all__ = ["APPLICATIONS", "CONFIRMATIONS"]

Application: TypeAlias = "Callable[[WorkflowInstance, Any], bool]"
"""Applies an event from outside; True if the code should run."""

Confirmation: TypeAlias = "Callable[[WorkflowInstance, Any, Any], None]"
"""Tells what waits for a command's recording that it is recorded."""


# Events from outside.


def _started(instance: WorkflowInstance, event: WorkflowExecutionStarted) -> bool:
    instance.begin(event)
    return True


def _signaled(instance: WorkflowInstance, event: WorkflowExecutionSignaled) -> bool:
    if event.with_start:
        instance.return_to_start()  # of a delayed start it has the time before the delay
    instance.messages.deliver(event.signal_name, instance.converter.decode(event.input))
    return True


def _update_accepted(instance: WorkflowInstance, event: WorkflowExecutionUpdateAccepted) -> bool:
    instance.updates.accept(event)
    return True


def _cancel_requested(instance: WorkflowInstance, event: WorkflowExecutionCancelRequested) -> bool:
    instance.request_cancel(event.cause)
    return True


def _ended(instance: WorkflowInstance, event: HistoryEvent) -> bool:  # noqa: ARG001  no code runs
    instance.end()
    return False


def _paused(instance: WorkflowInstance, event: WorkflowExecutionPaused) -> bool:
    instance.pause = event
    return False


def _unpaused(instance: WorkflowInstance, event: WorkflowExecutionUnpaused) -> bool:  # noqa: ARG001  only that it came
    instance.pause = None
    return True


def _activity_of(instance: WorkflowInstance, event: Any) -> ActivityHandle:
    handle = instance.activities.get(event.scheduled_event_id)
    if handle is None:
        msg = (
            f"run {instance.run_id}: event {event.event_id} {type(event).__name__} is of activity "
            f"{event.scheduled_event_id}, which is not pending"
        )
        raise HistoryCorruptedError(msg)
    return handle


def _advance_activity(instance: WorkflowInstance, handle: ActivityHandle, event: Any) -> None:
    about = "run", instance.run_id, "activity", event.scheduled_event_id
    handle.state = advance(ACTIVITY, handle.state, type(event).__name__, *about)


def _advance_timer(instance: WorkflowInstance, timer: DurableTimer, event: Any) -> None:
    timer.state = advance(TIMER, timer.state, type(event).__name__, "run", instance.run_id, "timer", event.timer_id)


def _activity_started(instance: WorkflowInstance, event: ActivityTaskStarted) -> bool:
    _advance_activity(instance, _activity_of(instance, event), event)
    return False


def _settled(instance: WorkflowInstance, event: Any) -> ActivityHandle | None:
    """Take an activity off the pending ones; None if nobody waits for it any more."""
    handle = _activity_of(instance, event)
    _advance_activity(instance, handle, event)
    del instance.activities[event.scheduled_event_id]
    handle.detach()
    return None if handle.done() else handle


def _activity_completed(instance: WorkflowInstance, event: ActivityTaskCompleted) -> bool:
    handle = _settled(instance, event)
    if handle is not None:
        result = instance.converter.decode(event.result)
        instance.settle_in_turns(2, handle, lambda: handle.set_result(result))
    return True


def _activity_failed(instance: WorkflowInstance, event: ActivityTaskFailed | ActivityTaskTimedOut) -> bool:
    handle = _settled(instance, event)
    if handle is not None:
        failure = Failure(
            message=f"activity {handle.activity_type} (id {handle.activity_id}) failed: {event.failure.headline()}",
            kind=ACTIVITY_FAILURE,
            info={
                "activity_type": handle.activity_type,
                "activity_id": handle.activity_id,
                "scheduled_event_id": event.scheduled_event_id,
                "retry_state": event.retry_state,
            },
            cause=event.failure,
        )
        error = exception_of_failure(failure, instance.converter)
        instance.settle_in_turns(2, handle, lambda: handle.fail(error))
    return True


def _activity_canceled(instance: WorkflowInstance, event: ActivityTaskCanceled) -> bool:
    handle = _settled(instance, event)
    if handle is not None:
        handle.cancel_now("the activity was cancelled")
    return True


def _timer_fired(instance: WorkflowInstance, event: TimerFired) -> bool:
    timer = instance.timers.pop(event.started_event_id, None)
    if timer is None:
        msg = f"run {instance.run_id}: event {event.event_id} fires timer {event.timer_id}, which is not pending"
        raise HistoryCorruptedError(msg)
    _advance_timer(instance, timer, event)
    timer.fire()
    return True


def _task_started(_instance: WorkflowInstance, _event: WorkflowTaskStarted) -> bool:
    return True  # it brings the time, and the code runs


def _no_effect(_instance: WorkflowInstance, _event: HistoryEvent) -> bool:
    return False


APPLICATIONS: dict[type[HistoryEvent], Application] = {
    WorkflowExecutionStarted: _started,
    WorkflowExecutionSignaled: _signaled,
    WorkflowExecutionUpdateAccepted: _update_accepted,
    WorkflowExecutionCancelRequested: _cancel_requested,
    WorkflowExecutionTerminated: _ended,
    WorkflowExecutionTimedOut: _ended,
    WorkflowExecutionPaused: _paused,
    WorkflowExecutionUnpaused: _unpaused,
    ActivityTaskStarted: _activity_started,
    ActivityTaskCompleted: _activity_completed,
    ActivityTaskFailed: _activity_failed,
    ActivityTaskTimedOut: _activity_failed,
    ActivityTaskCanceled: _activity_canceled,
    TimerFired: _timer_fired,
    WorkflowTaskScheduled: _no_effect,
    WorkflowTaskStarted: _task_started,
    WorkflowTaskCompleted: _no_effect,
    WorkflowTaskFailed: _no_effect,
    WorkflowTaskTimedOut: _no_effect,
    **APPLICATIONS_BETWEEN,
}


# Events that record a command.


def _activity_scheduled(instance: WorkflowInstance, event: ActivityTaskScheduled, handle: ActivityHandle) -> None:
    handle.scheduled_event_id = event.event_id
    handle.state = advance(ACTIVITY, handle.state, "ActivityTaskScheduled", "activity", event.event_id)
    instance.activities[event.event_id] = handle


def _activity_cancel_requested(
    instance: WorkflowInstance, event: ActivityTaskCancelRequested, handle: ActivityHandle
) -> None:
    _advance_activity(instance, handle, event)


def _timer_started(instance: WorkflowInstance, event: TimerStarted, timer: DurableTimer) -> None:
    timer.started_event_id = event.event_id
    _advance_timer(instance, timer, event)
    instance.timers[event.event_id] = timer


def _timer_canceled(instance: WorkflowInstance, event: TimerCanceled, timer: DurableTimer) -> None:
    _advance_timer(instance, timer, event)
    instance.timers.pop(event.started_event_id, None)


def _update_completed(
    _instance: WorkflowInstance, event: WorkflowExecutionUpdateCompleted, update: UpdateState
) -> None:
    update.complete(event)


CONFIRMATIONS: dict[type[HistoryEvent], Confirmation] = {
    ActivityTaskScheduled: _activity_scheduled,
    ActivityTaskCancelRequested: _activity_cancel_requested,
    TimerStarted: _timer_started,
    TimerCanceled: _timer_canceled,
    WorkflowExecutionUpdateCompleted: _update_completed,
    **CONFIRMATIONS_BETWEEN,
}
