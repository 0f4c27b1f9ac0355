"""What the events between executions do to the one that asked: outcomes of children, signals, cancellations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionFailed,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionFailed,
    StartChildWorkflowExecutionInitiated,
)
from nbflow.core.failures import (
    CANCELED,
    CHILD_WORKFLOW,
    TERMINATED,
    Failure,
    RetryState,
    TimeoutType,
    exception_of_failure,
    timeout_failure,
)
from nbflow.core.machines import CHILD, EXTERNAL_SIGNAL, advance
from nbflow.exceptions import ApplicationError, HistoryCorruptedError, WorkflowAlreadyStartedError

if TYPE_CHECKING:
    from nbflow.core.instance import WorkflowInstance

__all__ = ["APPLICATIONS_BETWEEN", "CONFIRMATIONS_BETWEEN"]

ALREADY_EXISTS = "WORKFLOW_ALREADY_EXISTS"
_NOT_FOUND = "ExternalWorkflowExecutionNotFound"


# Children.


def _child_of(instance: WorkflowInstance, event: Any) -> ChildWorkflowHandle:
    child = instance.relations.children.get(event.initiated_event_id)
    if child is None:
        msg = (
            f"run {instance.run_id}: event {event.event_id} {type(event).__name__} is of child "
            f"{event.initiated_event_id}, which is not pending"
        )
        raise HistoryCorruptedError(msg)
    about = "run", instance.run_id, "child", event.initiated_event_id
    child.state = advance(CHILD, child.state, type(event).__name__, *about)
    return child


def _child_initiated(
    instance: WorkflowInstance, event: StartChildWorkflowExecutionInitiated, child: ChildWorkflowHandle
) -> None:
    child.initiated = event
    child.state = advance(CHILD, child.state, type(event).__name__, "child", event.event_id)
    instance.relations.children[event.event_id] = child


def _child_started(instance: WorkflowInstance, event: ChildWorkflowExecutionStarted) -> bool:
    child = _child_of(instance, event)
    child.begin(event.run_id, event.event_id)
    instance.in_turns(1, child.wake_starter)
    return True


def _settled(instance: WorkflowInstance, event: Any) -> ChildWorkflowHandle:
    child = _child_of(instance, event)
    del instance.relations.children[event.initiated_event_id]
    return child


def _child_not_started(instance: WorkflowInstance, event: StartChildWorkflowExecutionFailed) -> bool:
    child = _settled(instance, event)
    error: Exception = WorkflowAlreadyStartedError(event.workflow_id, "", event.workflow_type)
    if event.cause != ALREADY_EXISTS:
        error = ApplicationError(f"child workflow {event.workflow_id!r} could not start", type=event.cause)
    instance.in_turns(1, lambda: child.fail_to_start(error))
    return True


def _child_completed(instance: WorkflowInstance, event: ChildWorkflowExecutionCompleted) -> bool:
    child = _settled(instance, event)
    if not child.done():
        result = instance.converter.decode(event.result)
        instance.settle_in_turns(2, child, lambda: child.set_result(result))
    return True


def _child_failed(instance: WorkflowInstance, event: ChildWorkflowExecutionFailed) -> bool:
    _fail(instance, event, event.failure, event.retry_state)
    return True


def _child_timed_out(instance: WorkflowInstance, event: ChildWorkflowExecutionTimedOut) -> bool:
    cause = timeout_failure(TimeoutType.START_TO_CLOSE, "the child workflow's time was up")
    _fail(instance, event, cause, event.retry_state)
    return True


def _child_terminated(instance: WorkflowInstance, event: ChildWorkflowExecutionTerminated) -> bool:
    cause = Failure(message="the child workflow was terminated", kind=TERMINATED)
    _fail(instance, event, cause, RetryState.NON_RETRYABLE_FAILURE)
    return True


def _child_canceled(instance: WorkflowInstance, event: ChildWorkflowExecutionCanceled) -> bool:
    child = instance.relations.children.get(event.initiated_event_id)
    if child is not None and child.cancel_requested:
        _settled(instance, event).cancel_now("the child workflow was cancelled")
    else:
        cause = Failure(message="the child workflow was cancelled", kind=CANCELED)
        _fail(instance, event, cause, RetryState.NON_RETRYABLE_FAILURE)
    return True


def _fail(instance: WorkflowInstance, event: Any, cause: Failure, retry_state: str) -> None:
    child = _settled(instance, event)
    if child.done():
        return
    failure = Failure(
        message=f"child workflow {event.workflow_type} ({event.workflow_id}) failed: {cause.headline()}",
        kind=CHILD_WORKFLOW,
        info={
            "workflow_id": event.workflow_id,
            "run_id": event.run_id,
            "workflow_type": event.workflow_type,
            "initiated_event_id": event.initiated_event_id,
            "started_event_id": event.started_event_id,
            "retry_state": retry_state,
        },
        cause=cause,
    )
    error = exception_of_failure(failure, instance.converter)
    instance.in_turns(2, lambda: child.fail(error))


# Requests to others.


def _request_initiated(instance: WorkflowInstance, event: HistoryEvent, request: ExternalRequest) -> None:
    request.initiated = event
    request.state = advance(request.machine, request.state, type(event).__name__, "request", event.event_id)
    instance.relations.requests[event.event_id] = request


def _request_of(instance: WorkflowInstance, event: Any) -> ExternalRequest:
    request = instance.relations.requests.pop(event.initiated_event_id, None)
    if request is None:
        msg = (
            f"run {instance.run_id}: event {event.event_id} {type(event).__name__} is of request "
            f"{event.initiated_event_id}, which is not pending"
        )
        raise HistoryCorruptedError(msg)
    about = "run", instance.run_id, "request", event.initiated_event_id
    request.state = advance(request.machine, request.state, type(event).__name__, *about)
    return request


def _turns_of(request: ExternalRequest) -> int:
    """How many turns later who waits wakes in Temporal's SDK, whatever the answer: signals are shielded there."""
    return 1 if request.machine is EXTERNAL_SIGNAL else 0


