"""Executions that closed a short while ago: how they closed is told from memory, not from the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from nbflow.core.events import HistoryEvent, WorkflowExecutionCompleted
from nbflow.engine.execution import RunState
from nbflow.engine.journal import Journal

__all__ = ["Closings"]

_MOST_KEPT = 20_000
"""Closings; reading one back from the log costs as much as running a small execution."""

_MOST_BYTES = 64_000_000
"""Of results; a few data frames must not fill the memory."""


class Closings:
    """The newest closed executions, oldest first; forgotten when they are too many or too large.

    Parameters
    ----------
    journal
        Knows which closings are durable: until then nobody else can tell them.
    forget
        Drops what is known of an execution.
    """

    def __init__(self, journal: Journal, forget: Callable[[RunState], None]) -> None:
        self._journal = journal
        self._forget = forget
        self._kept: deque[tuple[RunState, int, int]] = deque()
        self._bytes = 0

    def add(self, run: RunState, event: HistoryEvent) -> None:
        """Keep how an execution closed."""
        run.closing_event = event
        size = _size(event)
        self._kept.append((run, self._journal.sequence, size))
        self._bytes += size
        while len(self._kept) > _MOST_KEPT or self._bytes > _MOST_BYTES:
            oldest, batch, size = self._kept[0]
            if batch > self._journal.committed:
                return
            self._kept.popleft()
            self._bytes -= size
            self._forget(oldest)


def _size(event: HistoryEvent) -> int:
    if not isinstance(event, WorkflowExecutionCompleted):
        return 0
    return len(event.result.text) + sum(len(blob.data) for blob in event.result.blobs)
