"""When a run's time is up. Pure arithmetic over its first event."""

from __future__ import annotations

from nbflow.core.events import WorkflowExecutionStarted

__all__ = ["execution_deadline", "expiration", "run_deadline"]

_MICROSECOND = 1_000_000


def run_deadline(started: WorkflowExecutionStarted) -> int | None:
    """Tell when a run times out.

    Parameters
    ----------
    started
        Its first event.

    Returns
    -------
    int or None
        Microseconds since the epoch: the end of its run timeout, which begins after its start delay, or of the
        execution timeout, which spans all runs.
    """
    limits = []
    if started.workflow_execution_expiration_time is not None:
        limits.append(started.workflow_execution_expiration_time)
    if started.workflow_run_timeout:
        delay = started.first_workflow_task_backoff or 0
        limits.append(started.event_time + round((delay + started.workflow_run_timeout) * _MICROSECOND))
    return min(limits, default=None)


def expiration(now: int, seconds: float | None) -> int | None:
    """Tell when so many seconds are over, in microseconds since the epoch; None if there is no limit."""
    return now + round(seconds * _MICROSECOND) if seconds else None


def execution_deadline(started: WorkflowExecutionStarted) -> int | None:
    """Tell when the execution times out, over all its runs; microseconds since the epoch, or None."""
    return started.workflow_execution_expiration_time if started.workflow_execution_timeout else None
