"""Commands: what workflow code asks for. Each becomes one event when it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import CodeType
from typing import Any, ClassVar, NamedTuple

from nbflow.core.events import (
    ActivityTaskCancelRequested,
    ActivityTaskScheduled,
    HistoryEvent,
    MarkerRecorded,
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionInitiated,
    TimerCanceled,
    TimerStarted,
    UpsertWorkflowSearchAttributes,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionContinuedAsNew,
    WorkflowExecutionFailed,
    WorkflowExecutionUpdateCompleted,
    WorkflowPropertiesModified,
)
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.core.records import Record, record_type
from nbflow.core.retry import RetryPolicy
from nbflow.core.search_attributes import CHANGE_VERSION

__all__ = [
    "ActivityOptions",
    "CancelTimer",
    "CancelWorkflowExecution",
    "Command",
    "CompleteUpdate",
    "CompleteWorkflowExecution",
    "ContinueAsNewWorkflowExecution",
    "FailWorkflowExecution",
    "ModifyWorkflowProperties",
    "RecordMarker",
    "RequestCancelActivityTask",
    "RequestCancelExternalWorkflowExecution",
    "ScheduleActivityTask",
    "SignalExternalWorkflowExecution",
    "SourceLine",
    "StartChildWorkflowExecution",
    "StartTimer",
    "UpsertSearchAttributes",
    "patch_of",
    "record",
]


class SourceLine(NamedTuple):
    """Where in user code a command came from; the line number is worked out only when shown."""

    code: CodeType
    instruction: int

    @property
    def number(self) -> int:
        """The line number within the file."""
        for start, end, line in _line_table(self.code):
            if start <= self.instruction < end and line is not None:
                return line
        return self.code.co_firstlineno

    def __str__(self) -> str:
        return f"{self.code.co_filename}:{self.number}"


def _line_table(code: CodeType) -> list[tuple[int, int, int | None]]:
    return list(code.co_lines())


@record_type
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
    priority
        1 to 5, lower first; None stands for 3.
    """

    schedule_to_close_timeout: float | None = None
    schedule_to_start_timeout: float | None = None
    start_to_close_timeout: float | None = None
    heartbeat_timeout: float | None = None
    retry_policy: RetryPolicy | None = None
    cancellation_type: str = "TRY_CANCEL"
    summary: str | None = None
    priority: int | None = None


@record_type
class Command(Record):
    """Something workflow code asked for."""

    #: The event that records it.
    event_type: ClassVar[type[HistoryEvent]]
    #: Attributes that command and event must agree in. Arguments and durations need not, as on Temporal.
    identified_by: ClassVar[tuple[str, ...]] = ()

    line: SourceLine | None = field(default=None, compare=False)

    def describe(self) -> str:
        """Name it for people, e.g. ``ScheduleActivityTask(fetch)``."""
        return f"{type(self).__name__}({self.name})" if self.name else type(self).__name__

    @property
    def name(self) -> str:
        """What it is about: activity type, timer id …"""
        return ""

    def to_event(self, event_id: int, event_time: int) -> HistoryEvent:
        """Return the event that records it: of the same attributes, unless a command says otherwise."""
        values = {f.name: getattr(self, f.name) for f in self._fields() if f.name != "line"}
        return self.event_type(event_id=event_id, event_time=event_time, **values)

    def fits(self, event: HistoryEvent) -> bool:
        """Say whether an event records this command."""
        if self.event_type is not type(event):
            return False
        return all(getattr(self, name) == getattr(event, name) for name in self.identified_by)


