"""Executions to start: what a caller gives, and the first event that it becomes."""

from __future__ import annotations

from dataclasses import dataclass

from nbflow.core.definitions import Definition
from nbflow.core.durations import seconds_or_none
from nbflow.core.events import WorkflowExecutionStarted
from nbflow.core.failures import Failure
from nbflow.core.options import WorkflowOptions
from nbflow.core.payloads import Payload
from nbflow.core.run_times import expiration
from nbflow.engine.clock import new_seed
from nbflow.engine.execution import RunState

__all__ = ["Start", "started_event"]


@dataclass(frozen=True, slots=True)
class Start:
    """One execution to start, its arguments encoded."""

    input: Payload
    keyword_input: Payload | None
    options: WorkflowOptions
    memo: Payload | None = None
    last_completion_result: Payload | None = None
    continued_failure: Failure | None = None
    """How the run before ended, if a schedule starts this one."""
    signal: tuple[str, Payload] | None = None
    """Name and arguments of a signal that comes with the start."""


def started_event(
    definition: Definition, start: Start, run: RunState, now: int, process: tuple[str | None, str]
) -> WorkflowExecutionStarted:
    """Return the first event of a new run.

    Parameters
    ----------
    definition, start, run
        What is started.
    now
        Microseconds since the epoch.
    process
        The headless run that this process belongs to, and its identity.
    """
    run_key, identity = process
    options = start.options
    execution_timeout, run_timeout = seconds_or_none(options.execution_timeout), seconds_or_none(options.run_timeout)
    return WorkflowExecutionStarted(
        event_id=1,
        event_time=now,
        workflow_type=definition.name,
        workflow_id=run.workflow_id,
        input=start.input,
        keyword_input=start.keyword_input,
        definition_hash=definition.hash,
        random_seed=new_seed(),
        run_key=run_key,
        workflow_execution_timeout=execution_timeout,
        workflow_run_timeout=run_timeout,
        workflow_execution_expiration_time=expiration(now, execution_timeout),
        retry_policy=options.retry.to_json() if options.retry else None,
        first_workflow_task_backoff=seconds_or_none(options.start_delay) or None,
        memo=start.memo,
        search_attributes=dict(options.search_attributes) if options.search_attributes else None,
        summary=options.summary,
        priority=options.priority,
        on_error=None if options.on_error == "fail" else options.on_error,
        identity=identity,
        last_completion_result=start.last_completion_result,
        continued_failure=start.continued_failure,
    )
