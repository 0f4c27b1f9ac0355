"""Which attribute of which event is which in Temporal's history JSON: one table, read in both directions.

A row is ``(our attribute, their dotted path, kind)``. A path that begins with ``@`` stands beside the event's
attributes, not among them.
"""

from __future__ import annotations

from typing import TypeAlias

from nbflow.core import events as e
from nbflow.core.history_event import HistoryEvent
from nbflow.interchange.kinds import (
    ARGUMENTS,
    DETAILS,
    DURATION,
    EVENT_ID,
    FAILURE,
    FLAG,
    KEYWORDS,
    LONG,
    MEMO,
    NUMBER,
    NUMBERS,
    RESULT,
    RETRY_POLICY,
    RETRY_STATE,
    SEARCH_ATTRIBUTES,
    TEXT,
    TEXT_PAYLOAD,
    TIME,
    TIMEOUT,
    Kind,
    enum,
)

__all__ = ["ATTRIBUTES", "Row"]

Row: TypeAlias = tuple[str, str, Kind]

_INITIATOR = enum("CONTINUE_AS_NEW_INITIATOR_")
_CLOSE_POLICY = enum("PARENT_CLOSE_POLICY_", "TERMINATE")
_REUSE_POLICY = enum("WORKFLOW_ID_REUSE_POLICY_", "ALLOW_DUPLICATE")
_START_CHILD_CAUSE = enum("START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_", "")
_CANCEL_EXTERNAL_CAUSE = enum("CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_", "")
_SIGNAL_EXTERNAL_CAUSE = enum("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_", "")
_TASK_CAUSE = enum("WORKFLOW_TASK_FAILED_CAUSE_", "")
_TIMEOUT_TYPE = enum("TIMEOUT_TYPE_", "")

_INPUT: tuple[Row, ...] = (("input", "input", ARGUMENTS), ("keyword_input", "input", KEYWORDS))
_IDENTITY: tuple[Row, ...] = (("identity", "identity", TEXT),)
_SUMMARY: tuple[Row, ...] = (("summary", "@userMetadata.summary", TEXT_PAYLOAD),)
_MEMO: tuple[Row, ...] = (("memo", "memo", MEMO), ("search_attributes", "searchAttributes", SEARCH_ATTRIBUTES))
_PRIORITY: tuple[Row, ...] = (("priority", "priority.priorityKey", NUMBER),)
_RETRY_STATE: tuple[Row, ...] = (("retry_state", "retryState", RETRY_STATE),)
_NEXT_RUN: tuple[Row, ...] = (("new_execution_run_id", "newExecutionRunId", TEXT),)
_EXTERNAL: tuple[Row, ...] = (
    ("external_workflow_id", "externalWorkflowExecution.workflowId", TEXT),
    ("external_run_id", "externalWorkflowExecution.runId", TEXT),
)
_EXECUTION: tuple[Row, ...] = (
    ("workflow_id", "workflowExecution.workflowId", TEXT),
    ("run_id", "workflowExecution.runId", TEXT),
)
_SCHEDULED: tuple[Row, ...] = (("scheduled_event_id", "scheduledEventId", EVENT_ID),)
_INITIATED: tuple[Row, ...] = (("initiated_event_id", "initiatedEventId", EVENT_ID),)
_STARTED: tuple[Row, ...] = (("started_event_id", "startedEventId", EVENT_ID),)
_OUTCOME = (*_SCHEDULED, *_STARTED)
_TYPE: tuple[Row, ...] = (("workflow_type", "workflowType.name", TEXT),)
_CHILD = (*_INITIATED, *_STARTED, *_EXECUTION, *_TYPE)
_EXTERNAL_TARGET: tuple[Row, ...] = (*_EXECUTION, ("child_workflow_only", "childWorkflowOnly", FLAG))

