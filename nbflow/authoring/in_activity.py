"""What activity code calls: who it is, heartbeats, progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any, NoReturn, TypeVar

from nbflow.core.activity_context import ActivityInfo, current_activity, running_activity
from nbflow.exceptions import CompleteLater

__all__ = ["activity_info", "complete_later", "heartbeat", "track"]

T = TypeVar("T")
_TRACKED = "nbflow.track"


def activity_info() -> ActivityInfo:
    """Return what the running attempt knows of itself.

    Raises
    ------
    NotInActivityError
        Outside of activities.
    """
    return current_activity("activity_info").info


def heartbeat(details: Any = None) -> None:
    """Say that the activity is alive, and how far it got.

    Parameters
    ----------
    details
        Kept for the next attempt as ``activity_info().heartbeat_details``.

    Raises
    ------
    ActivityCancelled
        When cancellation was requested. It is no ``Exception``: let it pass after cleaning up.
    NotInActivityError
        Outside of activities.
    """
    current_activity("heartbeat").heartbeat(details)


def complete_later() -> NoReturn:
    """Leave the function without an outcome: somebody else completes the activity, by its task token.

    Hand ``activity_info().task_token`` to them first. They call ``nbflow.get_activity(token).complete(value)``, or
    ``.fail(error)``, or ``nbflow complete TOKEN VALUE`` in a shell. The activity's timeouts go on.

    Raises
    ------
    CompleteLater
        Always; it is no ``Exception``: let it pass.
    NotInActivityError
        Outside of activities.
    """
    current_activity("complete_later")
    raise CompleteLater


def track(iterable: Iterable[T], *, total: int | None = None) -> Iterator[T]:
    """Go through items, heartbeat after each, and resume behind the last one that was done.

    Parameters
    ----------
    iterable
        The items; in the same order in every attempt.
    total
        How many there are, where ``len()`` can't tell.

    Yields
    ------
    object
        Each item that no earlier attempt has done.
    """
    context = running_activity.get()
    if context is None:
        yield from iterable
        return
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    details = context.info.heartbeat_details
    done = details.get("done", 0) if isinstance(details, dict) and details.get("kind") == _TRACKED else 0
    for position, item in enumerate(iterable, start=1):
        if position > done:
            yield item
            context.heartbeat({"kind": _TRACKED, "done": position, "total": total})