def _delivered(instance: WorkflowInstance, event: HistoryEvent) -> bool:
    request = _request_of(instance, event)
    instance.settle_in_turns(_turns_of(request), request, lambda: request.set_result(None))
    _wake_who_waited_for_the_request(request)
    return True


def _undeliverable(instance: WorkflowInstance, event: Any) -> bool:
    request = _request_of(instance, event)
    what = f"no open workflow execution {event.workflow_id!r}" + (f" (run {event.run_id})" if event.run_id else "")
    error = ApplicationError(what, type=_NOT_FOUND, non_retryable=True)
    instance.settle_in_turns(_turns_of(request), request, lambda: request.fail(error))
    _wake_who_waited_for_the_request(request)
    return True


def _wake_who_waited_for_the_request(request: ExternalRequest) -> None:
    child = request.child
    if child is not None and child.cancellation_type == "WAIT_CANCELLATION_REQUESTED":
        child.cancel_now("the child workflow was asked to cancel")


APPLICATIONS_BETWEEN: dict[type[HistoryEvent], Any] = {
    StartChildWorkflowExecutionFailed: _child_not_started,
    ChildWorkflowExecutionStarted: _child_started,
    ChildWorkflowExecutionCompleted: _child_completed,
    ChildWorkflowExecutionFailed: _child_failed,
    ChildWorkflowExecutionCanceled: _child_canceled,
    ChildWorkflowExecutionTimedOut: _child_timed_out,
    ChildWorkflowExecutionTerminated: _child_terminated,
    ExternalWorkflowExecutionSignaled: _delivered,
    SignalExternalWorkflowExecutionFailed: _undeliverable,
    ExternalWorkflowExecutionCancelRequested: _delivered,
    RequestCancelExternalWorkflowExecutionFailed: _undeliverable,
}
"""Events from outside; see :mod:`nbflow.core.effects`."""

CONFIRMATIONS_BETWEEN: dict[type[HistoryEvent], Any] = {
    StartChildWorkflowExecutionInitiated: _child_initiated,
    SignalExternalWorkflowExecutionInitiated: _request_initiated,
    RequestCancelExternalWorkflowExecutionInitiated: _request_initiated,
}
"""Events that record a command."""
