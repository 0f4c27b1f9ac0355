"""Plain ``def`` workflows: a greenlet that hands over to the loop whenever it must wait.

:func:`block_on` is the only function that ever switches away from a workflow greenlet. A greenlet
never changes threads, so every activation of an execution runs on one thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

__all__ = ["WorkflowGreenlet", "block_on", "call_user_function", "in_workflow_greenlet"]

T = TypeVar("T")


class WorkflowGreenlet(greenlet):
    """The stack of one plain ``def`` workflow or handler."""


def in_workflow_greenlet() -> bool:
    """Return True if the caller may block: it runs inside a plain ``def`` workflow or handler."""
    return isinstance(getcurrent(), WorkflowGreenlet)


def block_on(awaitable: Awaitable[T]) -> T:
    """Wait for an awaitable from plain code on a workflow greenlet.

    Parameters
    ----------
    awaitable
        What to wait for.

    Returns
    -------
    object
        Its result.
    """
    current = getcurrent()
    assert current.parent is not None
    return current.parent.switch(awaitable)  # type: ignore[no-any-return]


async def _run_on_greenlet(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    stack = WorkflowGreenlet(function)
    stack.gr_context = contextvars.copy_context()
    asyncio.current_task().greenlet = stack  # type: ignore[union-attr]  # for those who ask where it waits
    outcome = stack.switch(*args, **kwargs)
    while not stack.dead:
        try:
            value = await outcome
        except BaseException as error:  # noqa: BLE001  raised again, at the blocking call
            outcome = None  # it holds the error, and the error's traceback holds this frame
            outcome = stack.throw(error)
        else:
            outcome = stack.switch(value)
    # A decorator may have put a plain function around an ``async def`` one.
    return await outcome if inspect.isawaitable(outcome) else outcome


def call_user_function(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Awaitable[Any]:
    """Call a workflow or handler of either colour.

    Parameters
    ----------
    function
        ``async def`` or plain ``def``.
    args, kwargs
        Its arguments.

    Returns
    -------
    Awaitable
        A coroutine that ends with the function's result.
    """
    if inspect.iscoroutinefunction(function):
        return function(*args, **kwargs)  # type: ignore[no-any-return]
    return _run_on_greenlet(function, args, kwargs)
