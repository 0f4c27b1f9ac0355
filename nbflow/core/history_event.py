"""What every history event has: its place and time in the history of one execution."""

from __future__ import annotations

from typing import ClassVar

from nbflow.core.records import Record, record_type

__all__ = ["HistoryEvent"]


@record_type
class HistoryEvent(Record):
    """One fact of an execution.

    Parameters
    ----------
    event_id
        Position in the history, from 1.
    event_time
        Microseconds since the epoch, UTC.
    """

    #: Attribute that names what the event is about, kept as a column of its own.
    name_attribute: ClassVar[str | None] = None
    #: Attribute that holds the id of the event that began this one's operation.
    initiated_attribute: ClassVar[str | None] = None

    event_id: int
    event_time: int
