"""A history as Temporal's JSON.

An embedded history has no workflow tasks. Here each of its activations gets one: what came from outside, then
Scheduled, Started, Completed, then what the code asked for. So every later event gets another id. An open
execution ends with a task that has started: whether the code has answered to the last event, its history can't say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from nbflow.core import events as e
from nbflow.core.events import CLOSING_EVENTS, COMMAND_EVENTS, HistoryEvent, WorkflowExecutionStarted
from nbflow.core.replay import activations
from nbflow.core.workflow_tasks import OWN_FLAG, SINGLE_BATCH, has_workflow_tasks
from nbflow.exceptions import HistoryFormatError
from nbflow.interchange.event_json import write_event
from nbflow.interchange.event_table import ATTRIBUTES
from nbflow.interchange.kinds import Context
from nbflow.interchange.payload_json import LoadBlob, to_payload
from nbflow.interchange.side_effects import with_side_effects_as_patches

__all__ = ["HEADER", "KEPT_IN_HEADER", "temporal_history"]

HEADER = "nbflow"
"""Name of the header field of WorkflowExecutionStarted that keeps what Temporal has no word for."""

KEPT_IN_HEADER = tuple(
    own.name
    for own in fields(WorkflowExecutionStarted)
    if own.name not in {"event_id", "event_time", *(row[0] for row in ATTRIBUTES[WorkflowExecutionStarted])}
)
"""Attributes of the start that Temporal has no word for: seed, definition hash, run key …"""

CORE_FLAGS = (1, 2, 3, 4)
"""Rules of Temporal's Core, on the first completed task: without them its replayer checks no ids and types."""
_PAUSES = {e.WorkflowExecutionPaused: True, e.WorkflowExecutionUnpaused: False}
_BEFORE_MESSAGES = (e.WorkflowExecutionStarted, e.WorkflowExecutionSignaled, e.WorkflowExecutionPaused)
_ENDED_FROM_OUTSIDE = (e.WorkflowExecutionTerminated, e.WorkflowExecutionTimedOut)


def temporal_history(history: Sequence[HistoryEvent], run_id: str, load_blob: LoadBlob | None = None) -> dict[str, Any]:
    """Write a history as ``temporal workflow show --output json`` does.

    Parameters
    ----------
    history
        All events, in order.
    run_id
        Whose they are; on Temporal the seed of random numbers comes from it.
    load_blob
        Fetches values that lie beside the events, by their hash.

    Returns
    -------
    dict
        ``{"events": [...]}``.

    Raises
    ------
    HistoryFormatError
        When it does not begin with WorkflowExecutionStarted.
    """
    if not history or not isinstance(history[0], WorkflowExecutionStarted):
        msg = f"run {run_id} can't be exported: its history does not begin with WorkflowExecutionStarted"
        raise HistoryFormatError(msg)
    laid_out = list(history) if has_workflow_tasks(history) else _with_workflow_tasks(history)
    laid_out = with_side_effects_as_patches(laid_out)
    context = Context(load_blob, {})
    for event_id, event in enumerate(laid_out, start=1):
        if event.event_id:
            context.ids[event.event_id] = event_id
    trees = []
    completed = 0
    for event_id, event in enumerate(laid_out, start=1):
        tree = write_event(event, context)
        tree["eventId"], tree["taskId"] = str(event_id), str(1_048_576 + event_id)
        if type(event) is e.WorkflowTaskCompleted:
            completed = event_id
        _refer_to_task(tree, event, completed)
        trees.append(tree)
    _tell_identity(trees[0], history[0], run_id, context.ids)
    return {"events": trees}


def _refer_to_task(tree: dict[str, Any], event: HistoryEvent, completed: int) -> None:
    attributes = next(value for key, value in tree.items() if key.endswith("EventAttributes"))
    if type(event) in COMMAND_EVENTS and type(event) is not e.WorkflowExecutionUpdateCompleted:
        attributes["workflowTaskCompletedEventId"] = str(completed)
    if type(event) is e.WorkflowExecutionUpdateAccepted:
        attributes["acceptedRequestMessageId"] = f"{event.update_id}/request"
        attributes["acceptedRequestSequencingEventId"] = str(completed - 2)


