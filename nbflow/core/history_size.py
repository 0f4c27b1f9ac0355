"""How much history an execution has, counted as it grows: the same in every replay.

An estimate in bytes: the texts of values and failures, and a fixed amount for all else.
"""

from __future__ import annotations

from dataclasses import fields

from nbflow.core.events import EVENT_TYPES, HistoryEvent, MarkerRecorded
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload

__all__ = ["HistorySize"]

_REST = 200
"""Bytes of an event beside its values, about."""

_UNMEASURED_AT_MOST = 100
"""So many values may wait to be measured: those that wait stay in memory as long as the execution does."""


def _attributes(kind: str) -> dict[type[HistoryEvent], tuple[str, ...]]:
    return {cls: tuple(f.name for f in fields(cls) if str(f.type).startswith(kind)) for cls in EVENT_TYPES.values()}


_PAYLOADS = _attributes("Payload")
_FAILURES = _attributes("Failure")


class HistorySize:
    """Counts the events of one execution."""

    __slots__ = ("_bytes", "_unmeasured")

    def __init__(self) -> None:
        self._bytes = 0
        self._unmeasured: list[Payload] = []
        """Values read from the log: their length is worked out if somebody asks, or when they get many."""

    def add(self, event: HistoryEvent) -> None:
        """Count an event."""
        self._bytes += _REST
        cls = type(event)
        for name in _PAYLOADS[cls]:
            payload = getattr(event, name)
            if payload is not None:
                self._add_payload(payload)
        if cls in _WITH_MORE:
            self._add_rest(event)

    def _add_payload(self, payload: Payload) -> None:
        if payload.is_parsed:
            self._unmeasured.append(payload)
            if len(self._unmeasured) > _UNMEASURED_AT_MOST:
                self._measure()
        else:
            self._bytes += len(payload.text)

    def _add_rest(self, event: HistoryEvent) -> None:
        for name in _FAILURES[type(event)]:
            failure: Failure | None = getattr(event, name)
            while failure is not None:
                self._bytes += _REST + len(failure.message) + len(failure.stack_trace)
                failure = failure.cause
        if isinstance(event, MarkerRecorded):
            for payload in event.details.values():
                self._add_payload(payload)

    @property
    def bytes(self) -> int:
        """The estimate."""
        self._measure()
        return self._bytes

    def _measure(self) -> None:
        for payload in self._unmeasured:
            self._bytes += len(payload.text)
        self._unmeasured.clear()


_WITH_MORE = frozenset({MarkerRecorded, *(cls for cls, names in _FAILURES.items() if names)})
