"""Reads of the log that the views are made of, each a few small rows however large the history is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from nbflow.exceptions import WorkflowNotFoundError
from nbflow.widgets.view_models import ExecutionView, Progress, execution_view, progress_view

__all__ = ["Rows", "read_counts", "read_execution", "read_progress"]

_EXECUTION = """
SELECT workflow_id, run_id, workflow_type, status, start_time, close_time, duration, history_length,
    left(input::VARCHAR, 500000) AS input, left(result::VARCHAR, 500000) AS result, failure_type, failure_message
FROM executions WHERE run_id = ?
"""
_ACTIVITY_COUNTS = """
SELECT activity_type, status, next_attempt_time IS NOT NULL AS waits, count(*) AS count,
    count(*) FILTER (attempt > 1) AS retried, coalesce(sum(attempt - 1) FILTER (attempt > 1), 0)::BIGINT AS retries,
    min(scheduled_event_id) AS first
FROM activities WHERE run_id = ? GROUP BY ALL ORDER BY first
"""
_ACTIVITIES_OF_NOTE = """
SELECT scheduled_event_id, activity_type, status, attempt, scheduled_time, started_time, close_time, duration,
    left(input::VARCHAR, 20000) AS input, failure_type, left(failure_message, 300) AS failure_message, next_attempt_time
FROM activities WHERE run_id = ?
ORDER BY status IN ('Failed', 'TimedOut') DESC, next_attempt_time IS NOT NULL DESC, status = 'Started' DESC,
    status = 'Canceled' DESC, attempt DESC, scheduled_event_id
LIMIT ?
"""
_TIMERS = """
SELECT timer_id, summary, started_time, fire_time, count(*) OVER () AS total
FROM timers WHERE run_id = ? AND status = 'Pending' ORDER BY fire_time LIMIT 10
"""
_NEXT_TIMER = """
SELECT timer_id, summary, fire_time FROM timers WHERE run_id = ? AND status = 'Pending' ORDER BY fire_time LIMIT 1
"""
_SIGNALS = """
SELECT signal_name, count(*) AS count FROM signals WHERE run_id = ? GROUP BY ALL ORDER BY min(event_id) LIMIT 10
"""
_FAILURE = """
SELECT (attributes -> 'failure')::VARCHAR AS failure FROM events
WHERE run_id = ? AND event_type = 'WorkflowExecutionFailed'
"""
_COUNTS = """
SELECT executions, executions - closed AS open_executions, events, pending_timers, next_timer, open_activities
FROM (
    SELECT count(*) AS events,
        count(*) FILTER (event_type = 'WorkflowExecutionStarted') AS executions,
        count(*) FILTER (event_type IN (
            'WorkflowExecutionCompleted', 'WorkflowExecutionFailed', 'WorkflowExecutionTimedOut',
            'WorkflowExecutionCanceled', 'WorkflowExecutionTerminated', 'WorkflowExecutionContinuedAsNew'
        )) AS closed
    FROM events
), (
    SELECT count(*) AS pending_timers, min(fire_time) AS next_timer FROM timers WHERE status = 'Pending'
), (
    SELECT count(*) AS open_activities FROM activities WHERE status IN ('Started', 'Scheduled')
)
"""
_ROWS_OF_NOTE = 12


class Rows(Protocol):
    """What is asked of a client: rows of a query."""

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run a query and return its rows as dicts."""
        ...


def read_counts(client: Rows) -> dict[str, Any]:
    """Count what is in a store.

    Parameters
    ----------
    client
        Answers queries.

    Returns
    -------
    dict
        ``executions``, ``open_executions``, ``open_activities``, ``pending_timers``, ``next_timer`` (a time, or
        None) and ``events``.
    """
    return client.rows(_COUNTS)[0]


def read_execution(client: Rows, workflow_id: str, run_id: str, now: int, problem: str | None = None) -> ExecutionView:
    """Read what there is to see of an execution.

    Parameters
    ----------
    client
        Answers queries.
    workflow_id, run_id
        Which execution.
    now
        Microseconds since the epoch, by the engine's clock.
    problem
        Why the execution is parked, if it is.

    Returns
    -------
    ExecutionView
        Plain data.

    Raises
    ------
    WorkflowNotFoundError
        When there is no such run.
    """
    rows = client.rows(_EXECUTION, [run_id])
    if not rows:
        raise WorkflowNotFoundError(workflow_id, run_id)
    failures = client.rows(_FAILURE, [run_id]) if rows[0]["status"] == "Failed" else []
    return execution_view(
        rows[0],
        counts=client.rows(_ACTIVITY_COUNTS, [run_id]),
        of_note=client.rows(_ACTIVITIES_OF_NOTE, [run_id, _ROWS_OF_NOTE]),
        timers=client.rows(_TIMERS, [run_id]),
        signals=client.rows(_SIGNALS, [run_id]),
        failure=failures[0]["failure"] if failures else None,
        problem=problem,
        now=now,
    )


def read_progress(client: Rows, workflow_id: str, run_id: str, status: str, now: int) -> Progress:
    """Read how far an execution is, for one line.

    Parameters
    ----------
    client
        Answers queries.
    workflow_id, run_id
        Which execution.
    status
        Its status.
    now
        Microseconds since the epoch, by the engine's clock.

    Returns
    -------
    Progress
        Plain data.
    """
    counts = client.rows(_ACTIVITY_COUNTS, [run_id])
    timers = client.rows(_NEXT_TIMER, [run_id]) if status == "Running" else []
    return progress_view(workflow_id, status, counts, timers, now)
