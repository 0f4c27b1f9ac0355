"""History events that only a Temporal server writes: workflow tasks, and types that nbflow has no class for.

Embedded executions write none of them: each event from outside is an activation of its own. In a history that
a server recorded they say which events reached the code together, and at what time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

from nbflow.core.failures import Failure
from nbflow.core.history_event import HistoryEvent
from nbflow.core.records import record_type

__all__ = [
    "OtherEvent",
    "WorkflowTaskCompleted",
    "WorkflowTaskFailed",
    "WorkflowTaskScheduled",
    "WorkflowTaskStarted",
    "WorkflowTaskTimedOut",
]


@record_type
class WorkflowTaskScheduled(HistoryEvent):
    """The code should run, as soon as a worker has time."""

    attempt: int = 1


@record_type
class WorkflowTaskStarted(HistoryEvent):
    """A worker takes up the code; its time is what the code calls now."""

    initiated_attribute: ClassVar[str | None] = "scheduled_event_id"

    scheduled_event_id: int
    history_size_bytes: int | None = None
    suggest_continue_as_new: bool = False
    identity: str | None = None


@record_type
class WorkflowTaskCompleted(HistoryEvent):
    """The code ran until it blocked; what it asked for follows."""

    initiated_attribute: ClassVar[str | None] = "scheduled_event_id"

    scheduled_event_id: int
    started_event_id: int
    core_used_flags: Sequence[int] | None = None
    lang_used_flags: Sequence[int] | None = None
    """Rules by which the SDK ran the code, from here on."""
    sdk_name: str | None = None
    sdk_version: str | None = None
    identity: str | None = None


@record_type
class WorkflowTaskFailed(HistoryEvent):
    """The code could not run; the task is tried again, or the run was reset here."""

    initiated_attribute: ClassVar[str | None] = "scheduled_event_id"

    scheduled_event_id: int
    started_event_id: int
    cause: str = ""
    failure: Failure | None = None
    base_run_id: str | None = None
    new_run_id: str | None = None
    """After a reset: the run that goes on from here."""
    identity: str | None = None


@record_type
class WorkflowTaskTimedOut(HistoryEvent):
    """The worker did not answer in time; the task is tried again."""

    initiated_attribute: ClassVar[str | None] = "scheduled_event_id"

    scheduled_event_id: int
    started_event_id: int
    timeout_type: str = ""


@record_type
class OtherEvent(HistoryEvent):
    """An event of a type that nbflow has no class for, kept as the server told it.

    Parameters
    ----------
    event_type
        Its name in CamelCase, such as ``NexusOperationScheduled``.
    attributes
        Its attributes, as Temporal's JSON.
    """

    event_type: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