def _tell_identity(
    tree: dict[str, Any], started: WorkflowExecutionStarted, run_id: str, ids: Mapping[int, int]
) -> None:
    attributes = tree["workflowExecutionStartedEventAttributes"]
    attributes["originalExecutionRunId"] = run_id
    attributes.setdefault("firstExecutionRunId", run_id)
    attributes["workflowTaskTimeout"] = "10s"
    own = {name: getattr(started, name) for name in KEPT_IN_HEADER}
    if started.reseeds:
        own["reseeds"] = {str(ids[int(event_id)]): seed for event_id, seed in started.reseeds.items()}
    kept = {name: value for name, value in own.items() if value not in (None, "")}
    attributes["header"] = {"fields": {HEADER: to_payload(kept)}}


# Workflow tasks.


class _Layout:
    """The events with the tasks between them; those that are new have no id yet, but a place."""

    def __init__(self) -> None:
        self.events: list[HistoryEvent] = []
        self._is_first = True

    def task(self, time: int, accepted: Sequence[HistoryEvent], *, is_answered: bool) -> None:
        """Add one task; ids of its own events are places, told as negative numbers."""
        place = len(self.events) + 1
        self.events += [
            e.WorkflowTaskScheduled(event_id=-place, event_time=time),
            e.WorkflowTaskStarted(event_id=-(place + 1), event_time=time, scheduled_event_id=-place),
        ]
        if not is_answered:
            return
        flags: dict[str, Any] = {}
        if self._is_first:
            flags = {"core_used_flags": CORE_FLAGS, "lang_used_flags": (SINGLE_BATCH, OWN_FLAG)}
            self._is_first = False
        completed = e.WorkflowTaskCompleted(
            event_id=-(place + 2),
            event_time=time,
            scheduled_event_id=-place,
            started_event_id=-(place + 1),
            **flags,
        )
        self.events += [completed, *accepted]


def _with_workflow_tasks(history: Sequence[HistoryEvent]) -> list[HistoryEvent]:
    layout = _Layout()
    groups = list(activations(history))
    is_open = type(history[-1]) not in CLOSING_EVENTS
    is_paused = False
    waiting: list[HistoryEvent] = []
    for position, group in enumerate(groups):
        arrived = [event for event in group if type(event) not in COMMAND_EVENTS]
        layout.events += [event for event in group if type(event) in COMMAND_EVENTS]
        waiting += arrived
        accepted = [event for event in arrived if type(event) is e.WorkflowExecutionUpdateAccepted]
        layout.events += [event for event in arrived if event not in accepted]
        for event in arrived:
            is_paused = _PAUSES.get(type(event), is_paused)
        if not arrived or is_paused or isinstance(arrived[-1], _ENDED_FROM_OUTSIDE):
            continue
        _check_order(waiting)
        waiting = []
        is_last = position == len(groups) - 1
        layout.task(_code_time(group), accepted, is_answered=bool(accepted) or not (is_last and is_open))
    return layout.events


def _check_order(arrived: Sequence[HistoryEvent]) -> None:
    """Refuse what reached the code together in an order that a task can't tell: there, messages come first."""
    others = False
    for event in arrived:
        if others and type(event) is e.WorkflowExecutionSignaled:
            msg = (
                f"event {event.event_id} is a signal that reached the code together with events before it, after a "
                f"pause or a start delay; on Temporal it would come first. Export this history with --format json"
            )
            raise HistoryFormatError(msg)
        others = others or type(event) not in _BEFORE_MESSAGES


def _code_time(group: list[HistoryEvent]) -> int:
    """Return what the code calls now: the time of the last event that reaches it, or of the end of a start delay."""
    started, last = group[0], group[-1]
    if isinstance(started, WorkflowExecutionStarted) and started is last:
        return started.event_time + round((started.first_workflow_task_backoff or 0) * 1_000_000)
    return last.event_time
