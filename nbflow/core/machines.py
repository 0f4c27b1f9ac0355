"""The state machines of an execution and of what it waits for, as tables: state x event -> state.

Rule 1: everything that decides which event may follow which lives in this file.
Rule 2: this file knows nothing of how events come about. The SQL views say the same in SQL;
a test holds the two together, and the diagrams of the documentation are drawn from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from nbflow.exceptions import HistoryCorruptedError

__all__ = [
    "ACTIVITY",
    "CHILD",
    "EXECUTION",
    "EXTERNAL_CANCEL",
    "EXTERNAL_SIGNAL",
    "TIMER",
    "UPDATE",
    "Machine",
    "advance",
    "draw",
]

Machine: TypeAlias = Mapping[str, Mapping[str, str]]

_OPEN_EXECUTION = {
    "WorkflowExecutionSignaled": "Running",
    "WorkflowExecutionCancelRequested": "Running",
    "ActivityTaskScheduled": "Running",
    "ActivityTaskStarted": "Running",
    "ActivityTaskCompleted": "Running",
    "ActivityTaskFailed": "Running",
    "ActivityTaskTimedOut": "Running",
    "ActivityTaskCancelRequested": "Running",
    "ActivityTaskCanceled": "Running",
    "TimerStarted": "Running",
    "TimerFired": "Running",
    "TimerCanceled": "Running",
    "MarkerRecorded": "Running",
    "StartChildWorkflowExecutionInitiated": "Running",
    "StartChildWorkflowExecutionFailed": "Running",
    "ChildWorkflowExecutionStarted": "Running",
    "ChildWorkflowExecutionCompleted": "Running",
    "ChildWorkflowExecutionFailed": "Running",
    "ChildWorkflowExecutionCanceled": "Running",
    "ChildWorkflowExecutionTimedOut": "Running",
    "ChildWorkflowExecutionTerminated": "Running",
    "RequestCancelExternalWorkflowExecutionInitiated": "Running",
    "RequestCancelExternalWorkflowExecutionFailed": "Running",
    "ExternalWorkflowExecutionCancelRequested": "Running",
    "SignalExternalWorkflowExecutionInitiated": "Running",
    "SignalExternalWorkflowExecutionFailed": "Running",
    "ExternalWorkflowExecutionSignaled": "Running",
    "UpsertWorkflowSearchAttributes": "Running",
    "WorkflowPropertiesModified": "Running",
    "WorkflowExecutionUpdateAccepted": "Running",
    "WorkflowExecutionUpdateCompleted": "Running",
    "WorkflowTaskScheduled": "Running",
    "WorkflowTaskStarted": "Running",
    "WorkflowTaskCompleted": "Running",
    "WorkflowTaskFailed": "Running",
    "WorkflowTaskTimedOut": "Running",
    "WorkflowExecutionCompleted": "Completed",
    "WorkflowExecutionFailed": "Failed",
    "WorkflowExecutionTimedOut": "TimedOut",
    "WorkflowExecutionCanceled": "Canceled",
    "WorkflowExecutionTerminated": "Terminated",
    "WorkflowExecutionContinuedAsNew": "ContinuedAsNew",
    "WorkflowExecutionPaused": "Paused",
}

_PAUSED_EXECUTION = {
    "WorkflowExecutionSignaled": "Paused",
    "WorkflowExecutionCancelRequested": "Paused",
    "ActivityTaskStarted": "Paused",
    "ActivityTaskCompleted": "Paused",
    "ActivityTaskFailed": "Paused",
    "ActivityTaskTimedOut": "Paused",
    "ActivityTaskCanceled": "Paused",
    "TimerFired": "Paused",
    "StartChildWorkflowExecutionFailed": "Paused",
    "ChildWorkflowExecutionStarted": "Paused",
    "ChildWorkflowExecutionCompleted": "Paused",
    "ChildWorkflowExecutionFailed": "Paused",
    "ChildWorkflowExecutionCanceled": "Paused",
    "ChildWorkflowExecutionTimedOut": "Paused",
    "ChildWorkflowExecutionTerminated": "Paused",
    "RequestCancelExternalWorkflowExecutionFailed": "Paused",
    "ExternalWorkflowExecutionCancelRequested": "Paused",
    "SignalExternalWorkflowExecutionFailed": "Paused",
    "ExternalWorkflowExecutionSignaled": "Paused",
    "WorkflowExecutionUnpaused": "Running",
    "WorkflowExecutionTimedOut": "TimedOut",
    "WorkflowExecutionTerminated": "Terminated",
}
"""What comes from outside is recorded, but the code does not run, so it asks for nothing."""

EXECUTION: Machine = {
    "New": {"WorkflowExecutionStarted": "Running"},
    "Running": _OPEN_EXECUTION,
    "Paused": _PAUSED_EXECUTION,
    "Completed": {},
    "Failed": {},
    "TimedOut": {},
    "Canceled": {},
    "Terminated": {},
    "ContinuedAsNew": {},
}

ACTIVITY: Machine = {
    "New": {"ActivityTaskScheduled": "Scheduled"},
    "Scheduled": {
        "ActivityTaskStarted": "Started",
        "ActivityTaskCancelRequested": "CancelRequested",
        "ActivityTaskTimedOut": "TimedOut",
    },
    "CancelRequested": {
        "ActivityTaskStarted": "Started",
        "ActivityTaskCanceled": "Canceled",
        "ActivityTaskTimedOut": "TimedOut",
    },
    "Started": {
        "ActivityTaskCompleted": "Completed",
        "ActivityTaskFailed": "Failed",
        "ActivityTaskTimedOut": "TimedOut",
        "ActivityTaskCanceled": "Canceled",
        "ActivityTaskCancelRequested": "Started",
    },
    "Completed": {},
    "Failed": {},
    "TimedOut": {},
    "Canceled": {},
}

CHILD: Machine = {
    "New": {"StartChildWorkflowExecutionInitiated": "Initiated"},
    "Initiated": {"ChildWorkflowExecutionStarted": "Started", "StartChildWorkflowExecutionFailed": "StartFailed"},
    "Started": {
        "ChildWorkflowExecutionCompleted": "Completed",
        "ChildWorkflowExecutionFailed": "Failed",
        "ChildWorkflowExecutionCanceled": "Canceled",
        "ChildWorkflowExecutionTimedOut": "TimedOut",
        "ChildWorkflowExecutionTerminated": "Terminated",
    },
    "StartFailed": {},
    "Completed": {},
    "Failed": {},
    "Canceled": {},
    "TimedOut": {},
    "Terminated": {},
}

EXTERNAL_CANCEL: Machine = {
    "New": {"RequestCancelExternalWorkflowExecutionInitiated": "Initiated"},
    "Initiated": {
        "ExternalWorkflowExecutionCancelRequested": "Delivered",
        "RequestCancelExternalWorkflowExecutionFailed": "Failed",
    },
    "Delivered": {},
    "Failed": {},
}

EXTERNAL_SIGNAL: Machine = {
    "New": {"SignalExternalWorkflowExecutionInitiated": "Initiated"},
    "Initiated": {"ExternalWorkflowExecutionSignaled": "Delivered", "SignalExternalWorkflowExecutionFailed": "Failed"},
    "Delivered": {},
    "Failed": {},
}

UPDATE: Machine = {
    "New": {"WorkflowExecutionUpdateAccepted": "Accepted"},
    "Accepted": {"WorkflowExecutionUpdateCompleted": "Completed"},
    "Completed": {},
}

TIMER: Machine = {
    "New": {"TimerStarted": "Pending"},
    "Pending": {"TimerFired": "Fired", "TimerCanceled": "Canceled"},
    "Fired": {},
    "Canceled": {},
}


def advance(machine: Machine, state: str, event_type: str, *subject: object) -> str:
    """Take one step.

    Parameters
    ----------
    machine
        One of the tables above.
    state
        Where it stands.
    event_type
        What happened.
    *subject
        What the machine is of, for the error: ``"activity", 5``.

    Returns
    -------
    str
        The next state.

    Raises
    ------
    HistoryCorruptedError
        When the table has no such step.
    """
    try:
        return machine[state][event_type]
    except KeyError:
        msg = f"{' '.join(map(str, subject))} is {state} and can't take a {event_type}: the history contradicts itself"
        raise HistoryCorruptedError(msg) from None


def draw(machine: Machine) -> str:
    """Draw a machine as a Mermaid state diagram.

    Parameters
    ----------
    machine
        One of the tables above.

    Returns
    -------
    str
        Mermaid text.
    """
    lines = ["stateDiagram-v2"]
    for state, steps in machine.items():
        by_target: dict[str, list[str]] = {}
        for event, target in steps.items():
            by_target.setdefault(target, []).append(event)
        for target, events in by_target.items():
            source = "[*]" if state == "New" else state
            label = events[0] if len(events) == 1 else f"{events[0]} … ({len(events)} events)"
            lines.append(f"    {source} --> {target}: {label}")
    return "\n".join(lines)
