"""What ``nbflow.info()`` tells: made of the execution's first event, and of how far its history goes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nbflow.core.failures import exception_of_failure
from nbflow.core.retry import RetryPolicy
from nbflow.core.runtime import RelatedExecution, WorkflowInfo

if TYPE_CHECKING:
    from nbflow.core.embedded_runtime import EmbeddedRuntime
    from nbflow.core.events import WorkflowExecutionStarted

__all__ = ["info_of"]


def info_of(execution: EmbeddedRuntime) -> WorkflowInfo:
    """Tell an execution's code what it is.

    Parameters
    ----------
    execution
        Begun.

    Returns
    -------
    WorkflowInfo
        As of the current activation.
    """
    started, converter = execution.started, execution.converter
    before, failure = started.last_completion_result, started.continued_failure
    return WorkflowInfo(
        workflow_id=started.workflow_id,
        run_id=execution.run_id,
        workflow_type=started.workflow_type,
        attempt=started.attempt,
        start_time=datetime.fromtimestamp((started.original_start_time or started.event_time) / 1_000_000, UTC),
        definition_hash=started.definition_hash,
        run_key=started.run_key,
        memo=execution.description.memo,
        search_attributes=execution.description.search_attributes,
        first_execution_run_id=started.first_execution_run_id or execution.run_id,
        continued_run_id=started.continued_execution_run_id,
        last_completion_result=converter.decode(before) if before else None,
        last_failure=exception_of_failure(failure, converter) if failure else None,
        parent=_related(started.parent_workflow_id, started.parent_run_id),
        root=_root(execution.run_id, started),
        retry_policy=RetryPolicy.from_json(dict(started.retry_policy)) if started.retry_policy else None,
        execution_timeout=started.workflow_execution_timeout,
        run_timeout=started.workflow_run_timeout,
        history_length=execution.last_event_id,
        history_size=execution.history_size.bytes,
    )


def _related(workflow_id: str | None, run_id: str | None) -> RelatedExecution | None:
    return RelatedExecution(workflow_id, run_id) if workflow_id and run_id else None


def _root(run_id: str, started: WorkflowExecutionStarted) -> RelatedExecution:
    return _related(started.root_workflow_id, started.root_run_id) or RelatedExecution(started.workflow_id, run_id)
