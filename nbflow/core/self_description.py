"""What an execution says of itself: search attributes, memo, details.

Search attributes and memo are in history; details are not: whoever asks gets what the code said last, which a
replay rebuilds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbflow.core.events import WorkflowExecutionStarted
from nbflow.core.payloads import Converter, Payload
from nbflow.exceptions import ConfigurationError

__all__ = ["SelfDescription"]


class SelfDescription:
    """What one execution says of itself at this moment.

    Parameters
    ----------
    converter
        Encodes and decodes memos.
    """

    def __init__(self, converter: Converter) -> None:
        self._converter = converter
        self._memos: list[Payload] = []
        """The memo given at start, and what changed it."""
        self._search_attributes: dict[str, Any] = {}
        self.details = ""

    def begin(self, started: WorkflowExecutionStarted) -> None:
        """Take up what was given at start."""
        if started.memo is not None:
            self._memos.append(started.memo)
        self._search_attributes = dict(started.search_attributes or {})

    @property
    def memo(self) -> dict[str, Any]:
        """The memo as it is now; the caller's own copy."""
        merged: dict[str, Any] = {}
        for payload in self._memos:
            merged.update(self._converter.decode(payload))
        return {key: value for key, value in merged.items() if value is not None} if len(self._memos) > 1 else merged

    @property
    def search_attributes(self) -> dict[str, Any]:
        """The search attributes as they are now; the caller's own copy."""
        return {name: list(it) if isinstance(it, list) else it for name, it in self._search_attributes.items()}

    def change_search_attributes(self, changes: Mapping[str, Any]) -> None:
        """Lay changes over the search attributes; None takes one away."""
        merged = {**self._search_attributes, **changes}
        self._search_attributes = {name: value for name, value in merged.items() if value is not None}

    def change_memo(self, changes: object) -> Payload:
        """Lay changes over the memo; None takes a key away.

        Returns
        -------
        Payload
            The changes, as history keeps them.

        Raises
        ------
        ConfigurationError
            When they are no dict with text as keys, or too large for the views to look into.
        """
        if not isinstance(changes, Mapping) or not all(isinstance(key, str) for key in changes):
            msg = f"a memo must be a dict with text as keys, not {changes!r}"
            raise ConfigurationError(msg)
        payload = self._converter.encode(dict(changes))
        if "$nbflow" in payload.tree:
            msg = "the changes of a memo may have 256 KiB at most; keep large values in results of activities"
            raise ConfigurationError(msg)
        self._memos.append(payload)
        return payload