ATTRIBUTES: dict[type[HistoryEvent], tuple[Row, ...]] = {
    e.WorkflowExecutionStarted: (
        *_TYPE,
        ("workflow_id", "workflowId", TEXT),
        *_INPUT,
        ("attempt", "attempt", NUMBER),
        ("workflow_execution_timeout", "workflowExecutionTimeout", TIMEOUT),
        ("workflow_run_timeout", "workflowRunTimeout", TIMEOUT),
        ("workflow_execution_expiration_time", "workflowExecutionExpirationTime", TIME),
        ("first_workflow_task_backoff", "firstWorkflowTaskBackoff", TIMEOUT),
        ("retry_policy", "retryPolicy", RETRY_POLICY),
        *_MEMO,
        *_SUMMARY,
        ("first_execution_run_id", "firstExecutionRunId", TEXT),
        ("continued_execution_run_id", "continuedExecutionRunId", TEXT),
        ("initiator", "initiator", _INITIATOR),
        ("continued_failure", "continuedFailure", FAILURE),
        ("parent_workflow_id", "parentWorkflowExecution.workflowId", TEXT),
        ("parent_run_id", "parentWorkflowExecution.runId", TEXT),
        ("parent_initiated_event_id", "parentInitiatedEventId", LONG),
        ("root_workflow_id", "rootWorkflowExecution.workflowId", TEXT),
        ("root_run_id", "rootWorkflowExecution.runId", TEXT),
        ("last_completion_result", "lastCompletionResult", RESULT),
        *_PRIORITY,
        *_IDENTITY,
    ),
    e.WorkflowExecutionCompleted: (("result", "result", RESULT),),
    e.WorkflowExecutionFailed: (("failure", "failure", FAILURE), *_RETRY_STATE, *_NEXT_RUN),
    e.WorkflowExecutionTimedOut: (*_RETRY_STATE, *_NEXT_RUN),
    e.WorkflowExecutionCanceled: (("details", "details", RESULT),),
    e.WorkflowExecutionTerminated: (("reason", "reason", TEXT), ("details", "details", RESULT), *_IDENTITY),
    e.WorkflowExecutionContinuedAsNew: (
        *_NEXT_RUN,
        *_TYPE,
        *_INPUT,
        ("workflow_run_timeout", "workflowRunTimeout", TIMEOUT),
        ("backoff_start_interval", "backoffStartInterval", TIMEOUT),
        ("initiator", "initiator", enum("CONTINUE_AS_NEW_INITIATOR_", "WORKFLOW")),
        ("failure", "failure", FAILURE),
        *_MEMO,
    ),
    e.WorkflowExecutionCancelRequested: (
        ("cause", "cause", TEXT),
        *_IDENTITY,
        ("external_initiated_event_id", "externalInitiatedEventId", LONG),
        *_EXTERNAL,
    ),
    e.WorkflowExecutionSignaled: (
        ("signal_name", "signalName", TEXT),
        ("input", "input", ARGUMENTS),
        *_IDENTITY,
        *_EXTERNAL,
    ),
    e.WorkflowExecutionPaused: (("reason", "reason", TEXT), *_IDENTITY),
    e.WorkflowExecutionUnpaused: (("reason", "reason", TEXT), *_IDENTITY),
    e.ActivityTaskScheduled: (
        ("activity_id", "activityId", TEXT),
        ("activity_type", "activityType.name", TEXT),
        *_INPUT,
        ("schedule_to_close_timeout", "scheduleToCloseTimeout", TIMEOUT),
        ("schedule_to_start_timeout", "scheduleToStartTimeout", TIMEOUT),
        ("start_to_close_timeout", "startToCloseTimeout", TIMEOUT),
        ("heartbeat_timeout", "heartbeatTimeout", TIMEOUT),
        ("retry_policy", "retryPolicy", RETRY_POLICY),
        *_SUMMARY,
        *_PRIORITY,
    ),
    e.ActivityTaskStarted: (
        *_SCHEDULED,
        ("attempt", "attempt", NUMBER),
        ("last_failure", "lastFailure", FAILURE),
        *_IDENTITY,
    ),
    e.ActivityTaskCompleted: (*_OUTCOME, ("result", "result", RESULT)),
    e.ActivityTaskFailed: (*_OUTCOME, ("failure", "failure", FAILURE), *_RETRY_STATE),
    e.ActivityTaskTimedOut: (*_OUTCOME, ("failure", "failure", FAILURE), *_RETRY_STATE),
    e.ActivityTaskCancelRequested: _SCHEDULED,
    e.ActivityTaskCanceled: (
        *_OUTCOME,
        ("latest_cancel_requested_event_id", "latestCancelRequestedEventId", EVENT_ID),
        ("details", "details", RESULT),
    ),
    e.TimerStarted: (
        ("timer_id", "timerId", TEXT),
        ("start_to_fire_timeout", "startToFireTimeout", DURATION),
        *_SUMMARY,
    ),
    e.TimerFired: (("timer_id", "timerId", TEXT), *_STARTED),
    e.TimerCanceled: (("timer_id", "timerId", TEXT), *_STARTED),
    e.MarkerRecorded: (("marker_name", "markerName", TEXT), ("details", "details", DETAILS)),
    e.StartChildWorkflowExecutionInitiated: (
        ("workflow_id", "workflowId", TEXT),
        *_TYPE,
        *_INPUT,
        ("workflow_execution_timeout", "workflowExecutionTimeout", TIMEOUT),
        ("workflow_run_timeout", "workflowRunTimeout", TIMEOUT),
        ("parent_close_policy", "parentClosePolicy", _CLOSE_POLICY),
        ("workflow_id_reuse_policy", "workflowIdReusePolicy", _REUSE_POLICY),
        ("retry_policy", "retryPolicy", RETRY_POLICY),
        *_MEMO,
        *_SUMMARY,
    ),
    e.StartChildWorkflowExecutionFailed: (
        *_INITIATED,
        ("workflow_id", "workflowId", TEXT),
        *_TYPE,
        ("cause", "cause", _START_CHILD_CAUSE),
    ),
    e.ChildWorkflowExecutionStarted: (*_INITIATED, *_EXECUTION, *_TYPE),
    e.ChildWorkflowExecutionCompleted: (*_CHILD, ("result", "result", RESULT)),
    e.ChildWorkflowExecutionFailed: (*_CHILD, ("failure", "failure", FAILURE), *_RETRY_STATE),
    e.ChildWorkflowExecutionCanceled: (*_CHILD, ("details", "details", RESULT)),
    e.ChildWorkflowExecutionTimedOut: (*_CHILD, *_RETRY_STATE),
    e.ChildWorkflowExecutionTerminated: _CHILD,
    e.RequestCancelExternalWorkflowExecutionInitiated: (*_EXTERNAL_TARGET, ("reason", "reason", TEXT)),
    e.RequestCancelExternalWorkflowExecutionFailed: (
        *_INITIATED,
        *_EXECUTION,
        ("cause", "cause", _CANCEL_EXTERNAL_CAUSE),
    ),
    e.ExternalWorkflowExecutionCancelRequested: (*_INITIATED, *_EXECUTION),
    e.SignalExternalWorkflowExecutionInitiated: (
        *_EXTERNAL_TARGET,
        ("signal_name", "signalName", TEXT),
        ("input", "input", ARGUMENTS),
    ),
    e.SignalExternalWorkflowExecutionFailed: (*_INITIATED, *_EXECUTION, ("cause", "cause", _SIGNAL_EXTERNAL_CAUSE)),
    e.ExternalWorkflowExecutionSignaled: (*_INITIATED, *_EXECUTION),
    e.WorkflowExecutionUpdateAccepted: (
        ("update_id", "protocolInstanceId", TEXT),
        ("update_id", "acceptedRequest.meta.updateId", TEXT),
        ("identity", "acceptedRequest.meta.identity", TEXT),
        ("update_name", "acceptedRequest.input.name", TEXT),
        ("input", "acceptedRequest.input.args", ARGUMENTS),
    ),
    e.WorkflowExecutionUpdateCompleted: (
        ("update_id", "meta.updateId", TEXT),
        ("accepted_event_id", "acceptedEventId", EVENT_ID),
        ("result", "outcome.success", RESULT),
        ("failure", "outcome.failure", FAILURE),
    ),
    e.UpsertWorkflowSearchAttributes: (("search_attributes", "searchAttributes", SEARCH_ATTRIBUTES),),
    e.WorkflowPropertiesModified: (("upserted_memo", "upsertedMemo", MEMO),),
    e.WorkflowTaskScheduled: (("attempt", "attempt", NUMBER),),
    e.WorkflowTaskStarted: (
        *_SCHEDULED,
        ("history_size_bytes", "historySizeBytes", LONG),
        ("suggest_continue_as_new", "suggestContinueAsNew", FLAG),
        *_IDENTITY,
    ),
    e.WorkflowTaskCompleted: (
        *_OUTCOME,
        ("core_used_flags", "sdkMetadata.coreUsedFlags", NUMBERS),
        ("lang_used_flags", "sdkMetadata.langUsedFlags", NUMBERS),
        ("sdk_name", "sdkMetadata.sdkName", TEXT),
        ("sdk_version", "sdkMetadata.sdkVersion", TEXT),
        *_IDENTITY,
    ),
    e.WorkflowTaskFailed: (
        *_OUTCOME,
        ("cause", "cause", _TASK_CAUSE),
        ("failure", "failure", FAILURE),
        ("base_run_id", "baseRunId", TEXT),
        ("new_run_id", "newRunId", TEXT),
        *_IDENTITY,
    ),
    e.WorkflowTaskTimedOut: (*_OUTCOME, ("timeout_type", "timeoutType", _TIMEOUT_TYPE)),
}
