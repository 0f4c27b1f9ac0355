"""Temporal's history JSON as nbflow's events.

All events are kept, workflow tasks too, with the ids that the server gave them: what refers to an event by its id
is right without change, and replay knows which events reached the code together, and when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbflow.core.events import (
    HistoryEvent,
    MarkerRecorded,
    WorkflowExecutionStarted,
    WorkflowTaskFailed,
)
from nbflow.core.payloads import Payload
from nbflow.exceptions import HistoryFormatError
from nbflow.interchange.event_json import read_event
from nbflow.interchange.kinds import Context, at, find
from nbflow.interchange.payload_json import from_payload
from nbflow.interchange.seeds import temporal_seed
from nbflow.interchange.side_effects import PATCH_MARKER, side_effect_of
from nbflow.interchange.temporal_export import HEADER, KEPT_IN_HEADER

__all__ = ["ForeignHistory", "read_temporal_history"]


@dataclass(frozen=True)
class ForeignHistory:
    """A history from elsewhere, read.

    Parameters
    ----------
    workflow_id, run_id
        Whose it is.
    backend
        ``temporal`` or ``embedded``: who recorded it.
    events
        In order.
    """

    workflow_id: str
    run_id: str
    backend: str
    events: list[HistoryEvent]


def read_temporal_history(
    trees: Sequence[Mapping[str, Any]], workflow_id: str | None = None, run_id: str | None = None
) -> ForeignHistory:
    """Read the events of one execution.

    Parameters
    ----------
    trees
        The JSON events, as ``temporal workflow show --output json`` or temporalio's ``WorkflowHistory.to_json``
        has them; keys and enums in either spelling.
    workflow_id, run_id
        Whose they are, where the history does not say it itself.

    Returns
    -------
    ForeignHistory
        With the server's event ids.

    Raises
    ------
    HistoryFormatError
        When they are no whole history, or don't say whose they are.
    """
    if not trees:
        raise HistoryFormatError("the history has no events")
    context = Context()
    events = [read_event(tree, context) for tree in trees]
    started = events[0]
    if not isinstance(started, WorkflowExecutionStarted):
        msg = f"the history begins with a {type(started).__name__}, not with WorkflowExecutionStarted"
        raise HistoryFormatError(msg)
    for position, event in enumerate(events, start=1):
        if event.event_id != position:
            msg = f"the history has a gap: event {event.event_id} stands where {position} should"
            raise HistoryFormatError(msg)
    told = _attributes_of_start(trees[0])
    original = str(find(told, "originalExecutionRunId") or "")
    workflow = workflow_id or started.workflow_id
    run = run_id or _run_id_after_reset(events) or original or started.first_execution_run_id
    if not workflow or not run:
        msg = "the history does not say whose it is (older servers leave that out); give the workflow id and run id"
        raise HistoryFormatError(msg)
    own = _own_header(told)
    events[0] = replace(
        started,
        workflow_id=workflow,
        **{"random_seed": temporal_seed(original or run), **own},
    )
    return ForeignHistory(workflow, run, "temporal", [_own_marker(event) for event in events])


def _attributes_of_start(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    found = find(tree, "workflowExecutionStartedEventAttributes")
    return found if isinstance(found, Mapping) else {}


def _run_id_after_reset(events: Sequence[HistoryEvent]) -> str | None:
    resets = [it.new_run_id for it in events if isinstance(it, WorkflowTaskFailed) and it.cause == "RESET_WORKFLOW"]
    return resets[-1] if resets else None


def _own_header(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an exported history of ours keeps in its header."""
    payload = (at(told, "header.fields") or {}).get(HEADER)
    kept = from_payload(payload) if payload else {}
    return {name: kept[name] for name in KEPT_IN_HEADER if name in kept} if isinstance(kept, Mapping) else {}


def _own_marker(event: HistoryEvent) -> HistoryEvent:
    """Turn a patch marker that carries a side effect back into what it is."""
    if not isinstance(event, MarkerRecorded) or event.marker_name != PATCH_MARKER:
        return event
    data = event.details.get("patch-data") or event.details.get("patch_data")
    told = data.tree if data else None
    effect = side_effect_of(str(told.get("id", ""))) if isinstance(told, dict) else None
    if effect is None:
        return event
    marker_id, value = effect
    return replace(event, marker_name="side_effect", details={"id": Payload.of_tree(marker_id), "data": value})
