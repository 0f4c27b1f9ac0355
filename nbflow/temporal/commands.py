"""nbflow's commands as those of Temporal's Core: one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import RetryPolicy as ProtoRetryPolicy
from temporalio.bridge.proto.workflow_commands import ActivityCancellationType, WorkflowCommand

from nbflow.core import commands as c
from nbflow.exceptions import WorkflowError
from nbflow.interchange.kinds import MEMO, RETRY_POLICY, SEARCH_ATTRIBUTES, Context
from nbflow.interchange.side_effects import side_effect_patch
from nbflow.temporal.child_commands import CHILD_COMMANDS
from nbflow.temporal.payloads import argument_protos, failure_proto, parsed, result_proto

__all__ = ["command_proto"]

_CONTEXT = Context()


def command_proto(command: c.Command, seq: int, task_queue: str) -> WorkflowCommand:
    """Write a command.

    Parameters
    ----------
    command
        What the code asked for.
    seq
        Its number: the id of the event that records it. A timer's is its timer id.
    task_queue
        Where activities and children run.

    Returns
    -------
    WorkflowCommand
        For Core.

    Raises
    ------
    WorkflowError
        When Temporal has no such thing.
    """
    write = _COMMANDS.get(type(command))
    if write is None:
        msg = f"{command.describe()} can't be asked of Temporal: it has no such command"
        raise WorkflowError(msg)
    proto = WorkflowCommand()
    write(proto, command, seq, task_queue)
    summary = getattr(command, "summary", None) or getattr(getattr(command, "options", None), "summary", None)
    if summary:
        proto.user_metadata.summary.CopyFrom(_text(summary))
    return proto


def _text(text: str) -> Any:
    from nbflow.core.payloads import Payload

    return result_proto(Payload.of_tree(text))


def _duration(field: Duration, seconds: float | None) -> None:
    if seconds is not None:
        field.FromMicroseconds(round(seconds * 1_000_000))


def _retry_policy(field: ProtoRetryPolicy, policy: Mapping[str, Any] | None) -> None:
    parsed(RETRY_POLICY.write(policy, _CONTEXT), field)


def _schedule_activity(proto: WorkflowCommand, command: c.ScheduleActivityTask, seq: int, task_queue: str) -> None:
    to, options = proto.schedule_activity, command.options
    to.seq, to.task_queue = seq, task_queue
    to.activity_id, to.activity_type = command.activity_id, command.activity_type
    to.arguments.extend(argument_protos(command.input, command.keyword_input))
    _duration(to.schedule_to_close_timeout, options.schedule_to_close_timeout)
    _duration(to.schedule_to_start_timeout, options.schedule_to_start_timeout)
    # one of the two is required there
    no_limit = options.start_to_close_timeout is None and options.schedule_to_close_timeout is None
    _duration(to.start_to_close_timeout, _NO_LIMIT if no_limit else options.start_to_close_timeout)
    _duration(to.heartbeat_timeout, options.heartbeat_timeout)
    _retry_policy(to.retry_policy, options.retry_policy.to_json() if options.retry_policy else None)
    to.cancellation_type = ActivityCancellationType.Value(options.cancellation_type)
    if options.priority is not None:
        to.priority.priority_key = options.priority


_NO_LIMIT = 10 * 365 * 86400.0


def _start_timer(proto: WorkflowCommand, command: c.StartTimer, _seq: int, _task_queue: str) -> None:
    proto.start_timer.seq = int(command.timer_id)
    _duration(proto.start_timer.start_to_fire_timeout, command.start_to_fire_timeout)


def _cancel_timer(proto: WorkflowCommand, command: c.CancelTimer, _seq: int, _task_queue: str) -> None:
    proto.cancel_timer.seq = int(command.timer_id)


def _cancel_activity(proto: WorkflowCommand, command: c.RequestCancelActivityTask, _seq: int, _queue: str) -> None:
    proto.request_cancel_activity.seq = command.scheduled_event_id


def _record_marker(proto: WorkflowCommand, command: c.RecordMarker, _seq: int, _task_queue: str) -> None:
    patch_id = c.patch_of(command.details)
    if patch_id is not None:
        proto.set_patch_marker.patch_id = patch_id
        proto.set_patch_marker.deprecated = bool(command.details["patch-data"].tree.get("deprecated"))
        return
    if command.marker_name != "side_effect":
        msg = f"marker {command.marker_name!r} can't be recorded on Temporal: it has patch markers only"
        raise WorkflowError(msg)
    marker_id = str(command.details["id"].tree)
    proto.set_patch_marker.patch_id = side_effect_patch(marker_id, command.details["data"])


def _upsert(proto: WorkflowCommand, command: c.UpsertSearchAttributes, _seq: int, _task_queue: str) -> None:
    written = SEARCH_ATTRIBUTES.write(command.search_attributes, _CONTEXT) or {}
    parsed(written, proto.upsert_workflow_search_attributes.search_attributes)


def _modify(proto: WorkflowCommand, command: c.ModifyWorkflowProperties, _seq: int, _task_queue: str) -> None:
    parsed(MEMO.write(command.upserted_memo, _CONTEXT), proto.modify_workflow_properties.upserted_memo)


def _complete(proto: WorkflowCommand, command: c.CompleteWorkflowExecution, _seq: int, _task_queue: str) -> None:
    proto.complete_workflow_execution.result.CopyFrom(result_proto(command.result))


def _fail(proto: WorkflowCommand, command: c.FailWorkflowExecution, _seq: int, _task_queue: str) -> None:
    proto.fail_workflow_execution.failure.CopyFrom(failure_proto(command.failure))


def _cancel(proto: WorkflowCommand, _command: c.CancelWorkflowExecution, _seq: int, _task_queue: str) -> None:
    proto.cancel_workflow_execution.SetInParent()


def _complete_update(proto: WorkflowCommand, command: c.CompleteUpdate, _seq: int, _task_queue: str) -> None:
    answer = proto.update_response
    answer.protocol_instance_id = command.update_id
    if command.failure is not None:
        answer.rejected.CopyFrom(failure_proto(command.failure))
    elif command.result is not None:
        answer.completed.CopyFrom(result_proto(command.result))


_COMMANDS: dict[type[c.Command], Callable[[WorkflowCommand, Any, int, str], None]] = {
    c.ScheduleActivityTask: _schedule_activity,
    c.RequestCancelActivityTask: _cancel_activity,
    c.StartTimer: _start_timer,
    c.CancelTimer: _cancel_timer,
    c.RecordMarker: _record_marker,
    c.CompleteWorkflowExecution: _complete,
    c.FailWorkflowExecution: _fail,
    c.CancelWorkflowExecution: _cancel,
    c.CompleteUpdate: _complete_update,
    c.UpsertSearchAttributes: _upsert,
    c.ModifyWorkflowProperties: _modify,
    **CHILD_COMMANDS,
}
