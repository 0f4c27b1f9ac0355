"""Threads that executions are pinned to: a greenlet can't change threads, so neither may its execution."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["Lanes"]


class Lanes:
    """Some threads, each serving the executions that were given to it.

    Parameters
    ----------
    count
        How many threads.
    """

    def __init__(self, count: int = 8) -> None:
        self._lanes = [ThreadPoolExecutor(1, thread_name_prefix=f"nbflow-lane-{i}") for i in range(count)]
        self._load = [0] * count
        self._lock = threading.Lock()

    def take(self) -> int:
        """Choose the thread that has the fewest executions."""
        with self._lock:
            lane = min(range(len(self._load)), key=self._load.__getitem__)
            self._load[lane] += 1
            return lane

    def give_back(self, lane: int) -> None:
        """Tell that an execution has left its thread."""
        with self._lock:
            self._load[lane] -= 1

    def run(self, lane: int, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function on a thread and wait for its result."""
        return self._lanes[lane].submit(function, *args).result()

    def close(self) -> None:
        """End the threads."""
        for lane in self._lanes:
            lane.shutdown()
