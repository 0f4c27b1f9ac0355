"""How coroutines and async generators leave memory: at once, whatever their cleanup code does.

Cleanup code may raise, wait, or go on as if nothing had happened. What raises has ended; what waits
is told again; what goes on and on is set aside for good, since collecting it would complain forever.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections.abc import Callable, Coroutine
from types import AsyncGeneratorType
from typing import Any

__all__ = ["close_async_generator", "close_coroutine"]

_TIMES_TOLD = 100

_set_aside: list[object] = []
"""Coroutines and generators that swallow every exception."""


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


def _set_aside_for_good(thing: object) -> None:
    if not _set_aside:
        atexit.register(_hush)
    _set_aside.append(thing)


def _hush() -> None:
    """Let the process end without complaints about what was set aside."""
    hook, known = sys.unraisablehook, frozenset(map(id, _set_aside))

    def quiet(unraisable: Any) -> None:
        if id(unraisable.object) not in known:
            hook(unraisable)

    sys.unraisablehook = quiet
