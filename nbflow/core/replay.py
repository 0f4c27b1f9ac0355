"""Replay: a history fed to the code again, event by event, until the code stands where it stood."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from nbflow.core.commands import Command
from nbflow.core.events import (
    COMMAND_EVENTS,
    ActivityTaskStarted,
    HistoryEvent,
    MarkerRecorded,
    WorkflowExecutionPaused,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
)
from nbflow.core.instance import WorkflowInstance
from nbflow.core.patches import patch_id_of
from nbflow.core.workflow_tasks import commands_of, has_workflow_tasks, is_of_own_interpreter, task_activations
from nbflow.exceptions import HistoryCorruptedError

__all__ = ["activations", "replay"]


def activations(history: Iterable[HistoryEvent]) -> Iterator[list[HistoryEvent]]:
    """Cut a history into what each activation gets: recorded commands, then one event from outside.

    Parameters
    ----------
    history
        Events in order.

    Yields
    ------
    list of HistoryEvent
        The last one may hold recorded commands only.
    """
    group: list[HistoryEvent] = []
    delayed_until = 0
    events = list(history)
    for event, following in zip_longest(events, events[1:]):
        if delayed_until and event.event_time >= delayed_until and not _takes_back(event):
            yield group
            group = []
        if not _comes_with_start(event):
            delayed_until = 0
        group.append(event)
        if type(event) is WorkflowExecutionStarted and event.first_workflow_task_backoff:
            # What comes during the start delay ends it: both are one activation.
            delayed_until = (event.original_start_time or event.event_time) + round(
                event.first_workflow_task_backoff * 1_000_000
            )
        elif not (delayed_until or type(event) in _TOGETHER or _takes_back(following) or _comes_with_start(following)):
            yield group
            group = []
    if group:
        yield group


_TOGETHER = COMMAND_EVENTS | {ActivityTaskStarted}
"""Types of events that are in one activation with what follows."""


def _comes_with_start(event: HistoryEvent | None) -> bool:
    return type(event) is WorkflowExecutionSignaled and event.with_start is True


def _takes_back(event: HistoryEvent | None) -> bool:
    """True if the code raised in the activation before, and is to react to its events once more."""
    return type(event) is WorkflowExecutionPaused and event.failure is not None


def replay(instance: WorkflowInstance, history: Iterable[HistoryEvent], *, ends_live: bool = False) -> list[Command]:
    """Bring a new instance to where its history ends.

    Parameters
    ----------
    instance
        Fresh, never activated.
    history
        Its events in order, from WorkflowExecutionStarted.
    ends_live
        True if the code has never answered the last event from outside, because the history was cut off behind it:
        what the code does there it does for the first time, so that it takes the path of its patches.

    Returns
    -------
    list of Command
        What the code asked for beyond the history: empty if the history ends with a whole activation of this same code.

    Raises
    ------
    NondeterminismError
        When code and history disagree.
    HistoryCorruptedError
        When the history contradicts itself.
    MissingDefinitionError
        When the code can't run here, because a part of it is missing.
    PayloadError
        When a value of the history can't be decoded here.
    """
    history = list(history)
    _check_ids(history)
    instance.in_workflow_tasks = in_tasks = has_workflow_tasks(history)
    instance.sdk_turns = in_tasks and not is_of_own_interpreter(history)
    instance.recorded_commands = (
        commands_of(history) if in_tasks else [event for event in history if type(event) in COMMAND_EVENTS]
    )
    for event in instance.recorded_commands:
        if type(event) is MarkerRecorded and event.marker_name == "side_effect":
            instance.recorded_side_effects[_marker_id(event)] = event.details["data"]
        elif (patch_id := patch_id_of(event)) is not None:
            instance.patches.recorded.add(patch_id)
    if ends_live:
        instance.patches.live_from = max(event.event_id for event in history if type(event) not in COMMAND_EVENTS)
    try:
        instance.replay(task_activations(history) if in_tasks else activations(history))
    except BaseException:
        instance.evict()  # half-way replayed it is of no use
        raise
    return instance.outstanding


def _check_ids(history: Sequence[HistoryEvent]) -> None:
    for position, event in enumerate(history, start=1):
        if event.event_id != position:
            msg = (
                f"the history has a gap: event {event.event_id} ({type(event).__name__}) stands where {position} should"
            )
            raise HistoryCorruptedError(msg)


def _marker_id(event: MarkerRecorded) -> str:
    try:
        event.details["data"]
        return str(event.details["id"].tree)
    except KeyError as missing:
        msg = f"event {event.event_id} (MarkerRecorded) lacks its detail {missing}"
        raise HistoryCorruptedError(msg) from None
