"""What Temporal's Core tells an execution of its children and of its requests to others, as nbflow's events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias

from google.protobuf.json_format import MessageToDict
from temporalio.bridge.proto.child_workflow import StartChildWorkflowExecutionFailedCause

from nbflow.core.child_handles import ChildWorkflowHandle, ExternalRequest
from nbflow.core.events import (
    ChildWorkflowExecutionCanceled,
    ChildWorkflowExecutionCompleted,
    ChildWorkflowExecutionFailed,
    ChildWorkflowExecutionStarted,
    ChildWorkflowExecutionTerminated,
    ChildWorkflowExecutionTimedOut,
    ExternalWorkflowExecutionCancelRequested,
    ExternalWorkflowExecutionSignaled,
    HistoryEvent,
    RequestCancelExternalWorkflowExecutionFailed,
    SignalExternalWorkflowExecutionFailed,
    StartChildWorkflowExecutionFailed,
)
from nbflow.interchange.kinds import RETRY_STATE, Context
from nbflow.temporal.payloads import failure_of, result_of

__all__ = ["CHILD_JOBS"]

_CAUSE = "START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_"
_NOT_FOUND = "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND"


class _Execution(Protocol):
    time: int

    def next_event_id(self) -> int: ...
    def child(self, seq: int) -> ChildWorkflowHandle | None: ...
    def request(self, seq: int) -> ExternalRequest | None: ...
    def cancel_request_of(self, child: ChildWorkflowHandle) -> ExternalRequest | None: ...


Events: TypeAlias = Iterator[HistoryEvent]


def _about(execution: _Execution, seq: int, child: ChildWorkflowHandle) -> dict[str, Any]:
    return {
        "event_id": execution.next_event_id(),
        "event_time": execution.time,
        "initiated_event_id": seq,
        "workflow_id": child.workflow_id,
        "workflow_type": child.workflow_type,
    }


def _start_resolved(execution: _Execution, job: Any) -> Events:
    child, outcome = execution.child(job.seq), job.WhichOneof("status")
    if child is None or outcome == "cancelled":  # taken back before it was asked for
        return
    about = _about(execution, job.seq, child)
    if outcome == "succeeded":
        yield ChildWorkflowExecutionStarted(**about, run_id=job.succeeded.run_id)
    else:
        cause = StartChildWorkflowExecutionFailedCause.Name(job.failed.cause).removeprefix(_CAUSE)
        yield StartChildWorkflowExecutionFailed(**about, cause=cause)


def _resolved(execution: _Execution, job: Any) -> Events:
    child, outcome = execution.child(job.seq), job.result.WhichOneof("status")
    if child is None or (outcome == "cancelled" and child.done()):  # nobody waits: TRY_CANCEL
        return
    if outcome == "cancelled" and child.cancellation_type == "WAIT_CANCELLATION_REQUESTED":
        request = execution.cancel_request_of(child)
        if request is not None:
            yield from _outcome_of_request(execution, request, ExternalWorkflowExecutionCancelRequested)
        return
    about = _about(execution, job.seq, child) | {
        "started_event_id": child.started_event_id or 0,
        "run_id": child.run_id or "",
    }
    if outcome == "completed":
        yield ChildWorkflowExecutionCompleted(**about, result=result_of(job.result.completed.result))
    elif outcome == "cancelled":
        yield ChildWorkflowExecutionCanceled(**about)
    else:
        yield _failed(about, job.result.failed.failure)


def _failed(about: dict[str, Any], failed: Any) -> HistoryEvent:
    told = MessageToDict(failed).get("childWorkflowExecutionFailureInfo", {})
    state = RETRY_STATE.read(told.get("retryState", "RETRY_STATE_UNSPECIFIED"), Context())
    failure = failure_of(failed.cause if failed.HasField("cause") else failed)
    match failure.kind:
        case "timeout":
            return ChildWorkflowExecutionTimedOut(**about, retry_state=state)
        case "terminated":
            return ChildWorkflowExecutionTerminated(**about)
        case "canceled":
            return ChildWorkflowExecutionCanceled(**about)
    return ChildWorkflowExecutionFailed(**about, failure=failure, retry_state=state)


def _outcome_of_request(execution: _Execution, request: ExternalRequest, cls: Any, **more: Any) -> Events:
    command: Any = request.command
    yield cls(
        event_id=execution.next_event_id(),
        event_time=execution.time,
        initiated_event_id=request.initiated_event_id,
        workflow_id=command.workflow_id,
        run_id=command.run_id,
        **more,
    )


def _request_resolved(
    delivered: type[HistoryEvent], undeliverable: type[HistoryEvent]
) -> Callable[[_Execution, Any], Events]:
    def make(execution: _Execution, job: Any) -> Events:
        request = execution.request(job.seq)
        if request is None:
            return
        if job.HasField("failure"):
            yield from _outcome_of_request(execution, request, undeliverable, cause=_NOT_FOUND)
        else:
            yield from _outcome_of_request(execution, request, delivered)

    return make


CHILD_JOBS: dict[str, Callable[[Any, Any], Events]] = {
    "resolve_child_workflow_execution_start": _start_resolved,
    "resolve_child_workflow_execution": _resolved,
    "resolve_signal_external_workflow": _request_resolved(
        ExternalWorkflowExecutionSignaled, SignalExternalWorkflowExecutionFailed
    ),
    "resolve_request_cancel_external_workflow": _request_resolved(
        ExternalWorkflowExecutionCancelRequested, RequestCancelExternalWorkflowExecutionFailed
    ),
}
"""See :mod:`nbflow.temporal.jobs`."""
