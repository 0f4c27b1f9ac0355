"""nbflow's commands to other executions, and to go on as a new run, as those of Temporal's Core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import ParseDict
from temporalio.api.common.v1 import Payload as ProtoPayload
from temporalio.bridge.proto.child_workflow import ChildWorkflowCancellationType, ParentClosePolicy
from temporalio.bridge.proto.workflow_commands import WorkflowCommand

from nbflow.core import commands as c
from nbflow.interchange.kinds import MEMO, RETRY_POLICY, SEARCH_ATTRIBUTES, Context
from nbflow.temporal.payloads import argument_protos, parsed

__all__ = ["CHILD_COMMANDS", "set_cancellation_type"]

_CONTEXT = Context()
_NAMESPACE = "default"
_REUSE_POLICIES = {"ALLOW_DUPLICATE": 1, "ALLOW_DUPLICATE_FAILED_ONLY": 2, "REJECT_DUPLICATE": 3}


def set_cancellation_type(proto: WorkflowCommand, cancellation_type: str) -> None:
    """Say what cancelling a child does: its handle's affair here, Core's there."""
    kind = ChildWorkflowCancellationType.Value(cancellation_type)
    proto.start_child_workflow_execution.cancellation_type = kind


def _start_child(proto: WorkflowCommand, command: c.StartChildWorkflowExecution, seq: int, task_queue: str) -> None:
    to = proto.start_child_workflow_execution
    to.seq, to.namespace, to.task_queue = seq, _NAMESPACE, task_queue
    to.workflow_id, to.workflow_type = command.workflow_id, command.workflow_type
    to.input.extend(argument_protos(command.input, command.keyword_input))
    _timeouts(to, command.workflow_run_timeout, workflow_execution_timeout=command.workflow_execution_timeout)
    to.parent_close_policy = ParentClosePolicy.Value(f"PARENT_CLOSE_POLICY_{command.parent_close_policy}")
    reuse: Any = _REUSE_POLICIES[command.workflow_id_reuse_policy]
    to.workflow_id_reuse_policy = reuse
    _about_the_run(to, command)


def _continue_as_new(
    proto: WorkflowCommand, command: c.ContinueAsNewWorkflowExecution, _seq: int, task_queue: str
) -> None:
    to = proto.continue_as_new_workflow_execution
    to.workflow_type, to.task_queue = command.workflow_type, task_queue
    to.arguments.extend(argument_protos(command.input, command.keyword_input))
    _timeouts(to, command.workflow_run_timeout, backoff_start_interval=command.backoff_start_interval)
    _about_the_run(to, command)


def _timeouts(to: Any, run_timeout: float | None, **others: float | None) -> None:
    for name, seconds in {"workflow_run_timeout": run_timeout, **others}.items():
        if seconds is not None:
            getattr(to, name).FromMicroseconds(round(seconds * 1_000_000))


def _about_the_run(to: Any, command: Any) -> None:
    if command.retry_policy is not None:
        parsed(RETRY_POLICY.write(command.retry_policy, _CONTEXT), to.retry_policy)
    if command.memo is not None:
        for key, tree in MEMO.write(command.memo, _CONTEXT)["fields"].items():
            to.memo[key].CopyFrom(ParseDict(tree, ProtoPayload()))
    if command.search_attributes:
        parsed(SEARCH_ATTRIBUTES.write(command.search_attributes, _CONTEXT), to.search_attributes)


def _signal(proto: WorkflowCommand, command: c.SignalExternalWorkflowExecution, seq: int, _task_queue: str) -> None:
    to = proto.signal_external_workflow_execution
    to.seq, to.signal_name = seq, command.signal_name
    to.args.extend(argument_protos(command.input, None))
    if command.child_workflow_only:
        to.child_workflow_id = command.workflow_id
    else:
        _address(to.workflow_execution, command)


def _cancel(
    proto: WorkflowCommand, command: c.RequestCancelExternalWorkflowExecution, seq: int, _task_queue: str
) -> None:
    if command.child_workflow_only:  # then seq is the child's
        proto.cancel_child_workflow_execution.child_workflow_seq = seq
        proto.cancel_child_workflow_execution.reason = command.reason
        return
    to = proto.request_cancel_external_workflow_execution
    to.seq, to.reason = seq, command.reason
    _address(to.workflow_execution, command)


def _address(execution: Any, command: Any) -> None:
    execution.namespace, execution.workflow_id, execution.run_id = _NAMESPACE, command.workflow_id, command.run_id or ""


CHILD_COMMANDS: dict[type[c.Command], Callable[[WorkflowCommand, Any, int, str], None]] = {
    c.StartChildWorkflowExecution: _start_child,
    c.ContinueAsNewWorkflowExecution: _continue_as_new,
    c.SignalExternalWorkflowExecution: _signal,
    c.RequestCancelExternalWorkflowExecution: _cancel,
}
"""See :mod:`nbflow.temporal.commands`."""
