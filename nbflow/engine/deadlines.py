"""Deadlines in a heap: what is due when, with cancelled entries skipped when they surface."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Deadline", "Deadlines"]


class Deadline:
    """One entry; cancel it by calling :meth:`cancel`."""

    __slots__ = ("_heap", "args", "callback", "due")

    def __init__(self, heap: Deadlines, due: int, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._heap = heap
        self.due = due
        self.callback: Callable[..., None] | None = callback
        self.args = args

    def cancel(self) -> None:
        """Never call back."""
        if self.callback is not None:
            self.callback = None
            self.args = ()
            self._heap.note_cancelled()


class Deadlines:
    """A heap of deadlines in microseconds since the epoch; equal ones in order of entry."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Deadline]] = []
        self._sequence = 0
        self._cancelled = 0

    def note_cancelled(self) -> None:
        """Count a cancelled entry; when they are the greater part, sweep them out."""
        self._cancelled += 1
        if self._cancelled > 1000 and self._cancelled * 2 > len(self._heap):
            self._heap = [item for item in self._heap if item[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def add(self, due: int, callback: Callable[..., None], *args: Any) -> Deadline:
        """Enter a deadline.

        Parameters
        ----------
        due
            Microseconds since the epoch.
        callback, args
            What to call then.

        Returns
        -------
        Deadline
            To cancel it by.
        """
        entry = Deadline(self, due, callback, args)
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, entry))
        return entry

    @property
    def next_due(self) -> int | None:
        """The earliest deadline, or None."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
            self._cancelled = max(0, self._cancelled - 1)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: int) -> Iterator[Deadline]:
        """Remove and yield what is due, earliest first."""
        while (due := self.next_due) is not None and due <= now:
            yield heapq.heappop(self._heap)[2]
