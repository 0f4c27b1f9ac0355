"""What adapters measure with: stamps that steps leave, percentiles, memory, and one run's surroundings."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One phase of one workload on one engine, in a process of its own."""

    folder: Path
    params: Mapping[str, int]
    variant: str
    spawned: float

    def __getitem__(self, name: str) -> int:
        return self.params[name]

    def store(self, suffix: str = "db") -> str:
        return str(self.folder / f"store.{suffix}")

    def keep(self, ids: Sequence[str]) -> None:
        """Leave ids for the phase after the crash."""
        (self.folder / "ids.json").write_text(json.dumps(list(ids)))

    def kept(self) -> list[str]:
        return list(json.loads((self.folder / "ids.json").read_text()))

    def since_spawn(self) -> float:
        """Seconds since the parent asked for this process."""
        return time.monotonic() - self.spawned


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value at a share (0 to 1) of the sorted values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99, in ms."""
    return {"ms_p50": percentile(seconds, 0.5) * 1e3, "ms_p99": percentile(seconds, 0.99) * 1e3}


def gaps(stamps: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 of the time from one stamp to the next, in ms."""
    return milliseconds([after - before for before, after in pairwise(stamps)])


def rate(count: int, seconds: float, name: str = "steps_s") -> dict[str, float]:
    return {name: count / seconds, "seconds": seconds}


def large(stamps: Sequence[float], size: int) -> dict[str, float]:
    """Return the figures of W6 from the stamps around each step: MB/s over all, and p50 and p99 of a step."""
    return {"mb_s": (len(stamps) - 1) * size / 1e6 / (stamps[-1] - stamps[0]), **gaps(stamps)}


def check(results: Sequence[object]) -> None:
    """Make sure that each recovered workflow gave back what unblocked it: its own number."""
    wrong = [(at, result) for at, result in enumerate(results) if result != at]
    if wrong:
        raise AssertionError(f"{len(wrong)} workflows gave a wrong result, first {wrong[0]}")


@functools.cache
def _random_text(size: int) -> str:
    return os.urandom(size // 2).hex()


def unlike(size: int, number: int) -> str:
    """Return a large text unlike that of any other number, at no more cost than a copy."""
    return f"{number:08d}" + _random_text(size)[8:]


def rss_mb() -> float:
    """Memory of this process and of the servers that it started (its process group), in MB."""
    group, total = os.getpgrp(), 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.getpgid(int(entry.name)) == group:
                pages = int((entry / "statm").read_text().split()[1])
                total += pages * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):
            continue  # it ended while we looked
    return total / 1e6


def until(condition: Callable[[], bool], timeout: float = 300.0, pause: float = 0.005) -> None:
    """Poll from outside until something is so; only where an engine has no way to tell."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the engine did not get there in time")
        time.sleep(pause)


async def until_async(condition: Callable[[], Awaitable[bool]], pause: float = 0.02) -> None:
    """Poll a server until something is so; only where there is no way to be told."""
    while not await condition():  # noqa: ASYNC110  what we wait for is outside this process
        await asyncio.sleep(pause)
