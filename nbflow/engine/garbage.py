"""When Python's garbage collector runs while engines run: between bursts of work, and seldom within one.

With Python's threshold of 700 allocations a quarter of a burst goes into collections that find nothing,
since what an execution leaves behind dies by its reference count.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

__all__ = ["RestingCollector"]

_BURST = 250_000
"""Allocations within a burst after which it runs all the same."""

_WORTH_IT = 700
"""Allocations after which a young collection is worth its time: Python's own default."""

_PERIOD, _SHARE = 1.0, 100
"""Seconds between young collections, and how many times as long as one they are apart: each takes up to 20 ms."""


class RestingCollector:
    """Sets the threshold when the first engine starts, and back when the last one ends."""

    def __init__(self) -> None:
        self._users = 0
        self._lock = threading.Lock()
        self._before = gc.get_threshold()
        self._next = 0.0

    def begin(self) -> None:
        """An engine starts."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._before = gc.get_threshold()
                gc.set_threshold(max(self._before[0], _BURST), *self._before[1:])

    def end(self) -> None:
        """An engine ends."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                gc.set_threshold(*self._before)

    def when_idle(self, clock: Callable[[], float]) -> None:
        """Collect what is young, now and then: cycles may hold large data.

        Parameters
        ----------
        clock
            Tells monotonic seconds.
        """
        begin = clock()
        if begin > self._next and gc.get_count()[0] > _WORTH_IT and gc.isenabled():
            gc.collect(0)
            self._next = begin + max(_PERIOD, (clock() - begin) * _SHARE)
