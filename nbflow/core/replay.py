"""Replay: a history fed to the code again, event by event, until the code stands where it stood."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nbflow.core.commands import Command
from nbflow.core.events import COMMAND_EVENTS, ActivityTaskStarted, HistoryEvent, MarkerRecorded
from nbflow.core.instance import WorkflowInstance

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
    for event in history:
        group.append(event)
        if type(event) not in COMMAND_EVENTS and type(event) is not ActivityTaskStarted:
            yield group
            group = []
    if group:
        yield group


def replay(instance: WorkflowInstance, history: Iterable[HistoryEvent]) -> list[Command]:
    """Bring a new instance to where its history ends.

    Parameters
    ----------
    instance
        Fresh, never activated.
    history
        Its events in order, from WorkflowExecutionStarted.

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
    """
    history = list(history)
    for event in history:
        if type(event) is MarkerRecorded and event.marker_name == "side_effect":
            instance.recorded_side_effects[event.details["id"].tree] = event.details["data"]
    instance.is_replaying = True
    for group in activations(history):
        instance.activate(group)
    instance.is_replaying = False
    return instance.outstanding
