"""Which events reached the code together, in a history that has workflow tasks.

A task takes everything that came since the last one whose worker answered. Its worker hands the code signals and
updates first, runs it, then the rest, and runs it again; with the SDK's "single batch" flag it hands over all and
runs it once. What the code asked for stands right behind the task's completion, and so do the updates it accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nbflow.core.events import (
    COMMAND_EVENTS,
    ActivityTaskStarted,
    HistoryEvent,
    MarkerRecorded,
    UpsertWorkflowSearchAttributes,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
    WorkflowExecutionUpdateAccepted,
)
from nbflow.core.task_events import (
    OtherEvent,
    WorkflowTaskCompleted,
    WorkflowTaskFailed,
    WorkflowTaskScheduled,
    WorkflowTaskStarted,
    WorkflowTaskTimedOut,
)

__all__ = [
    "OWN_FLAG",
    "SINGLE_BATCH",
    "commands_of",
    "has_workflow_tasks",
    "is_of_own_interpreter",
    "task_activations",
]

SINGLE_BATCH = 2
"""The SDK's flag for "all events of a task are applied, then the loop runs once", which is nbflow's own rule."""

OWN_FLAG = 2026
"""Our mark among the SDK's flags: nbflow's interpreter ran the code."""

_CHANGE_VERSION = "TemporalChangeVersion"
_MESSAGES = (WorkflowExecutionSignaled, WorkflowExecutionUpdateAccepted)
_NOT_FOR_THE_CODE = (
    OtherEvent,
    WorkflowExecutionUpdateAccepted,  # handed over with the task that accepted it
    WorkflowTaskScheduled,
    WorkflowTaskCompleted,
    WorkflowTaskFailed,
    WorkflowTaskTimedOut,
)
_ENDINGS = (WorkflowExecutionTerminated, WorkflowExecutionTimedOut)


def has_workflow_tasks(history: Sequence[HistoryEvent]) -> bool:
    """Say whether a history was recorded in workflow tasks: by a server, not by the embedded engine."""
    return any(type(event) is WorkflowTaskScheduled for event in history)


def is_of_own_interpreter(history: Sequence[HistoryEvent]) -> bool:
    """Say whether nbflow's interpreter ran the code: behind a server, or in the engine whose history was exported."""
    return any(type(event) is WorkflowTaskCompleted and OWN_FLAG in (event.lang_used_flags or ()) for event in history)


def commands_of(history: Sequence[HistoryEvent]) -> list[HistoryEvent]:
    """Return the events that record commands of the code, without those that the SDK adds by itself."""
    return [
        event
        for position, event in enumerate(history)
        if type(event) in COMMAND_EVENTS and not _is_added_by_sdk(event, history[position - 1])
    ]


def _is_added_by_sdk(event: HistoryEvent, before: HistoryEvent) -> bool:
    """Say whether it only makes a side effect searchable, which travels as a patch."""
    return (
        type(event) is UpsertWorkflowSearchAttributes
        and type(before) is MarkerRecorded
        and before.marker_name == "side_effect"
        and set(event.search_attributes) == {_CHANGE_VERSION}
    )


def task_activations(history: Sequence[HistoryEvent]) -> Iterator[list[HistoryEvent]]:
    """Cut a history with workflow tasks into what each activation gets.

    Parameters
    ----------
    history
        All events, in order.

    Yields
    ------
    list of HistoryEvent
        Recorded commands, then events from outside, at last the WorkflowTaskStarted that gives the time. The ids
        of the events from outside need not rise.
    """
    commands = set(map(id, commands_of(history)))
    completed = {event.started_event_id: event for event in history if type(event) is WorkflowTaskCompleted}
    recorded: list[HistoryEvent] = []
    arrived: list[HistoryEvent] = []
    single_batch = False
    for position, event in enumerate(history):
        if id(event) in commands:
            recorded.append(event)
        elif type(event) is WorkflowTaskStarted:
            end = completed.get(event.event_id)
            if end is None and position != len(history) - 1:
                continue  # it failed or timed out, and the next one takes its events
            if end is not None:
                single_batch = single_batch or SINGLE_BATCH in (end.lang_used_flags or ())
                arrived += _accepted_updates(history, end.event_id)
            yield from _in_order(recorded, arrived, event, single_batch=single_batch)
            recorded, arrived = [], []
        elif not (isinstance(event, _NOT_FOR_THE_CODE) or type(event) in COMMAND_EVENTS):
            arrived.append(event)
    rest = recorded + [event for event in arrived if type(event) in _ENDINGS]
    if rest:
        yield rest


def _accepted_updates(history: Sequence[HistoryEvent], completed_event_id: int) -> Iterator[HistoryEvent]:
    """Yield the updates that a task accepted: among what follows its completion, before anything from outside."""
    for event in history[completed_event_id:]:
        if type(event) is WorkflowExecutionUpdateAccepted:
            yield event
        elif type(event) not in COMMAND_EVENTS:
            return


def _in_order(
    recorded: list[HistoryEvent], arrived: list[HistoryEvent], task: WorkflowTaskStarted, *, single_batch: bool
) -> Iterator[list[HistoryEvent]]:
    started = [event for event in arrived if type(event) is WorkflowExecutionStarted]
    messages = [event for event in arrived if isinstance(event, _MESSAGES)]
    others = [event for event in arrived if not isinstance(event, (WorkflowExecutionStarted, *_MESSAGES))]
    moves_twice = messages and any(type(event) is not ActivityTaskStarted for event in others)
    if started and any(type(event) is WorkflowExecutionUpdateAccepted for event in messages):
        # What comes with the start finds the handlers that the code has set up by then.
        updates = [event for event in messages if type(event) is WorkflowExecutionUpdateAccepted]
        signals = [event for event in messages if type(event) is not WorkflowExecutionUpdateAccepted]
        yield [*recorded, *started, *signals, *others, task]
        yield [*updates, task]
    elif started or single_batch or not moves_twice:
        yield [*recorded, *started, *messages, *others, task]
    else:
        yield [*recorded, *messages, task]
        yield [*others, task]
