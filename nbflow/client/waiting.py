"""Waiting for the engine's answers, in short polls."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

__all__ = ["POLL", "wait_for"]

POLL = 0.1
"""Seconds: so soon an interrupt gets through."""


def wait_for(answer: Future[Any], timeout: float | None = None, tick: Callable[[], None] | None = None) -> Any:
    """Wait for an answer in short polls, so that Ctrl-C gets through.

    Parameters
    ----------
    answer
        From the engine.
    timeout
        Seconds, or None.
    tick
        Called after each poll.

    Returns
    -------
    object
        The answer.

    Raises
    ------
    concurrent.futures.TimeoutError
        When none came in time.
    """
    left = float("inf") if timeout is None else timeout
    while True:
        try:
            return answer.result(min(POLL, max(left, 0)))
        except FutureTimeoutError:
            if answer.done():
                raise
            left -= POLL
            if left <= 0:
                raise
        if tick is not None:
            tick()
