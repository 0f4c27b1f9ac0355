"""Where a new run may branch off an old history, and what of the old one it can use again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nbflow.core.events import (
    CLOSING_EVENTS,
    COMMAND_EVENTS,
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    ChildWorkflowExecutionCanceled,
    ChildWorkflowExecutionFailed,
    ChildWorkflowExecutionStarted,
    ChildWorkflowExecutionTerminated,
    ChildWorkflowExecutionTimedOut,
    HistoryEvent,
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionInitiated,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionPaused,
    WorkflowExecutionUnpaused,
)
from nbflow.core.failures import ACTIVITY, CHILD_WORKFLOW, Failure
from nbflow.core.payloads import Payload
from nbflow.exceptions import ClientError

__all__ = [
    "OF_ONE_RUN",
    "failed_work",
    "last_failure",
    "last_reaction",
    "open_activities",
    "rewind_point",
    "scheduled",
    "shared",
    "with_results",
]

OF_ONE_RUN: dict[str, Any] = dict.fromkeys(
    ("original_execution_run_id", "reset_run_id", "reset_event_id", "reset_reason", "original_start_time", "reseeds")
)
"""Attributes of a first event that say how this run branched off; the next run of a chain has none of them."""

_FAILURES = (ActivityTaskFailed, ActivityTaskTimedOut)
_OUTCOMES = (ActivityTaskCompleted, *_FAILURES, ActivityTaskCanceled)
_CHILD_FAILURES = (
    ChildWorkflowExecutionFailed,
    ChildWorkflowExecutionTimedOut,
    ChildWorkflowExecutionCanceled,
    ChildWorkflowExecutionTerminated,
)
_REMOTE = (
    StartChildWorkflowExecutionInitiated,
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionInitiated,
)


def shared(history: Sequence[HistoryEvent], event_id: int) -> list[HistoryEvent]:
    """Return the first events of a history, as far as another run can begin with them.

    Parameters
    ----------
    history
        Whole.
    event_id
        The last event wanted.

    Returns
    -------
    list of HistoryEvent
        Without a closing event, and without the start of an attempt whose outcome is not among them.

    Raises
    ------
    ClientError
        When there is no such event, or a child workflow or a message to another execution is under way there.
    """
    if not 1 <= event_id <= len(history):
        msg = f"the history has events 1 to {len(history)}, and no event {event_id}"
        raise ClientError(msg)
    events = list(history[:event_id])
    while type(events[-1]) in CLOSING_EVENTS or type(events[-1]) is ActivityTaskStarted:
        events.pop()
    under_way = _under_way(events)
    if under_way is not None:
        msg = (
            f"at event {event_id} the {type(under_way).__name__} of event {under_way.event_id} is under way, and two "
            f"runs can't wait for its answer; choose an earlier event, or one after the answer"
        )
        raise ClientError(msg)
    return events


def _under_way(events: Iterable[HistoryEvent]) -> HistoryEvent | None:
    """Return the first child, or message to another execution, that has no answer among these events."""
    events = list(events)
    answers = [it for it in events if it.initiated_attribute and type(it) is not ChildWorkflowExecutionStarted]
    answered = {getattr(event, str(event.initiated_attribute)) for event in answers}
    remote = (event for event in events if isinstance(event, _REMOTE) and event.event_id not in answered)
    return next(remote, None)


def last_reaction(history: Sequence[HistoryEvent]) -> int:
    """Return the id of the last event from outside that the code reacted to."""
    found = 1
    for event in history:
        is_outside = not (type(event) in COMMAND_EVENTS or type(event) in CLOSING_EVENTS)
        if type(event) is WorkflowExecutionPaused and not _ends(history, event):
            break
        if is_outside and type(event) not in (ActivityTaskStarted, WorkflowExecutionPaused):
            found = event.event_id
    return found


def _ends(history: Sequence[HistoryEvent], pause: WorkflowExecutionPaused) -> bool:
    return any(type(event) is WorkflowExecutionUnpaused for event in history[pause.event_id :])


def last_failure(history: Sequence[HistoryEvent]) -> int:
    """Return the id of the event before the last failed outcome of an activity; else :func:`last_reaction`."""
    failed = [event for event in history if isinstance(event, _FAILURES)]
    return _before(failed[-1]) if failed else last_reaction(history)


def _before(outcome: HistoryEvent) -> int:
    started: int | None = getattr(outcome, "started_event_id", None)
    return (started or outcome.event_id) - 1


def rewind_point(history: Sequence[HistoryEvent]) -> tuple[int, frozenset[int]]:
    """Choose where to run a failed execution again.

    Parameters
    ----------
    history
        Of an execution that did not complete.

    Returns
    -------
    tuple
        The last event to keep, and the scheduled_event_ids of the activities to run again.

    Raises
    ------
    ClientError
        When nothing failed.
    """
    if type(history[-1]) is WorkflowExecutionCompleted:
        msg = "the execution completed: there is nothing to rewind; .reset(event_id) runs it again from any event"
        raise ClientError(msg)
    failure = _failure(history)
    if failure is None and type(history[-1]) not in CLOSING_EVENTS:
        msg = "the execution is open and nothing failed: there is nothing to rewind; .reset(event_id) runs it again"
        raise ClientError(msg)
    failed = failed_work(history, failure)
    points = [_before(it) for it in history if isinstance(it, _FAILURES) and it.scheduled_event_id in failed]
    blamed = set(_blamed(failure))
    points += [it.initiated_event_id - 1 for it in history if isinstance(it, _CHILD_FAILURES) and it.run_id in blamed]
    point = min(points, default=last_reaction(history))
    # children under way there are started anew with those that failed
    while (child := _under_way(history[:point])) is not None:
        point = child.event_id - 1
    return point, failed


def _failure(history: Sequence[HistoryEvent]) -> Failure | None:
    """Return what the code raised, if it failed or is suspended."""
    if isinstance(history[-1], WorkflowExecutionFailed):
        return history[-1].failure
    pauses = [event for event in history if isinstance(event, WorkflowExecutionPaused)]
    return pauses[-1].failure if pauses and not _ends(history, pauses[-1]) else None


def failed_work(history: Sequence[HistoryEvent], failure: Failure | None) -> frozenset[int]:
    """Find the activities that an execution failed for.

    Parameters
    ----------
    history
        Whole.
    failure
        What its code raised.

    Returns
    -------
    frozenset of int
        Their scheduled_event_ids: those that the failure names, and those that failed while one of them was under
        way. If it names none, but the last thing that the code heard of was a failed activity, that one and those
        that failed beside it.
    """
    outcomes = {event.scheduled_event_id: event for event in history if isinstance(event, _FAILURES)}
    blamed = {event_id for event_id in _blamed(failure) if isinstance(event_id, int) and event_id in outcomes}
    if not blamed:
        last = history[last_reaction(history) - 1]
        if isinstance(last, (*_FAILURES, ActivityTaskCompleted)):
            beside = [it for it in outcomes.values() if _overlap(it, last)]
            blamed = {it.scheduled_event_id for it in beside}
    return frozenset(
        event_id
        for event_id, outcome in outcomes.items()
        if event_id in blamed or any(_overlap(outcome, outcomes[other]) for other in blamed)
    )


def _overlap(one: HistoryEvent, other: HistoryEvent) -> bool:
    """True if two activities were under way at the same time; outcomes are given."""
    first: int = getattr(one, "scheduled_event_id")  # noqa: B009  outcomes of several classes
    second: int = getattr(other, "scheduled_event_id")  # noqa: B009  as above
    return first < other.event_id and second < one.event_id


def _blamed(failure: Failure | None) -> Iterator[int | str]:
    """Name what a failure comes from: activities by scheduled_event_id, children by run id."""
    while failure is not None:
        if failure.kind == CHILD_WORKFLOW:
            yield str(failure.info.get("run_id"))
            return  # what lies behind is in the child's history
        if failure.kind == ACTIVITY and isinstance(failure.info.get("scheduled_event_id"), int):
            yield failure.info["scheduled_event_id"]
        for member in failure.info.get("exceptions") or ():
            yield from _blamed(Failure.from_json(member))
        failure = failure.cause


def scheduled(events: Iterable[HistoryEvent]) -> dict[int, ActivityTaskScheduled]:
    """Return all activities, by scheduled_event_id."""
    return {event.event_id: event for event in events if isinstance(event, ActivityTaskScheduled)}


def open_activities(events: Iterable[HistoryEvent]) -> dict[int, ActivityTaskScheduled]:
    """Return the activities without an outcome, by scheduled_event_id."""
    open_: dict[int, ActivityTaskScheduled] = {}
    for event in events:
        if isinstance(event, ActivityTaskScheduled):
            open_[event.event_id] = event
        elif isinstance(event, _OUTCOMES):
            open_.pop(event.scheduled_event_id, None)
    return open_


def with_results(
    events: Sequence[HistoryEvent], results: Mapping[int, Payload]
) -> tuple[list[HistoryEvent], dict[int, Payload]]:
    """Exchange results of activities.

    Parameters
    ----------
    events
        What a new run begins with.
    results
        By scheduled_event_id.

    Returns
    -------
    tuple
        The events, and the results of those activities that have no outcome among them yet.

    Raises
    ------
    ClientError
        When a result is of no activity among them, or of one that never started.
    """
    changed, left = list(events), dict(results)
    for place, event in enumerate(changed):
        if not isinstance(event, _OUTCOMES) or event.scheduled_event_id not in left:
            continue
        if event.started_event_id is None:
            msg = f"activity {event.scheduled_event_id} never started: fork before event {event.event_id}"
            raise ClientError(msg)
        changed[place] = ActivityTaskCompleted(
            event_id=event.event_id,
            event_time=event.event_time,
            scheduled_event_id=event.scheduled_event_id,
            started_event_id=event.started_event_id,
            result=left.pop(event.scheduled_event_id),
        )
    unknown = left.keys() - open_activities(changed).keys()
    if unknown:
        msg = f"event {min(unknown)} is no activity that the fork begins with"
        raise ClientError(msg)
    return changed, left
