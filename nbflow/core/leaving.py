"""How coroutines and async generators leave memory: at once, whatever their cleanup code does.

Cleanup code may raise, wait, or go on as if nothing had happened. What raises has ended; what waits
is told again; what goes on and on is set aside for good, since collecting it would never end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from datetime import datetime, tzinfo
from types import AsyncGeneratorType
from typing import Any

__all__ = ["close_async_generator", "close_coroutine"]

_TIMES_TOLD = 100


def close_coroutine(coroutine: Coroutine[Any, Any, Any]) -> bool:
    """End a coroutine.

    Parameters
    ----------
    coroutine
        Not running.

    Returns
    -------
    bool
        False if it does not end; then it stays in memory.
    """
    all_ended = True
    for link in reversed(_chain(coroutine)):  # innermost first: an outer one ends even if its inner one does not
        all_ended = _close(link) and all_ended
    return all_ended


def _chain(coroutine: Coroutine[Any, Any, Any]) -> list[Coroutine[Any, Any, Any]]:
    """List a coroutine and those it waits for."""
    links: list[Coroutine[Any, Any, Any]] = []
    link: Any = coroutine
    while link is not None and hasattr(link, "close"):
        links.append(link)
        link = getattr(link, "cr_await", None)
    return links


def _close(coroutine: Coroutine[Any, Any, Any]) -> bool:
    for _ in range(_TIMES_TOLD):
        with contextlib.suppress(BaseException):  # whatever cleanup code raises, the execution has left
            coroutine.close()
        if getattr(coroutine, "cr_frame", None) is None:  # aclose() and asend() of a generator never have one
            return True
    _set_aside_for_good(coroutine)
    return False


def close_async_generator(generator: AsyncGeneratorType[Any, Any]) -> bool:
    """End an async generator without waiting for its cleanup code.

    Parameters
    ----------
    generator
        Not running.

    Returns
    -------
    bool
        False if it does not end; then it stays in memory.
    """
    closing = generator.aclose()
    tell: Callable[[Any], Any] = closing.send
    what: Any = None
    for _ in range(_TIMES_TOLD):
        with contextlib.suppress(BaseException):
            tell(what)
        if generator.ag_frame is None:
            return True
        tell, what = closing.throw, GeneratorExit
    _set_aside_for_good(generator)
    return False


class _Keeper(tzinfo):
    """Keeps what it is given for as long as the process lives, its very end included.

    It holds a ``datetime`` that holds it. The collector does not look into datetimes, so this is a cycle
    that it can't find; were it found at exit, the coroutines in it would be told to end, and would not.
    """

    def __init__(self) -> None:
        self.kept: list[object] = []
        self.itself = datetime(1970, 1, 1, tzinfo=self)


_keeper = _Keeper()  # type: ignore[abstract]  # it is never asked for the time


def _set_aside_for_good(thing: object) -> None:
    _keeper.kept.append(thing)
