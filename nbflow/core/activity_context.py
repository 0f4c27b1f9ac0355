"""What a running activity may ask of the engine: who it is, and to be heard while it works."""

from __future__ import annotations

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
    task_token
        Names this attempt for whoever completes it from outside, see ``nbflow.complete_later()``.
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
    task_token: str = ""


class ActivityContext:
    """One running attempt, as its code sees it. Engines derive from it."""

    __slots__ = ("_info", "_partial_lines", "just_logged")

    def __init__(self) -> None:
        self._info: ActivityInfo | None = None
        self._partial_lines: dict[str, str] | None = None
        self.just_logged = ""

    @property
    def info(self) -> ActivityInfo:
        """The attempt's description."""
        if self._info is None:
            self._info = self.describe()
        return self._info

    def describe(self) -> ActivityInfo:
        """Make the attempt's description."""
        raise NotImplementedError

    def heartbeat(self, details: Any) -> None:
        """Take heartbeat details; raise ActivityCancelled when cancellation was requested."""
        raise NotImplementedError

    def log(self, level: int, logger: str, message: str) -> None:
        """Take a log line."""
        raise NotImplementedError

    def write(self, level: int, stream: str, text: str) -> None:
        """Log whole lines of what is printed; keep the rest until its line is complete."""
        if self._partial_lines is None:
            self._partial_lines = {}
        lines = (self._partial_lines.get(stream, "") + text).split("\n")
        self._partial_lines[stream] = lines.pop()
        for line in lines:
            self.log(level, stream, line)

    def finish(self) -> None:
        """Log what was printed without a line break."""
        if self._partial_lines:
            for stream, text in self._partial_lines.items():
                if text:
                    self.log(20, stream, text)
            self._partial_lines = None


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
