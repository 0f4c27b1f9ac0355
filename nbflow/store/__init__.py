"""The DuckDB event log: schema and views as .sql files, commits, reads, payload codecs."""

from __future__ import annotations

from nbflow.store.event_store import EventStore
from nbflow.store.reader import Reader
from nbflow.store.rows import (
    AttemptRow,
    Batch,
    Counts,
    DefinitionRow,
    DispatchRow,
    HeartbeatRow,
    LogRow,
    NoteRow,
    Owed,
    PendingAttempt,
    RunRow,
    ScheduleRow,
)

__all__ = [
    "AttemptRow",
    "Batch",
    "Counts",
    "DefinitionRow",
    "DispatchRow",
    "EventStore",
    "HeartbeatRow",
    "LogRow",
    "NoteRow",
    "Owed",
    "PendingAttempt",
    "Reader",
    "RunRow",
    "ScheduleRow",
]
