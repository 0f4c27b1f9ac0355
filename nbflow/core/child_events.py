"""History events between executions: children, signals and cancellations sent to others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from nbflow.core.failures import Failure
from nbflow.core.history_event import HistoryEvent
from nbflow.core.payloads import Payload
from nbflow.core.records import record_type

__all__ = [
    "ChildWorkflowExecutionCanceled",
    "ChildWorkflowExecutionCompleted",
    "ChildWorkflowExecutionFailed",
    "ChildWorkflowExecutionStarted",
    "ChildWorkflowExecutionTerminated",
    "ChildWorkflowExecutionTimedOut",
    "ExternalWorkflowExecutionCancelRequested",
    "ExternalWorkflowExecutionSignaled",
    "RequestCancelExternalWorkflowExecutionFailed",
    "RequestCancelExternalWorkflowExecutionInitiated",
    "SignalExternalWorkflowExecutionFailed",
    "SignalExternalWorkflowExecutionInitiated",
    "StartChildWorkflowExecutionFailed",
    "StartChildWorkflowExecutionInitiated",
]


@record_type
class StartChildWorkflowExecutionInitiated(HistoryEvent):
    """The workflow asked for a child."""

    name_attribute: ClassVar[str | None] = "workflow_type"

    workflow_id: str
    workflow_type: str
    input: Payload
    keyword_input: Payload | None = None
    definition_hash: str = ""
    """Of the child's code as the parent knew it; empty for the current one."""
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


@record_type
class StartChildWorkflowExecutionFailed(HistoryEvent):
    """The child could not start."""

    name_attribute: ClassVar[str | None] = "workflow_type"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    workflow_id: str
    workflow_type: str
    cause: str


@record_type
class ChildWorkflowExecutionStarted(HistoryEvent):
    """The child runs."""

    name_attribute: ClassVar[str | None] = "workflow_type"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str


@record_type
class ChildWorkflowExecutionCompleted(HistoryEvent):
    """The child returned."""

    name_attribute: ClassVar[str | None] = "workflow_type"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    result: Payload


@record_type
class ChildWorkflowExecutionFailed(HistoryEvent):
    """The child failed."""

    name_attribute: ClassVar[str | None] = "workflow_type"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    failure: Failure
    retry_state: str = "RETRY_POLICY_NOT_SET"


@record_type
class ChildWorkflowExecutionCanceled(HistoryEvent):
    """The child let a cancellation pass."""

    name_attribute: ClassVar[str | None] = "workflow_type"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    details: Payload | None = None


@record_type
class ChildWorkflowExecutionTimedOut(HistoryEvent):
    """The child's time was up."""

    name_attribute: ClassVar[str | None] = "workflow_type"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    retry_state: str = "TIMEOUT"


@record_type
class ChildWorkflowExecutionTerminated(HistoryEvent):
    """The child was ended from outside."""

    name_attribute: ClassVar[str | None] = "workflow_type"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str


@record_type
class RequestCancelExternalWorkflowExecutionInitiated(HistoryEvent):
    """The workflow asked another one to cancel."""

    name_attribute: ClassVar[str | None] = "workflow_id"

    workflow_id: str
    run_id: str | None = None
    child_workflow_only: bool = False
    reason: str = ""


@record_type
class RequestCancelExternalWorkflowExecutionFailed(HistoryEvent):
    """The other execution could not be asked."""

    name_attribute: ClassVar[str | None] = "workflow_id"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    workflow_id: str
    run_id: str | None = None
    cause: str = ""


@record_type
class ExternalWorkflowExecutionCancelRequested(HistoryEvent):
    """The other execution was asked to cancel."""

    name_attribute: ClassVar[str | None] = "workflow_id"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    workflow_id: str
    run_id: str | None = None


@record_type
class SignalExternalWorkflowExecutionInitiated(HistoryEvent):
    """The workflow signals another one."""

    name_attribute: ClassVar[str | None] = "workflow_id"

    workflow_id: str
    signal_name: str
    input: Payload
    run_id: str | None = None
    child_workflow_only: bool = False


@record_type
class SignalExternalWorkflowExecutionFailed(HistoryEvent):
    """The other execution could not be signalled."""

    name_attribute: ClassVar[str | None] = "workflow_id"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    workflow_id: str
    run_id: str | None = None
    cause: str = ""


@record_type
class ExternalWorkflowExecutionSignaled(HistoryEvent):
    """The other execution has the signal."""

    name_attribute: ClassVar[str | None] = "workflow_id"
    initiated_attribute: ClassVar[str | None] = "initiated_event_id"

    initiated_event_id: int
    workflow_id: str
    run_id: str | None = None
