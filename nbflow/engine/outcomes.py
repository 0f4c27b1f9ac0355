"""The events that settle an activity, for each way it can end. Pure."""

from __future__ import annotations

from nbflow.core.events import (
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    HistoryEvent,
)
from nbflow.core.failures import TIMEOUT, Failure
from nbflow.core.payloads import Payload
from nbflow.engine.execution import ActivityTask

__all__ = ["canceled", "completed", "failed"]


def _started(task: ActivityTask, event_id: int, now: int) -> ActivityTaskStarted:
    return ActivityTaskStarted(
        event_id=event_id,
        event_time=now,
        scheduled_event_id=task.scheduled.event_id,
        attempt=task.attempt,
        started_time=task.started_time or now,
        last_failure=task.last_failure,
    )


def completed(task: ActivityTask, result: Payload, event_id: int, now: int) -> list[HistoryEvent]:
    """Write that an activity returned."""
    outcome = ActivityTaskCompleted(
        event_id=event_id + 1,
        event_time=now,
        scheduled_event_id=task.scheduled.event_id,
        started_event_id=event_id,
        result=result,
    )
    return [_started(task, event_id, now), outcome]


def failed(
    task: ActivityTask, failure: Failure, retry_state: str, event_id: int, now: int, *, was_started: bool = True
) -> list[HistoryEvent]:
    """Write that an activity failed, or that its time was up.

    Parameters
    ----------
    task
        The activity.
    failure
        How; a timeout gives ActivityTaskTimedOut.
    retry_state
        Why no further attempt is made.
    event_id, now
        Of the first event written.
    was_started
        False if no attempt ran when its time was up: then there is no ActivityTaskStarted.
    """
    head: list[HistoryEvent] = [_started(task, event_id, now)] if was_started else []
    scheduled_event_id, outcome_id = task.scheduled.event_id, event_id + len(head)
    if failure.kind == TIMEOUT:
        return [
            *head,
            ActivityTaskTimedOut(
                event_id=outcome_id,
                event_time=now,
                scheduled_event_id=scheduled_event_id,
                started_event_id=event_id if head else None,
                failure=failure,
                retry_state=retry_state,
            ),
        ]
    return [
        *head,
        ActivityTaskFailed(
            event_id=outcome_id,
            event_time=now,
            scheduled_event_id=scheduled_event_id,
            started_event_id=event_id,
            failure=failure,
            retry_state=retry_state,
        ),
    ]


def canceled(task: ActivityTask, event_id: int, now: int, *, was_started: bool) -> list[HistoryEvent]:
    """Write that an activity let its cancellation pass, or was cancelled while it waited."""
    head: list[HistoryEvent] = [_started(task, event_id, now)] if was_started else []
    outcome = ActivityTaskCanceled(
        event_id=event_id + len(head),
        event_time=now,
        scheduled_event_id=task.scheduled.event_id,
        started_event_id=event_id if head else None,
        latest_cancel_requested_event_id=task.cancel_requested_event_id,
    )
    return [*head, outcome]
