"""Side effects on Temporal: its Core has no command for them, but it has patch markers.

Core announces the patch markers of a task *before* the code runs, so that ``patched`` can answer at once; and that
is just what a side effect needs. So the recorded value travels in the marker's patch id:
``nbflow.side_effect/1/<JSON>``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from nbflow.core.events import HistoryEvent, MarkerRecorded, UpsertWorkflowSearchAttributes
from nbflow.core.payloads import Payload

__all__ = ["PATCH_MARKER", "side_effect_of", "side_effect_patch", "with_side_effects_as_patches"]

PATCH_MARKER = "core_patch"
CHANGE_VERSION = "TemporalChangeVersion"
_SIDE_EFFECT = "side_effect"
_PREFIX = "nbflow.side_effect/"


def side_effect_patch(marker_id: str, data: Payload) -> str:
    """Return the patch id that carries a side effect's value."""
    return f"{_PREFIX}{marker_id}/{data.text}"


def side_effect_of(patch_id: str) -> tuple[str, Payload] | None:
    """Return marker id and value of the side effect that a patch id carries, or None."""
    if not patch_id.startswith(_PREFIX):
        return None
    marker_id, _, text = patch_id[len(_PREFIX) :].partition("/")
    return marker_id, Payload(text)


def with_side_effects_as_patches(history: Sequence[HistoryEvent]) -> list[HistoryEvent]:
    """Exchange side effects' markers for patch markers, each with the upsert that Core puts behind it."""
    known: list[str] = []
    return [written for event in history for written in _exchanged(event, known)]


def _exchanged(event: HistoryEvent, known: list[str]) -> Iterator[HistoryEvent]:
    if not isinstance(event, MarkerRecorded) or event.marker_name != _SIDE_EFFECT:
        yield event
        return
    patch_id = side_effect_patch(str(event.details["id"].tree), event.details["data"])
    known.append(patch_id)
    yield replace(event, marker_name=PATCH_MARKER, details=patch_details(patch_id))
    yield UpsertWorkflowSearchAttributes(
        event_id=0, event_time=event.event_time, search_attributes={CHANGE_VERSION: list(known)}
    )


def patch_details(patch_id: str) -> dict[str, Payload]:
    """Return the details of a patch marker."""
    data: dict[str, Any] = {"id": patch_id, "deprecated": False}
    return {"patch-data": Payload(json.dumps(data, separators=(",", ":")))}
