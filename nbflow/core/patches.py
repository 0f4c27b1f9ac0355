"""Patches: code paths that executions recorded before a change do not take.

``patched(id)`` is False exactly if the execution came past this place before the patch was there. The answer is
found once a run; True leaves a marker behind, which every later replay finds before the code runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from nbflow.core.commands import Command, RecordMarker, UpsertSearchAttributes, patch_of
from nbflow.core.events import HistoryEvent, MarkerRecorded, UpsertWorkflowSearchAttributes
from nbflow.core.payloads import Payload
from nbflow.core.search_attributes import CHANGE_VERSION

__all__ = ["PATCH_EVENTS", "Patches", "is_change_version", "is_listed", "patch_id_of"]

MARKER = "core_patch"
PATCH_EVENTS = frozenset({MarkerRecorded, UpsertWorkflowSearchAttributes})
"""Types of the events that a patch leaves behind."""


def patch_id_of(event: HistoryEvent) -> str | None:
    """Return the patch that an event marks, or None."""
    return patch_of(event.details) if type(event) is MarkerRecorded and event.marker_name == MARKER else None


def is_change_version(it: HistoryEvent | Command | None) -> bool:
    """Say whether an event, or a command, lists the patches of its execution."""
    kinds = UpsertWorkflowSearchAttributes, UpsertSearchAttributes
    return isinstance(it, kinds) and set(it.search_attributes or ()) == {CHANGE_VERSION}


def is_listed(commands: Sequence[HistoryEvent], patch_id: str) -> bool:
    """Say whether the event that marks a patch is followed by one that lists it: Temporal's may not be.

    What the code asks for next is not always what is recorded next: some of it may be withdrawn within the activation.
    """
    marks = (position for position, event in enumerate(commands) if patch_id_of(event) == patch_id)
    following = next(marks, len(commands)) + 1
    return following < len(commands) and is_change_version(commands[following])


class Patches:
    """The patches of one execution."""

    def __init__(self) -> None:
        self.recorded: set[str] = set()
        """Those that a replay has found in its history."""
        self.live_from = sys.maxsize
        """The event from which on a replay goes where no execution has gone before."""
        self._answers: dict[str, bool] = {}
        self._marked: list[str] = []
        self._has_skipped = False

    def known(self, patch_id: str) -> bool | None:
        """Return the answer that was given before, or None."""
        return self._answers.get(patch_id)

    def decide(self, patch_id: str, *, is_replaying: bool) -> bool:
        """Answer for the first time."""
        answer = self._answers[patch_id] = not is_replaying or patch_id in self.recorded
        return answer

    def marker(self, patch_id: str, *, deprecated: bool) -> RecordMarker:
        """Return what marks a patch in history."""
        self._marked.append(patch_id)
        data = json.dumps({"id": patch_id, "deprecated": deprecated}, separators=(",", ":"))
        return RecordMarker(marker_name=MARKER, details={"patch-data": Payload(data)})

    def change_version(self) -> UpsertSearchAttributes:
        """Return what lists the patches for those who search."""
        return UpsertSearchAttributes(search_attributes={CHANGE_VERSION: list(self._marked)})

    def may_skip(self, event: HistoryEvent, command: Command | None) -> bool:
        """Say whether history may have an event that this code no longer asks for: what marks a deprecated patch."""
        if is_change_version(event):
            skipped, self._has_skipped = self._has_skipped, False
            return skipped and not (command is not None and command.fits(event))
        patch_id = patch_id_of(event)
        if patch_id is None or (command is not None and command.fits(event)):
            return False
        self._has_skipped = event.details["patch-data"].tree.get("deprecated") is True  # type: ignore[attr-defined]
        if self._has_skipped:
            self._marked.append(patch_id)
        return self._has_skipped
