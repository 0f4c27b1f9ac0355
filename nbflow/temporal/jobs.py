"""What Temporal's Core tells an execution, as nbflow's events: one table.

Core speaks of operations by sequence numbers. Here the number of an operation is the id of the event that recorded
its command in the execution's own little history; that of a timer is its timer id, because Core makes the id of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

from google.protobuf.json_format import MessageToDict

from nbflow.core.events import (
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    HistoryEvent,
    TimerFired,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionUpdateAccepted,
)
from nbflow.exceptions import WorkflowError
from nbflow.interchange.kinds import MEMO, RETRY_STATE, SEARCH_ATTRIBUTES, Context
from nbflow.interchange.payload_json import from_payload
from nbflow.interchange.temporal_export import HEADER, KEPT_IN_HEADER
from nbflow.temporal.child_jobs import CHILD_JOBS
from nbflow.temporal.payloads import arguments_of, failure_of, keywords_of, memo_of, result_of

__all__ = ["Execution", "events_of", "own_header"]

_MICROSECOND = 1_000_000


class Execution(Protocol):
    """What the table asks of the execution that a job is for."""

    run_id: str
    time: int

    def next_event_id(self) -> int:
        """Return the id of the next event."""
        ...

    def timer_event(self, seq: int) -> int:
        """Return the id of the event that started a timer."""
        ...


Events: TypeAlias = Iterator[HistoryEvent]


def events_of(execution: Execution, job: Any) -> Events:
    """Return the events that a job stands for.

    Parameters
    ----------
    execution
        Whose job it is.
    job
        A ``WorkflowActivationJob`` that moves the code.

    Yields
    ------
    HistoryEvent
        In order.

    Raises
    ------
    WorkflowError
        When nbflow has no such thing.
    """
    kind = job.WhichOneof("variant")
    make = _JOBS.get(kind)
    if make is None:
        msg = f"run {execution.run_id}: nbflow can't take a {kind} from Temporal"
        raise WorkflowError(msg)
    yield from make(execution, getattr(job, kind))


def _place(execution: Execution) -> dict[str, Any]:
    return {"event_id": execution.next_event_id(), "event_time": execution.time}


def own_header(init: Any) -> Mapping[str, Any]:
    """Return what nbflow keeps in the header of a start: seed, definition hash, run key."""
    kept = from_payload(MessageToDict(init.headers[HEADER])) if HEADER in init.headers else {}
    return {name: kept[name] for name in KEPT_IN_HEADER if name in kept} if isinstance(kept, Mapping) else {}


def _started(execution: Execution, init: Any) -> Events:
    own = own_header(init)
    parent, root = init.parent_workflow_info, init.root_workflow
    yield WorkflowExecutionStarted(
        **{"random_seed": init.randomness_seed, **own, "reseeds": None},  # their event ids are not those of here
        event_id=execution.next_event_id(),
        event_time=init.start_time.ToMicroseconds(),
        workflow_type=init.workflow_type,
        workflow_id=init.workflow_id,
        input=arguments_of(init.arguments),
        keyword_input=keywords_of(init.arguments),
        attempt=init.attempt,
        memo=memo_of(MEMO, init.memo),
        search_attributes=memo_of(SEARCH_ATTRIBUTES, init.search_attributes),
        first_execution_run_id=init.first_execution_run_id or None,
        continued_execution_run_id=init.continued_from_execution_run_id or None,
        continued_failure=failure_of(init.continued_failure) if init.HasField("continued_failure") else None,
        parent_workflow_id=parent.workflow_id or None,
        parent_run_id=parent.run_id or None,
        root_workflow_id=root.workflow_id or None,
        root_run_id=root.run_id or None,
    )


def _signaled(execution: Execution, job: Any) -> Events:
    yield WorkflowExecutionSignaled(
        **_place(execution), signal_name=job.signal_name, input=arguments_of(job.input), identity=job.identity or None
    )


def _cancel_requested(execution: Execution, job: Any) -> Events:
    yield WorkflowExecutionCancelRequested(**_place(execution), cause=job.reason)


def _timer_fired(execution: Execution, job: Any) -> Events:
    yield TimerFired(**_place(execution), timer_id=str(job.seq), started_event_id=execution.timer_event(job.seq))


def _activity_resolved(execution: Execution, job: Any) -> Events:
    outcome = job.result.WhichOneof("status")
    about: dict[str, Any] = {"scheduled_event_id": job.seq}
    if outcome == "cancelled":
        yield ActivityTaskCanceled(**_place(execution), **about)
        return
    started = ActivityTaskStarted(**_place(execution), **about)
    yield started
    about["started_event_id"] = started.event_id
    if outcome == "completed":
        yield ActivityTaskCompleted(**_place(execution), **about, result=result_of(job.result.completed.result))
        return
    failed = job.result.failed.failure
    told = MessageToDict(failed).get("activityFailureInfo", {})
    failure = failure_of(failed.cause if failed.HasField("cause") else failed)
    cls = ActivityTaskTimedOut if failure.kind == "timeout" else ActivityTaskFailed
    state = RETRY_STATE.read(told.get("retryState", "RETRY_STATE_UNSPECIFIED"), Context())
    yield cls(**_place(execution), **about, failure=failure, retry_state=state)


def _update_accepted(execution: Execution, job: Any) -> Events:
    yield WorkflowExecutionUpdateAccepted(
        **_place(execution),
        update_id=job.id,
        update_name=job.name,
        input=arguments_of(job.input),
        identity=job.meta.identity or None,
    )


_JOBS: dict[str, Callable[[Execution, Any], Events]] = {
    "initialize_workflow": _started,
    "signal_workflow": _signaled,
    "cancel_workflow": _cancel_requested,
    "fire_timer": _timer_fired,
    "resolve_activity": _activity_resolved,
    "do_update": _update_accepted,
    **CHILD_JOBS,
}
