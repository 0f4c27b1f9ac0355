"""What workflow code calls beside activities: time, waiting, messages, deterministic values.

Each function works in both colours: in an ``async def`` workflow it returns something to await,
in a plain ``def`` workflow it blocks, durably.
"""

from __future__ import annotations

import asyncio
import random as random_module
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar, overload

from nbflow.authoring.updates import UnfinishedPolicy, check_unfinished_policy
from nbflow.core.bridge import block_on, in_workflow_greenlet
from nbflow.core.durations import Duration, parse_duration
from nbflow.core.runtime import WorkflowInfo, current_runtime

__all__ = [
    "gather",
    "info",
    "now",
    "query",
    "random",
    "side_effect",
    "signal",
    "sleep",
    "uuid4",
    "wait_condition",
    "wait_for_signal",
    "wait_here",
]

F = TypeVar("F", bound=Callable[..., Any])


def wait_here(awaitable: Any) -> Any:
    """Block on it in a plain ``def`` workflow; hand it out to be awaited in an ``async def`` one."""
    return block_on(awaitable) if in_workflow_greenlet() else awaitable


def sleep(duration: Duration, *, summary: str | None = None) -> Any:
    """Sleep durably: kernel restarts don't lengthen it, and it costs nothing while it lasts.

    Parameters
    ----------
    duration
        Seconds, a ``timedelta``, ``"30 days"``, ``"1h30m"``, or ISO 8601.
    summary
        One line for people, shown beside the timer.

    Returns
    -------
    None or Awaitable
        Await it in an ``async def`` workflow.
    """
    return wait_here(current_runtime("sleep").sleep(parse_duration(duration), summary))


def now() -> datetime:
    """Return the time, UTC, as history has it: the same in every replay."""
    return current_runtime("now").now()


def random() -> random_module.Random:
    """Return the execution's own random generator: the same numbers in every replay."""
    return current_runtime("random").random()


def uuid4() -> uuid.UUID:
    """Return a random UUID: the same one in every replay."""
    return uuid.UUID(int=current_runtime("uuid4").random().getrandbits(128), version=4)


def gather(*awaitables: Awaitable[Any], return_exceptions: bool = False) -> Any:
    """Wait for several handles at once.

    Parameters
    ----------
    *awaitables
        Handles of ``.start()``, or anything awaitable.
    return_exceptions
        True to get failures in place of results instead of raising the first.

    Returns
    -------
    list or Awaitable of list
        Results in order.
    """
    current_runtime("gather")

    async def collect() -> list[Any]:
        return list(await asyncio.gather(*awaitables, return_exceptions=return_exceptions))

    return wait_here(collect())


def wait_condition(
    predicate: Callable[[], object], timeout: Duration | None = None, *, summary: str | None = None
) -> Any:
    """Wait until a condition holds. It is looked at whenever the execution moves.

    Parameters
    ----------
    predicate
        Reads the workflow's variables; must not change anything.
    timeout
        Give up after this long.
    summary
        One line for people, shown beside the timer.

    Returns
    -------
    None or Awaitable
        Await it in an ``async def`` workflow.

    Raises
    ------
    TimeoutError
        When it did not hold in time.
    """
    seconds = None if timeout is None else parse_duration(timeout)
    return wait_here(current_runtime("wait_condition").wait_condition(predicate, seconds, summary))


def wait_for_signal(name: str, timeout: Duration | None = None, *, summary: str | None = None) -> Any:
    """Wait for the next signal of a name; one that came earlier counts.

    Parameters
    ----------
    name
        Name of the signal.
    timeout
        Give up after this long.
    summary
        One line for people, shown beside the timer.

    Returns
    -------
    object or Awaitable of object
        The signal's argument; a tuple if it came with several, None with none.

    Raises
    ------
    TimeoutError
        When none came in time.
    """
    seconds = None if timeout is None else parse_duration(timeout)
    return wait_here(current_runtime("wait_for_signal").wait_for_signal(name, seconds, summary))


def side_effect(function: Callable[[], Any]) -> Any:
    """Run a small function once and record what it returned: replay takes the record.

    Parameters
    ----------
    function
        Takes nothing; should not fail, take long, or matter if it runs again after a crash.

    Returns
    -------
    object
        What it returned, as recorded.
    """
    return current_runtime("side_effect").side_effect(function)


def info() -> WorkflowInfo:
    """Return the execution's identity: ids, type, attempt, memo …"""
    return current_runtime("info").info


@overload
def signal(handler: F, /) -> F: ...
@overload
def signal(*, name: str | None = None, unfinished_policy: UnfinishedPolicy = "warn") -> Callable[[F], F]: ...
def signal(handler: Any = None, /, *, name: str | None = None, unfinished_policy: UnfinishedPolicy = "warn") -> Any:
    """Let an inner function of the workflow handle signals of its name.

    Parameters
    ----------
    handler
        ``def`` or ``async def``; signals that came earlier are handed to it at once.
    name
        Name of the signal; default the function's.
    unfinished_policy
        ``"warn"`` (default) or ``"abandon"``: whether to say so when the execution closes while the handler waits.

    Returns
    -------
    Callable
        The function itself.
    """
    return _register("signal", handler, name, unfinished_policy)


@overload
def query(handler: F, /) -> F: ...
@overload
def query(*, name: str) -> Callable[[F], F]: ...
def query(handler: Any = None, /, *, name: str | None = None) -> Any:
    """Let an inner function of the workflow answer queries of its name.

    Parameters
    ----------
    handler
        A plain ``def`` that reads the workflow's variables and changes nothing.
    name
        Name of the query; default the function's.

    Returns
    -------
    Callable
        The function itself.
    """
    return _register("query", handler, name)


def _register(kind: str, handler: Any, name: str | None, unfinished_policy: str = "warn") -> Any:
    check_unfinished_policy(unfinished_policy)

    def mark(function: F) -> F:
        current_runtime(kind).set_handler(kind, name or function.__name__, function, unfinished_policy)
        return function

    return mark if handler is None else mark(handler)
