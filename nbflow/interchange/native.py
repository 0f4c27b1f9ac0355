"""nbflow's own form of a history: JSON with every attribute as the log has it, large values inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from nbflow.core.event_json import attributes_json, event_from_attributes, type_name
from nbflow.core.events import HistoryEvent
from nbflow.core.payloads import Payload
from nbflow.exceptions import HistoryCorruptedError, HistoryFormatError
from nbflow.interchange.kinds import parse_time, time_text
from nbflow.interchange.payload_json import LoadBlob, payload_of_tree, whole_tree
from nbflow.interchange.temporal_import import ForeignHistory

__all__ = ["FORMAT", "native_history", "read_native_history", "whole_attributes"]

FORMAT = "nbflow-history/1"


def whole_attributes(event: HistoryEvent, load_blob: LoadBlob | None) -> Any:
    """Return an event's attributes as JSON, with large values inside."""
    return whole_tree(json.loads(attributes_json(event)), load_blob)


def native_history(
    history: Sequence[HistoryEvent],
    workflow_id: str,
    run_id: str,
    load_blob: LoadBlob | None = None,
    backend: str = "embedded",
) -> dict[str, Any]:
    """Write a history in nbflow's own form.

    Parameters
    ----------
    history
        All events, in order.
    workflow_id, run_id
        Whose they are.
    load_blob
        Fetches values that lie beside the events, by their hash.
    backend
        Who recorded it.

    Returns
    -------
    dict
        ``{"format", "workflow_id", "run_id", "backend", "events"}``.
    """
    return {
        "format": FORMAT,
        "workflow_id": workflow_id,
        "run_id": run_id,
        "backend": backend,
        "events": [
            {
                "event_id": event.event_id,
                "event_time": time_text(event.event_time),
                "event_type": type_name(event),
                "attributes": whole_attributes(event, load_blob),
            }
            for event in history
        ],
    }


def read_native_history(tree: Mapping[str, Any]) -> ForeignHistory:
    """Read nbflow's own form.

    Parameters
    ----------
    tree
        What :func:`native_history` wrote.

    Raises
    ------
    HistoryFormatError
        When it is something else.
    """
    try:
        events = [
            _with_blobs(
                event_from_attributes(
                    it["event_type"], int(it["event_id"]), parse_time(it["event_time"]), it["attributes"]
                )
            )
            for it in tree["events"]
        ]
        found = ForeignHistory(str(tree["workflow_id"]), str(tree["run_id"]), str(tree["backend"]), events)
    except (KeyError, TypeError, ValueError, HistoryCorruptedError) as error:
        msg = f"this is no history of nbflow ({type(error).__name__}: {error})"
        raise HistoryFormatError(msg) from error
    if [event.event_id for event in events] != list(range(1, len(events) + 1)) or not events:
        raise HistoryFormatError("the history is not whole: its events are not numbered from 1 without a gap")
    return found


def _with_blobs(event: HistoryEvent) -> HistoryEvent:
    """Take large values out of an event, as the codec would have."""
    large: dict[str, Any] = {}
    for own in fields(event):
        value = getattr(event, own.name)
        if isinstance(value, Payload):
            stored = payload_of_tree(value.tree)
            if stored.blobs:
                large[own.name] = stored
    return replace(event, **large) if large else event