@record_type
class ScheduleActivityTask(Command):
    """Run an activity."""

    event_type: ClassVar[type[HistoryEvent]] = ActivityTaskScheduled
    identified_by: ClassVar[tuple[str, ...]] = ("activity_type", "activity_id")

    activity_id: str
    activity_type: str
    input: Payload
    keyword_input: Payload | None = None
    options: ActivityOptions = field(default_factory=ActivityOptions)

    @property
    def name(self) -> str:
        return self.activity_type

    def to_event(self, event_id: int, event_time: int) -> HistoryEvent:
        """Return the event that records it; the cancellation type is the code's own affair."""
        options = self.options
        policy = options.retry_policy
        return ActivityTaskScheduled(
            event_id=event_id,
            event_time=event_time,
            activity_id=self.activity_id,
            activity_type=self.activity_type,
            input=self.input,
            keyword_input=self.keyword_input,
            schedule_to_close_timeout=options.schedule_to_close_timeout,
            schedule_to_start_timeout=options.schedule_to_start_timeout,
            start_to_close_timeout=options.start_to_close_timeout,
            heartbeat_timeout=options.heartbeat_timeout,
            retry_policy=policy.to_json() if policy else None,
            summary=options.summary,
            priority=options.priority,
        )


@record_type
class RequestCancelActivityTask(Command):
    """Cancel a scheduled activity."""

    event_type: ClassVar[type[HistoryEvent]] = ActivityTaskCancelRequested
    identified_by: ClassVar[tuple[str, ...]] = ("scheduled_event_id",)

    scheduled_event_id: int


@record_type
class StartTimer(Command):
    """Wake me after ``start_to_fire_timeout`` seconds."""

    event_type: ClassVar[type[HistoryEvent]] = TimerStarted
    identified_by: ClassVar[tuple[str, ...]] = ("timer_id",)

    timer_id: str
    start_to_fire_timeout: float
    summary: str | None = None

    @property
    def name(self) -> str:
        return self.timer_id

    def to_event(self, event_id: int, event_time: int) -> HistoryEvent:
        """Return the event that records it, with the time at which the timer is due."""
        return TimerStarted(
            event_id=event_id,
            event_time=event_time,
            timer_id=self.timer_id,
            start_to_fire_timeout=self.start_to_fire_timeout,
            fire_time=event_time + round(self.start_to_fire_timeout * 1_000_000),
            summary=self.summary,
        )


@record_type
class CancelTimer(Command):
    """Forget a started timer."""

    event_type: ClassVar[type[HistoryEvent]] = TimerCanceled
    identified_by: ClassVar[tuple[str, ...]] = ("timer_id", "started_event_id")

    timer_id: str
    started_event_id: int

    @property
    def name(self) -> str:
        return self.timer_id


@record_type
class RecordMarker(Command):
    """Keep a value of the workflow's own."""

    event_type: ClassVar[type[HistoryEvent]] = MarkerRecorded

    marker_name: str
    details: Mapping[str, Payload]

    @property
    def name(self) -> str:
        return self.marker_name

    def fits(self, event: HistoryEvent) -> bool:
        """Say whether an event records this command: markers of a name are told apart by their id."""
        return (
            isinstance(event, MarkerRecorded)
            and self.marker_name == event.marker_name
            and self.details.get("id") == event.details.get("id")
            and patch_of(self.details) == patch_of(event.details)
        )


def patch_of(details: Mapping[str, Payload]) -> str | None:
    """Return the id of the patch that a marker is of, or None."""
    data = details.get("patch-data")
    return str(data.tree.get("id")) if data is not None and isinstance(data.tree, Mapping) else None


@record_type
class CompleteWorkflowExecution(Command):
    """The function returned."""

    event_type: ClassVar[type[HistoryEvent]] = WorkflowExecutionCompleted

    result: Payload


@record_type
class FailWorkflowExecution(Command):
    """The function raised."""

    event_type: ClassVar[type[HistoryEvent]] = WorkflowExecutionFailed

    failure: Failure

    def describe(self) -> str:
        """Name it with what went wrong, e.g. ``FailWorkflowExecution(ValueError: ...)``."""
        return f"FailWorkflowExecution({self.failure.headline()})"


