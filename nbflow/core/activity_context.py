"""What a running activity may ask of the engine: who it is, and to be heard while it works."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nbflow.exceptions import NotInActivityError

__all__ = ["ActivityContext", "ActivityInfo", "current_activity", "running_activity"]


@dataclass(frozen=True, kw_only=True)
class ActivityInfo:
    """What a running attempt knows of itself.

    Parameters
    ----------
    activity_id, activity_type
        Which activity.
    attempt
        Which try, from 1.
    workflow_id, run_id, workflow_type
        Which execution asked for it.
    scheduled_time, started_time
        When it was asked for, and when this attempt began, UTC.
    heartbeat_details
        What the last attempt reported last, or None.
    idempotency_key
        The same for all attempts of this activity, and for no other: hand it to services
        that can drop repeated requests.
    start_to_close_timeout, heartbeat_timeout
        Deadlines in seconds, or None.
    """

    activity_id: str
    activity_type: str
    attempt: int
    workflow_id: str
    run_id: str
    workflow_type: str
    scheduled_time: datetime
    started_time: datetime
    heartbeat_details: Any
    idempotency_key: str
    start_to_close_timeout: float | None = None
    heartbeat_timeout: float | None = None


class ActivityContext:
    """One running attempt, as its code sees it.

    Parameters
    ----------
    info
        Makes the attempt's description when first asked.
    heartbeat
        Takes heartbeat details; raises ActivityCancelled when cancellation was requested.
    log
        Takes level, logger name and message.
    """

    __slots__ = ("_info", "_make_info", "heartbeat", "just_logged", "log", "partial_lines")

    def __init__(
        self,
        info: Callable[[], ActivityInfo],
        heartbeat: Callable[[Any], None],
        log: Callable[[int, str, str], None],
    ) -> None:
        self._make_info = info
        self._info: ActivityInfo | None = None
        self.heartbeat = heartbeat
        self.log = log
        self.partial_lines: dict[str, str] = {}
        """What was printed since the last line break, by stream."""
        self.just_logged = ""

    def finish(self) -> None:
        """Log what was printed without a line break."""
        for stream, text in self.partial_lines.items():
            if text:
                self.log(20, stream, text)
        self.partial_lines.clear()

    @property
    def info(self) -> ActivityInfo:
        """The attempt's description."""
        if self._info is None:
            self._info = self._make_info()
        return self._info


running_activity: ContextVar[ActivityContext | None] = ContextVar("nbflow_running_activity", default=None)
"""The attempt that runs in this thread or task."""


def current_activity(caller: str) -> ActivityContext:
    """Return the running attempt.

    Parameters
    ----------
    caller
        Name of the public function, for the error.

    Returns
    -------
    ActivityContext
        The attempt.

    Raises
    ------
    NotInActivityError
        Outside of activities.
    """
    context = running_activity.get()
    if context is None:
        raise NotInActivityError(caller)
    return context
