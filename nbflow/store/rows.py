"""What one commit carries besides events, and what the log answers: rows as named tuples.

Times are microseconds since the epoch, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from nbflow.core.events import HistoryEvent
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload

__all__ = [
    "AttemptRow",
    "Batch",
    "Counts",
    "DefinitionRow",
    "DispatchRow",
    "HeartbeatRow",
    "LogRow",
    "NoteRow",
    "Owed",
    "PendingAttempt",
    "RunRow",
    "ScheduleRow",
]


class AttemptRow(NamedTuple):
    """One attempt that did not produce the activity's outcome event."""

    run_id: str
    scheduled_event_id: int
    activity_type: str
    attempt: int
    started_time: int
    ended_time: int
    outcome: str
    """``Failed``, ``TimedOut``, ``Canceled`` or ``Lost``."""
    failure: Failure | None = None
    next_attempt_time: int | None = None
    """When the next attempt is due; None if there is none, or if it may start at once."""
    heartbeat_details: Payload | None = None


class DispatchRow(NamedTuple):
    """Leave to start one attempt of the activities scheduled by a range of events."""

    run_id: str
    first_scheduled_event_id: int
    last_scheduled_event_id: int
    attempt: int
    time: int


class HeartbeatRow(NamedTuple):
    """What a running attempt last said."""

    run_id: str
    scheduled_event_id: int
    attempt: int
    time: int
    details: Payload | None


class LogRow(NamedTuple):
    """One line that user code logged or printed."""

    run_id: str
    workflow_id: str
    scheduled_event_id: int | None
    attempt: int | None
    time: int
    level: str
    logger: str
    message: str


class DefinitionRow(NamedTuple):
    """A workflow or activity function at one version."""

    hash: str
    kind: str
    name: str
    source: str
    manifest: str
    """What it needs to run again, as JSON text."""
    time: int


class NoteRow(NamedTuple):
    """Something worth keeping about an execution that is no history event.

    The kind ``Pinned`` is read by the ``executions`` view: the execution was moved to another version of its code,
    ``{"definition_hash": ..., "event_id": its last event}``. The kinds ``ActivityPaused``, ``ActivityUnpaused`` and
    ``ActivityRetried`` tell what an operator did to the activity of ``{"scheduled_event_id": ...}``.
    """

    run_id: str
    workflow_id: str
    time: int
    kind: str
    body: str
    """JSON text."""


class ScheduleRow(NamedTuple):
    """One change or action of a schedule."""

    schedule_id: str
    time: int
    kind: str
    nominal_time: int | None
    workflow_id: str | None
    run_id: str | None
    next_time: int | None
    state: str
    """What changes of the schedule, as it is from here on; JSON text."""
    body: str
    """JSON text."""
    payloads: tuple[Payload, ...] = ()
    """The encoded values that the body holds."""


@dataclass(slots=True)
class Batch:
    """All that one commit makes durable, together or not at all.

    Parameters
    ----------
    events
        ``(run_id, workflow_id, event, deferred)``; ``deferred`` says of an ActivityTaskScheduled
        that this commit does not yet allow its first attempt, and of an ActivityTaskCompleted that the code
        reacts to in a later commit only.
    attempts, dispatches, heartbeats, logs, definitions, notes, schedules
        Rows for the other tables.
    """

    events: list[tuple[str, str, HistoryEvent, bool]] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    dispatches: list[DispatchRow] = field(default_factory=list)
    heartbeats: list[HeartbeatRow] = field(default_factory=list)
    logs: list[LogRow] = field(default_factory=list)
    definitions: list[DefinitionRow] = field(default_factory=list)
    notes: list[NoteRow] = field(default_factory=list)
    schedules: list[ScheduleRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.events) or self.has_more_than_events

    @property
    def has_more_than_events(self) -> bool:
        """True if a table other than the events' gets rows."""
        return bool(
            self.attempts or self.dispatches or self.heartbeats or self.logs or self.definitions or self.notes
            or self.schedules
        )  # fmt: skip


class RunRow(NamedTuple):
    """One execution, in short."""

    run_id: str
    workflow_id: str
    workflow_type: str
    status: str
    start_time: int
    close_time: int | None
    history_length: int
    definition_hash: str


class Owed(NamedTuple):
    """What executions still owed each other when the last process ended."""

    has_relations: bool
    """True if any execution ever had to do with another one."""
    unsettled_parents: list[str]
    """Open runs that wait for what has happened already, or was never begun."""
    undelivered: list[tuple[str, HistoryEvent]]
    """What closed runs asked for in their last moments: (run_id, the event that initiated it)."""
    forsaken_children: list[tuple[str, str, str, str, str]]
    """Open children whose parent has closed: run, workflow id, parent close policy, and the parent's two ids."""


class PendingAttempt(NamedTuple):
    """What the log knows of an open activity's attempts."""

    run_id: str
    scheduled_event_id: int
    activity_type: str
    attempt: int
    """The last attempt that ended without an outcome event; 0 if none."""
    failure: Failure | None
    """How it failed."""
    next_attempt_time: int | None
    heartbeat_details: Payload | None
    """What the ended attempts left to the next one."""
    dispatch_attempt: int
    """The last attempt that a DispatchRow covers; 0 if none."""
    deferred: bool
    last_heartbeat: HeartbeatRow | None
    is_paused: bool = False
    """True if an operator paused the activity."""
    left_open_attempt: int = 0
    """The last attempt that was left to be completed from outside; 0 if none was."""
    left_open_since: int = 0
    """When that attempt began."""

    @property
    def authorised_attempt(self) -> int:
        """The last attempt that was allowed to start; 0 if none was."""
        return max(self.dispatch_attempt, 0 if self.deferred else 1)

    @property
    def is_lost(self) -> bool:
        """True if an attempt was allowed to start, nothing tells how it ended, and nobody else was to tell."""
        return self.authorised_attempt > self.attempt and not self.is_left_open

    @property
    def is_left_open(self) -> bool:
        """True if the attempt under way waits to be completed from outside."""
        return self.left_open_attempt > self.attempt


class Counts(NamedTuple):
    """How much there is, for status lines."""

    executions: int
    open_executions: int
    suspended_executions: int
    pending_timers: int
    open_activities: int
    events: int
