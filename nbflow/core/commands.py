"""Commands: what workflow code asks for. Each becomes one event when it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, ClassVar, NamedTuple

from nbflow.core.events import (
    ActivityTaskCancelRequested,
    ActivityTaskScheduled,
    HistoryEvent,
    MarkerRecorded,
    TimerCanceled,
    TimerStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
)
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.core.records import Record
from nbflow.core.retry import RetryPolicy

__all__ = [
    "ActivityOptions",
    "CancelTimer",
    "CancelWorkflowExecution",
    "Command",
    "CompleteWorkflowExecution",
    "FailWorkflowExecution",
    "RecordMarker",
    "RequestCancelActivityTask",
    "ScheduleActivityTask",
    "SourceLine",
    "StartTimer",
    "record",
]


class SourceLine(NamedTuple):
    """Where in user code a command came from; the line number is worked out only when shown."""

    code: CodeType
    instruction: int

    def __str__(self) -> str:
        for start, end, line in _line_table(self.code):
            if start <= self.instruction < end and line is not None:
                return f"{self.code.co_filename}:{line}"
        return f"{self.code.co_filename}:{self.code.co_firstlineno}"


def _line_table(code: CodeType) -> list[tuple[int, int, int | None]]:
    return list(code.co_lines())


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ActivityOptions(Record):
    """What an activity call asks for beside its arguments. Durations are seconds.

    Parameters
    ----------
    schedule_to_close_timeout, schedule_to_start_timeout, start_to_close_timeout, heartbeat_timeout
        Deadlines, or None.
    retry_policy
        None stands for the default policy.
    cancellation_type
        ``TRY_CANCEL``, ``WAIT_CANCELLATION_COMPLETED`` or ``ABANDON``.
    summary
        One line for people.
    """

    schedule_to_close_timeout: float | None = None
    schedule_to_start_timeout: float | None = None
    start_to_close_timeout: float | None = None
    heartbeat_timeout: float | None = None
    retry_policy: RetryPolicy | None = None
    cancellation_type: str = "TRY_CANCEL"
    summary: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Command(Record):
    """Something workflow code asked for."""

    #: The event that records it.
    event_type: ClassVar[type[HistoryEvent]]

    line: SourceLine | None = field(default=None, compare=False)

    def describe(self) -> str:
        """Name it for people, e.g. ``ScheduleActivityTask(fetch)``."""
        return f"{type(self).__name__}({self.name})" if self.name else type(self).__name__

    @property
    def name(self) -> str:
        """What it is about: activity type, timer id …"""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class ScheduleActivityTask(Command):
    """Run an activity."""

    event_type: ClassVar[type[HistoryEvent]] = ActivityTaskScheduled

    activity_id: str
    activity_type: str
    input: Payload
    keyword_input: Payload | None = None
    options: ActivityOptions = field(default_factory=ActivityOptions)

    @property
    def name(self) -> str:
        return self.activity_type


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class RequestCancelActivityTask(Command):
    """Cancel a scheduled activity."""

    event_type: ClassVar[type[HistoryEvent]] = ActivityTaskCancelRequested

    scheduled_event_id: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class StartTimer(Command):
    """Wake me after ``start_to_fire_timeout`` seconds."""

    event_type: ClassVar[type[HistoryEvent]] = TimerStarted

    timer_id: str
    start_to_fire_timeout: float
    summary: str | None = None

    @property
    def name(self) -> str:
        return self.timer_id


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class CancelTimer(Command):
    """Forget a started timer."""

    event_type: ClassVar[type[HistoryEvent]] = TimerCanceled

    timer_id: str
    started_event_id: int

    @property
    def name(self) -> str:
        return self.timer_id


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class RecordMarker(Command):
    """Keep a value of the workflow's own."""

    event_type: ClassVar[type[HistoryEvent]] = MarkerRecorded

    marker_name: str
    details: Mapping[str, Payload]

    @property
    def name(self) -> str:
        return self.marker_name


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class CompleteWorkflowExecution(Command):
    """The function returned."""

    event_type: ClassVar[type[HistoryEvent]] = WorkflowExecutionCompleted

    result: Payload


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class FailWorkflowExecution(Command):
    """The function raised."""

    event_type: ClassVar[type[HistoryEvent]] = WorkflowExecutionFailed

    failure: Failure

    def describe(self) -> str:
        """Name it with what went wrong, e.g. ``FailWorkflowExecution(ValueError: ...)``."""
        return f"FailWorkflowExecution({self.failure.headline()})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class CancelWorkflowExecution(Command):
    """The function let a requested cancellation pass."""

    event_type: ClassVar[type[HistoryEvent]] = WorkflowExecutionCanceled


def record(command: Command, event_id: int, event_time: int) -> HistoryEvent:
    """Turn a command into the event that records it.

    Parameters
    ----------
    command
        What the workflow asked for.
    event_id
        Position in the history.
    event_time
        Microseconds since the epoch.

    Returns
    -------
    HistoryEvent
        The recorded fact.
    """
    head: dict[str, Any] = {"event_id": event_id, "event_time": event_time}
    match command:
        case ScheduleActivityTask(options=options):
            policy = options.retry_policy
            return ActivityTaskScheduled(
                activity_id=command.activity_id,
                activity_type=command.activity_type,
                input=command.input,
                keyword_input=command.keyword_input,
                schedule_to_close_timeout=options.schedule_to_close_timeout,
                schedule_to_start_timeout=options.schedule_to_start_timeout,
                start_to_close_timeout=options.start_to_close_timeout,
                heartbeat_timeout=options.heartbeat_timeout,
                retry_policy=policy.to_json() if policy else None,
                summary=options.summary,
                **head,
            )
        case StartTimer():
            return TimerStarted(
                timer_id=command.timer_id,
                start_to_fire_timeout=command.start_to_fire_timeout,
                fire_time=event_time + round(command.start_to_fire_timeout * 1_000_000),
                summary=command.summary,
                **head,
            )
        case CancelTimer():
            return TimerCanceled(timer_id=command.timer_id, started_event_id=command.started_event_id, **head)
        case RequestCancelActivityTask():
            return ActivityTaskCancelRequested(scheduled_event_id=command.scheduled_event_id, **head)
        case RecordMarker():
            return MarkerRecorded(marker_name=command.marker_name, details=command.details, **head)
        case CompleteWorkflowExecution():
            return WorkflowExecutionCompleted(result=command.result, **head)
        case FailWorkflowExecution():
            return WorkflowExecutionFailed(failure=command.failure, **head)
        case CancelWorkflowExecution():
            return WorkflowExecutionCanceled(**head)
    msg = f"no event records the command {command.describe()}"
    raise TypeError(msg)
