"""The one door through which time, and chance, enter nbflow."""

from __future__ import annotations

import os
import random
import time
from typing import Protocol

__all__ = ["Clock", "RealClock", "SkippingClock", "new_run_id", "new_seed"]


class Clock(Protocol):
    """What the engine asks of time."""

    def now(self) -> int:
        """Return microseconds since the epoch, UTC; never less than before."""
        ...

    def seconds_until(self, due: int) -> float:
        """Return how long to really wait for a deadline."""
        ...

    def skip_to(self, due: int) -> bool:
        """Jump to a deadline; False if this clock does not jump."""
        ...


class RealClock:
    """The wall clock, kept from going backwards."""

    def __init__(self) -> None:
        self._latest = (0, 0)  # what was told last, and when by the monotonic clock: one tuple, for threads

    def now(self) -> int:
        """Return microseconds since the epoch, UTC; never less than before."""
        return self._not_before(time.time_ns() // 1000)

    def _not_before(self, wall: int) -> int:
        """Go on at the usual pace when the wall clock was set back: what is due in a second comes in a second."""
        latest, then = self._latest
        ticks = time.monotonic_ns() // 1000
        told = max(wall, latest + ticks - then if latest else 0)
        self._latest = (told, ticks)
        return told

    def seconds_until(self, due: int) -> float:
        """Return how long to really wait for a deadline."""
        return max(0.0, (due - self.now()) / 1_000_000)

    def skip_to(self, due: int) -> bool:  # noqa: ARG002  the protocol's signature
        """Refuse: real time can't be skipped."""
        return False


class SkippingClock(RealClock):
    """A clock that jumps to the next deadline when nothing else is left to do. For tests.

    Parameters
    ----------
    start
        Microseconds since the epoch to begin at; default the real time.
    """

    def __init__(self, start: int | None = None) -> None:
        super().__init__()
        self._skipped = 0 if start is None else start - time.time_ns() // 1000

    def now(self) -> int:
        """Return microseconds since the epoch, UTC, with all that was skipped."""
        return self._not_before(time.time_ns() // 1000 + self._skipped)

    def skip_to(self, due: int) -> bool:
        """Jump to a deadline."""
        self._skipped += max(0, due - self.now())
        return True


def new_run_id(now: int) -> str:
    """Make a UUIDv7: sortable by start time.

    Parameters
    ----------
    now
        Microseconds since the epoch.

    Returns
    -------
    str
        In the usual form.
    """
    milliseconds, rest = divmod(now, 1000)
    random_bits = _chance.getrandbits(62)
    value = milliseconds << 80 | 7 << 76 | (rest << 2) << 64 | 2 << 62 | random_bits
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_chance = random.Random(os.urandom(32))
os.register_at_fork(after_in_child=lambda: _chance.seed(os.urandom(32)))


def new_seed() -> int:
    """Draw the seed of one execution's generator: a whole number that JSON readers keep exactly."""
    return _chance.getrandbits(53)
