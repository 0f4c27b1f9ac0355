"""History events: one frozen type per fact, with Temporal's names and attribute names.

``event_id`` is dense from 1 within an execution; ``event_time`` is microseconds since the epoch,
UTC. Durations are seconds. The classes say nothing about how they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from nbflow.core.child_events import (
    ChildWorkflowExecutionCanceled,
    ChildWorkflowExecutionCompleted,
    ChildWorkflowExecutionFailed,
    ChildWorkflowExecutionStarted,
    ChildWorkflowExecutionTerminated,
    ChildWorkflowExecutionTimedOut,
    ExternalWorkflowExecutionCancelRequested,
    ExternalWorkflowExecutionSignaled,
    RequestCancelExternalWorkflowExecutionFailed,
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionFailed,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionFailed,
    StartChildWorkflowExecutionInitiated,
)
from nbflow.core.failures import Failure
from nbflow.core.history_event import HistoryEvent
from nbflow.core.message_events import (
    UpsertWorkflowSearchAttributes,
    WorkflowExecutionPaused,
    WorkflowExecutionUnpaused,
    WorkflowExecutionUpdateAccepted,
    WorkflowExecutionUpdateCompleted,
    WorkflowPropertiesModified,
)
from nbflow.core.payloads import Payload
from nbflow.core.records import record_type
from nbflow.core.task_events import (
    OtherEvent,
    WorkflowTaskCompleted,
    WorkflowTaskFailed,
    WorkflowTaskScheduled,
    WorkflowTaskStarted,
    WorkflowTaskTimedOut,
)

__all__ = [
    "CLOSING_EVENTS",
    "COMMAND_EVENTS",
    "EVENT_TYPES",
    "ActivityTaskCancelRequested",
    "ActivityTaskCanceled",
    "ActivityTaskCompleted",
    "ActivityTaskFailed",
    "ActivityTaskScheduled",
    "ActivityTaskStarted",
    "ActivityTaskTimedOut",
    "ChildWorkflowExecutionCanceled",
    "ChildWorkflowExecutionCompleted",
    "ChildWorkflowExecutionFailed",
    "ChildWorkflowExecutionStarted",
    "ChildWorkflowExecutionTerminated",
    "ChildWorkflowExecutionTimedOut",
    "ExternalWorkflowExecutionCancelRequested",
    "ExternalWorkflowExecutionSignaled",
    "HistoryEvent",
    "MarkerRecorded",
    "OtherEvent",
    "RequestCancelExternalWorkflowExecutionFailed",
    "RequestCancelExternalWorkflowExecutionInitiated",
    "SignalExternalWorkflowExecutionFailed",
    "SignalExternalWorkflowExecutionInitiated",
    "StartChildWorkflowExecutionFailed",
    "StartChildWorkflowExecutionInitiated",
    "TimerCanceled",
    "TimerFired",
    "TimerStarted",
    "UpsertWorkflowSearchAttributes",
    "WorkflowExecutionCancelRequested",
    "WorkflowExecutionCanceled",
    "WorkflowExecutionCompleted",
    "WorkflowExecutionContinuedAsNew",
    "WorkflowExecutionFailed",
    "WorkflowExecutionPaused",
    "WorkflowExecutionSignaled",
    "WorkflowExecutionStarted",
    "WorkflowExecutionTerminated",
    "WorkflowExecutionTimedOut",
    "WorkflowExecutionUnpaused",
    "WorkflowExecutionUpdateAccepted",
    "WorkflowExecutionUpdateCompleted",
    "WorkflowPropertiesModified",
    "WorkflowTaskCompleted",
    "WorkflowTaskFailed",
    "WorkflowTaskScheduled",
    "WorkflowTaskStarted",
    "WorkflowTaskTimedOut",
]


@record_type
class WorkflowExecutionStarted(HistoryEvent):
    """An execution began."""

    name_attribute: ClassVar[str | None] = "workflow_type"

    workflow_type: str
    workflow_id: str
    input: Payload
    """The positional arguments, as one encoded list."""
    keyword_input: Payload | None = None
    """Keyword-only arguments, as one encoded dict."""
    definition_hash: str = ""
    random_seed: int = 0
    scheduling_rule: int = 1
    """1: all events of an activation are applied, then the loop runs once."""
    run_key: str | None = None
    """The ``--run-id`` of the headless run that started it."""
    attempt: int = 1
    workflow_execution_timeout: float | None = None
    workflow_run_timeout: float | None = None
    workflow_execution_expiration_time: int | None = None
    """When it times out: microseconds since the epoch."""
    first_workflow_task_backoff: float | None = None
    """Start delay in seconds."""
    retry_policy: Mapping[str, Any] | None = None
    memo: Payload | None = None
    search_attributes: Mapping[str, Any] | None = None
    summary: str | None = None
    first_execution_run_id: str | None = None
    continued_execution_run_id: str | None = None
    initiator: str | None = None
    continued_failure: Failure | None = None
    parent_workflow_id: str | None = None
    parent_run_id: str | None = None
    parent_initiated_event_id: int | None = None
    root_workflow_id: str | None = None
    root_run_id: str | None = None
    last_completion_result: Payload | None = None
    """What the run before this one of a schedule returned."""
    priority: int | None = None
    """1 to 5, lower first; None stands for 3."""
    on_error: str | None = None
    """``suspend`` if an exception of the code suspends the execution and does not fail it."""
    original_execution_run_id: str | None = None
    """The first of the runs that share these first events, if this one was reset or rewound."""
    reset_run_id: str | None = None
    """The run whose first events it shares."""
    reset_event_id: int | None = None
    """The last of them."""
    reset_reason: str | None = None
    original_start_time: int | None = None
    """When the first of those runs began, microseconds since the epoch: the code sees that time."""
    reseeds: Mapping[str, Any] | None = None
    """New random seeds, each by the id of the event from which on it holds."""
    identity: str | None = None


@record_type
class WorkflowExecutionCompleted(HistoryEvent):
    """The function returned."""

    result: Payload


@record_type
class WorkflowExecutionFailed(HistoryEvent):
    """The function raised."""

    failure: Failure
    retry_state: str = "RETRY_POLICY_NOT_SET"
    new_execution_run_id: str | None = None
    """The run that a workflow RetryPolicy started after this one."""


@record_type
class WorkflowExecutionContinuedAsNew(HistoryEvent):
    """The function goes on as a new run, with a history of its own."""

    name_attribute: ClassVar[str | None] = "workflow_type"

    new_execution_run_id: str
    workflow_type: str
    input: Payload
    keyword_input: Payload | None = None
    workflow_run_timeout: float | None = None
    backoff_start_interval: float | None = None
    """Seconds before the new run begins."""
    initiator: str = "WORKFLOW"
    failure: Failure | None = None
    memo: Payload | None = None
    search_attributes: Mapping[str, Any] | None = None
    retry_policy: Mapping[str, Any] | None = None


@record_type
class WorkflowExecutionTimedOut(HistoryEvent):
    """The execution's deadline passed."""

    retry_state: str = "RETRY_POLICY_NOT_SET"
    new_execution_run_id: str | None = None
    """The run that a workflow RetryPolicy started after this one."""


