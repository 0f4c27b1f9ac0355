"""What several of the engine's tests share."""

from __future__ import annotations

import time
from collections.abc import Callable

from nbflow.client import WorkflowHandle
from nbflow.core.events import HistoryEvent

SHORT = {
    "WorkflowExecutionStarted": "Started",
    "WorkflowExecutionCompleted": "Completed",
    "WorkflowExecutionFailed": "Failed",
    "WorkflowExecutionCanceled": "Canceled",
    "WorkflowExecutionSignaled": "Signaled",
    "WorkflowExecutionCancelRequested": "CancelRequested",
    "WorkflowExecutionTimedOut": "TimedOut",
    "WorkflowExecutionTerminated": "Terminated",
}


def event_types(handle: WorkflowHandle) -> list[str]:
    """Names of the events so far; those of the execution itself without their long prefix."""
    names = [type(event).__name__ for event in handle.history()]
    return [SHORT.get(name, name) for name in names]


def events_of(handle: WorkflowHandle, name: str) -> list[HistoryEvent]:
    """Events of one type, in order."""
    return [event for event in handle.history() if type(event).__name__ == name]


def wait_until(condition: Callable[[], bool], timeout: float = 10) -> None:
    """Wait, actively, for something that another thread brings about."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