@record_type
class CancelWorkflowExecution(Command):
    """The function let a requested cancellation pass."""

    event_type: ClassVar[type[HistoryEvent]] = WorkflowExecutionCanceled


@record_type
class ContinueAsNewWorkflowExecution(Command):
    """Go on as a new run."""

    event_type: ClassVar[type[HistoryEvent]] = WorkflowExecutionContinuedAsNew
    identified_by: ClassVar[tuple[str, ...]] = ("workflow_type",)

    new_execution_run_id: str
    workflow_type: str
    input: Payload
    keyword_input: Payload | None = None
    workflow_run_timeout: float | None = None
    backoff_start_interval: float | None = None
    memo: Payload | None = None
    search_attributes: Mapping[str, Any] | None = None
    retry_policy: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.workflow_type


@record_type
class StartChildWorkflowExecution(Command):
    """Start a child."""

    event_type: ClassVar[type[HistoryEvent]] = StartChildWorkflowExecutionInitiated
    identified_by: ClassVar[tuple[str, ...]] = ("workflow_type", "workflow_id")

    workflow_id: str
    workflow_type: str
    input: Payload
    keyword_input: Payload | None = None
    definition_hash: str = ""
    workflow_execution_timeout: float | None = None
    workflow_run_timeout: float | None = None
    parent_close_policy: str = "TERMINATE"
    workflow_id_reuse_policy: str = "ALLOW_DUPLICATE"
    retry_policy: Mapping[str, Any] | None = None
    start_delay: float | None = None
    memo: Payload | None = None
    search_attributes: Mapping[str, Any] | None = None
    summary: str | None = None
    on_error: str | None = None

    @property
    def name(self) -> str:
        return self.workflow_type


@record_type
class RequestCancelExternalWorkflowExecution(Command):
    """Ask another execution, or a child, to cancel."""

    event_type: ClassVar[type[HistoryEvent]] = RequestCancelExternalWorkflowExecutionInitiated
    identified_by: ClassVar[tuple[str, ...]] = ("workflow_id",)

    workflow_id: str
    run_id: str | None = None
    child_workflow_only: bool = False
    reason: str = ""

    @property
    def name(self) -> str:
        return self.workflow_id


@record_type
class SignalExternalWorkflowExecution(Command):
    """Signal another execution, or a child."""

    event_type: ClassVar[type[HistoryEvent]] = SignalExternalWorkflowExecutionInitiated
    identified_by: ClassVar[tuple[str, ...]] = ("workflow_id", "signal_name")

    workflow_id: str
    signal_name: str
    input: Payload
    run_id: str | None = None
    child_workflow_only: bool = False

    @property
    def name(self) -> str:
        return self.signal_name


@record_type
class UpsertSearchAttributes(Command):
    """Change the search attributes."""

    event_type: ClassVar[type[HistoryEvent]] = UpsertWorkflowSearchAttributes

    search_attributes: Mapping[str, Any]

    def fits(self, event: HistoryEvent) -> bool:
        """Say whether an event records this command; the list of patches is told apart from what users say."""
        return type(event) is UpsertWorkflowSearchAttributes and (CHANGE_VERSION in self.search_attributes) == (
            CHANGE_VERSION in (event.search_attributes or ())
        )


@record_type
class ModifyWorkflowProperties(Command):
    """Change the memo."""

    event_type: ClassVar[type[HistoryEvent]] = WorkflowPropertiesModified

    upserted_memo: Payload


@record_type
class CompleteUpdate(Command):
    """An update's handler returned, or failed with a failure that belongs to the update."""

    event_type: ClassVar[type[HistoryEvent]] = WorkflowExecutionUpdateCompleted
    identified_by: ClassVar[tuple[str, ...]] = ("update_id",)

    update_id: str
    accepted_event_id: int
    result: Payload | None = None
    failure: Failure | None = None

    @property
    def name(self) -> str:
        return self.update_id


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
    return command.to_event(event_id, event_time)