@record_type
class WorkflowExecutionCancelRequested(HistoryEvent):
    """Someone asked the execution to cancel."""

    cause: str = ""
    identity: str | None = None
    external_initiated_event_id: int | None = None
    external_workflow_id: str | None = None
    external_run_id: str | None = None
    """The execution that asked, if one did."""


@record_type
class WorkflowExecutionCanceled(HistoryEvent):
    """The function let a requested cancellation pass."""

    details: Payload | None = None


@record_type
class WorkflowExecutionTerminated(HistoryEvent):
    """The execution was ended from outside; no code ran."""

    reason: str = ""
    details: Payload | None = None
    identity: str | None = None


@record_type
class WorkflowExecutionSignaled(HistoryEvent):
    """A signal arrived."""

    name_attribute: ClassVar[str | None] = "signal_name"

    signal_name: str
    input: Payload
    """The arguments, as one encoded list."""
    with_start: bool | None = None
    """True if it came together with the start, which is one activation with it."""
    identity: str | None = None
    external_initiated_event_id: int | None = None
    external_workflow_id: str | None = None
    external_run_id: str | None = None
    """The execution that sent it, if one did."""


@record_type
class ActivityTaskScheduled(HistoryEvent):
    """The workflow asked for an activity."""

    name_attribute: ClassVar[str | None] = "activity_type"

    activity_id: str
    activity_type: str
    input: Payload
    keyword_input: Payload | None = None
    schedule_to_close_timeout: float | None = None
    schedule_to_start_timeout: float | None = None
    start_to_close_timeout: float | None = None
    heartbeat_timeout: float | None = None
    retry_policy: Mapping[str, Any] | None = None
    """None stands for the default policy."""
    summary: str | None = None
    priority: int | None = None
    """1 to 5, lower first; None stands for 3."""


@record_type
class ActivityTaskStarted(HistoryEvent):
    """The attempt whose outcome follows; written together with it."""

    initiated_attribute: ClassVar[str | None] = "scheduled_event_id"

    scheduled_event_id: int
    attempt: int = 1
    started_time: int = 0
    """When the attempt began: microseconds since the epoch."""
    last_failure: Failure | None = None
    identity: str | None = None


@record_type
class ActivityTaskCompleted(HistoryEvent):
    """The activity returned."""

    initiated_attribute: ClassVar[str | None] = "scheduled_event_id"

    scheduled_event_id: int
    started_event_id: int
    result: Payload


@record_type
class ActivityTaskFailed(HistoryEvent):
    """The activity failed for good."""

    initiated_attribute: ClassVar[str | None] = "scheduled_event_id"

    scheduled_event_id: int
    started_event_id: int
    failure: Failure
    retry_state: str = "RETRY_POLICY_NOT_SET"


@record_type
class ActivityTaskTimedOut(HistoryEvent):
    """A deadline of the activity passed for good."""

    initiated_attribute: ClassVar[str | None] = "scheduled_event_id"

    scheduled_event_id: int
    started_event_id: int | None
    """None when no attempt was running."""
    failure: Failure
    retry_state: str = "TIMEOUT"


