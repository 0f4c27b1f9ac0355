"""History events of updates, of what an execution says of itself, and of pauses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from nbflow.core.failures import Failure
from nbflow.core.history_event import HistoryEvent
from nbflow.core.payloads import Payload
from nbflow.core.records import record_type

__all__ = [
    "UpsertWorkflowSearchAttributes",
    "WorkflowExecutionPaused",
    "WorkflowExecutionUnpaused",
    "WorkflowExecutionUpdateAccepted",
    "WorkflowExecutionUpdateCompleted",
    "WorkflowPropertiesModified",
]


@record_type
class WorkflowExecutionUpdateAccepted(HistoryEvent):
    """An update passed its validator."""

    name_attribute: ClassVar[str | None] = "update_name"

    update_id: str
    update_name: str
    input: Payload
    """The arguments, as one encoded list."""
    identity: str | None = None


@record_type
class WorkflowExecutionUpdateCompleted(HistoryEvent):
    """An update's handler returned or failed."""

    initiated_attribute: ClassVar[str | None] = "accepted_event_id"

    update_id: str
    accepted_event_id: int
    result: Payload | None = None
    failure: Failure | None = None


@record_type
class UpsertWorkflowSearchAttributes(HistoryEvent):
    """The workflow changed its search attributes."""

    search_attributes: Mapping[str, Any]
    """None as a value removes the key."""


@record_type
class WorkflowPropertiesModified(HistoryEvent):
    """The workflow changed its memo."""

    upserted_memo: Payload
    """One encoded dict; None as a value removes the key."""


@record_type
class WorkflowExecutionPaused(HistoryEvent):
    """Someone paused the execution, or its code raised: events are recorded, its code does not run."""

    reason: str = ""
    identity: str | None = None
    failure: Failure | None = None
    """What the code raised, if that is why. The activation that raised is then taken back: the events before this
    one reach the code with those of the pause, when it is over."""


@record_type
class WorkflowExecutionUnpaused(HistoryEvent):
    """Someone let the execution go on."""

    reason: str = ""
    identity: str | None = None