@record_type
class ActivityTaskCancelRequested(HistoryEvent):
    """The workflow asked the activity to cancel."""

    initiated_attribute: ClassVar[str | None] = "scheduled_event_id"

    scheduled_event_id: int


@record_type
class ActivityTaskCanceled(HistoryEvent):
    """The activity let the requested cancellation pass."""

    initiated_attribute: ClassVar[str | None] = "scheduled_event_id"

    scheduled_event_id: int
    started_event_id: int | None = None
    latest_cancel_requested_event_id: int | None = None
    details: Payload | None = None


@record_type
class TimerStarted(HistoryEvent):
    """The workflow set a durable deadline."""

    name_attribute: ClassVar[str | None] = "timer_id"

    timer_id: str
    start_to_fire_timeout: float
    fire_time: int = 0
    """When it is due: microseconds since the epoch."""
    summary: str | None = None


@record_type
class TimerFired(HistoryEvent):
    """The deadline came."""

    name_attribute: ClassVar[str | None] = "timer_id"
    initiated_attribute: ClassVar[str | None] = "started_event_id"

    timer_id: str
    started_event_id: int
    identity: str | None = None
    """Who fired it before its time, if someone did."""


@record_type
class TimerCanceled(HistoryEvent):
    """The workflow no longer waits for the deadline."""

    name_attribute: ClassVar[str | None] = "timer_id"
    initiated_attribute: ClassVar[str | None] = "started_event_id"

    timer_id: str
    started_event_id: int


@record_type
class MarkerRecorded(HistoryEvent):
    """The workflow recorded a value of its own, such as a side effect's."""

    name_attribute: ClassVar[str | None] = "marker_name"

    marker_name: str
    details: Mapping[str, Payload] = field(default_factory=dict)


EVENT_TYPES: dict[str, type[HistoryEvent]] = {
    cls.__name__: cls
    for cls in (
        WorkflowExecutionStarted,
        WorkflowExecutionCompleted,
        WorkflowExecutionFailed,
        WorkflowExecutionTimedOut,
        WorkflowExecutionCancelRequested,
        WorkflowExecutionCanceled,
        WorkflowExecutionTerminated,
        WorkflowExecutionSignaled,
        ActivityTaskScheduled,
        ActivityTaskStarted,
        ActivityTaskCompleted,
        ActivityTaskFailed,
        ActivityTaskTimedOut,
        ActivityTaskCancelRequested,
        ActivityTaskCanceled,
        TimerStarted,
        TimerFired,
        TimerCanceled,
        MarkerRecorded,
        WorkflowExecutionContinuedAsNew,
        StartChildWorkflowExecutionInitiated,
        StartChildWorkflowExecutionFailed,
        ChildWorkflowExecutionStarted,
        ChildWorkflowExecutionCompleted,
        ChildWorkflowExecutionFailed,
        ChildWorkflowExecutionCanceled,
        ChildWorkflowExecutionTimedOut,
        ChildWorkflowExecutionTerminated,
        RequestCancelExternalWorkflowExecutionInitiated,
        RequestCancelExternalWorkflowExecutionFailed,
        ExternalWorkflowExecutionCancelRequested,
        SignalExternalWorkflowExecutionInitiated,
        SignalExternalWorkflowExecutionFailed,
        ExternalWorkflowExecutionSignaled,
        WorkflowExecutionUpdateAccepted,
        WorkflowExecutionUpdateCompleted,
        UpsertWorkflowSearchAttributes,
        WorkflowPropertiesModified,
        WorkflowExecutionPaused,
        WorkflowExecutionUnpaused,
        WorkflowTaskScheduled,
        WorkflowTaskStarted,
        WorkflowTaskCompleted,
        WorkflowTaskFailed,
        WorkflowTaskTimedOut,
    )
}

CLOSING_EVENTS: frozenset[type[HistoryEvent]] = frozenset(
    {
        WorkflowExecutionCompleted,
        WorkflowExecutionFailed,
        WorkflowExecutionTimedOut,
        WorkflowExecutionCanceled,
        WorkflowExecutionTerminated,
        WorkflowExecutionContinuedAsNew,
    }
)
"""After one of these a history has no more events."""

COMMAND_EVENTS: frozenset[type[HistoryEvent]] = frozenset(
    {
        ActivityTaskScheduled,
        ActivityTaskCancelRequested,
        TimerStarted,
        TimerCanceled,
        MarkerRecorded,
        WorkflowExecutionCompleted,
        WorkflowExecutionFailed,
        WorkflowExecutionCanceled,
        WorkflowExecutionContinuedAsNew,
        StartChildWorkflowExecutionInitiated,
        RequestCancelExternalWorkflowExecutionInitiated,
        SignalExternalWorkflowExecutionInitiated,
        UpsertWorkflowSearchAttributes,
        WorkflowPropertiesModified,
        WorkflowExecutionUpdateCompleted,
    }
)
"""Events that record a command of the workflow; all others come from outside."""
