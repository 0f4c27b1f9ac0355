"""Batches to rows: one transaction a commit, through DuckDB's appender or columnar inserts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb

from nbflow.core.event_json import attributes_json, initiated_event_id, name_of
from nbflow.core.events import (
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    HistoryEvent,
    MarkerRecorded,
    TimerStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
)
from nbflow.core.failures import Failure
from nbflow.core.payloads import Blob, Payload
from nbflow.store.rows import AttemptRow, Batch, HeartbeatRow

__all__ = ["Writer"]

_COLUMNS = {
    "events": 10,
    "attempts": 10,
    "dispatches": 5,
    "heartbeats": 5,
    "logs": 8,
    "definitions": 6,
    "notes": 5,
    "payloads": 4,
}

#: Attributes of each event class that may carry blobs.
_PAYLOADS: dict[type[HistoryEvent], tuple[str, ...]] = {
    WorkflowExecutionStarted: ("input", "keyword_input", "memo"),
    WorkflowExecutionCompleted: ("result",),
    WorkflowExecutionCanceled: ("details",),
    WorkflowExecutionTerminated: ("details",),
    WorkflowExecutionSignaled: ("input",),
    ActivityTaskScheduled: ("input", "keyword_input"),
    ActivityTaskCompleted: ("result",),
    ActivityTaskCanceled: ("details",),
}
_FAILURES: dict[type[HistoryEvent], str] = {
    WorkflowExecutionStarted: "continued_failure",
    WorkflowExecutionFailed: "failure",
    ActivityTaskStarted: "last_failure",
    ActivityTaskFailed: "failure",
    ActivityTaskTimedOut: "failure",
}

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Writer:
    """Turns batches into committed transactions on one connection.

    Parameters
    ----------
    connection
        The commit thread's own connection; the tables of the log are on its search path.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._appenders: dict[str, Any] = {}
        self._has_appender = hasattr(connection, "appender")
        self._stored_blobs: set[str] | None = None

    def commit(self, batch: Batch) -> None:
        """Make a batch durable; on any error nothing of it is in the log."""
        tables, new_blobs = self._tables_of(batch)
        if not tables:
            return
        if len(tables) == 1:
            ((table, rows),) = tables.items()
            self._insert(table, rows)
        else:
            self._connection.begin()
            try:
                for table, rows in tables.items():
                    self._insert(table, rows)
                self._connection.commit()
            except BaseException:
                self._roll_back()
                raise
        if new_blobs and self._stored_blobs is not None:
            self._stored_blobs.update(new_blobs)

    def _roll_back(self) -> None:
        try:
            self._connection.rollback()
        except duckdb.Error:
            # the failed commit has ended the transaction already
            return

    def _tables_of(self, batch: Batch) -> tuple[dict[str, list[Sequence[Any]]], set[str]]:
        blobs: dict[str, Blob] = {}
        tables: dict[str, list[Sequence[Any]]] = {}
        if batch.events:
            tables["events"] = [
                _event_row(run_id, workflow_id, event, deferred, blobs)
                for run_id, workflow_id, event, deferred in batch.events
            ]
        if batch.has_more_than_events:
            more: dict[str, list[Sequence[Any]]] = {
                "attempts": [_attempt_row(row, blobs) for row in batch.attempts],
                "dispatches": [*batch.dispatches],
                "heartbeats": [_heartbeat_row(row, blobs) for row in batch.heartbeats],
                "logs": [*batch.logs],
                "definitions": [*batch.definitions],
                "notes": [*batch.notes],
            }
            tables.update({table: rows for table, rows in more.items() if rows})
        fresh = self._not_stored_yet(blobs) if blobs else []
        if fresh:
            tables["payloads"] = [(blob.sha256, blob.encoding, len(blob.data), blob.data) for blob in fresh]
        return tables, {blob.sha256 for blob in fresh}

    def _not_stored_yet(self, blobs: dict[str, Blob]) -> list[Blob]:
        if self._stored_blobs is None:
            found = self._connection.execute("SELECT sha256 FROM event_log.payloads").fetchall()
            self._stored_blobs = {sha256 for (sha256,) in found}
        return [blob for sha256, blob in blobs.items() if sha256 not in self._stored_blobs]

    def _insert(self, table: str, rows: list[Sequence[Any]]) -> None:
        if not self._has_appender:
            self._insert_columns(table, rows)
            return
        appender = self._appenders.pop(table, None) or self._connection.appender(f"store.event_log.{table}")  # type: ignore[attr-defined]
        appender.append_rows(rows)
        appender.flush()
        # an appender that failed may still hold rows, so only one that flushed is used again
        self._appenders[table] = appender

    def _insert_columns(self, table: str, rows: list[Sequence[Any]]) -> None:
        import numpy as np

        columns = {}
        for position, values in enumerate(zip(*rows, strict=True)):
            column = np.empty(len(values), dtype=object)
            column[:] = values
            columns[f"c{position}"] = column
        self._connection.register("incoming_rows", columns)
        try:
            self._connection.execute(f"INSERT INTO store.event_log.{table} SELECT * FROM incoming_rows")
        finally:
            self._connection.unregister("incoming_rows")


def _event_row(
    run_id: str, workflow_id: str, event: HistoryEvent, deferred: bool, blobs: dict[str, Blob]
) -> tuple[Any, ...]:
    cls = type(event)
    for attribute in _PAYLOADS.get(cls, ()):
        payload = getattr(event, attribute)
        if payload is not None and payload.blobs:
            _collect(payload, blobs)
    if cls in _FAILURES:
        _collect_from_failure(getattr(event, _FAILURES[cls]), blobs)
    elif cls is MarkerRecorded:
        for payload in event.details.values():  # type: ignore[attr-defined]
            _collect(payload, blobs)
    return (
        run_id,
        workflow_id,
        event.event_id,
        event.event_time,
        cls.__name__,
        name_of(event),
        initiated_event_id(event),
        _due_time(event),
        deferred,
        attributes_json(event),
    )


def _due_time(event: HistoryEvent) -> int | None:
    match event:
        case TimerStarted():
            return event.fire_time
        case WorkflowExecutionStarted():
            return event.workflow_execution_expiration_time
    return None


def _attempt_row(row: AttemptRow, blobs: dict[str, Blob]) -> tuple[Any, ...]:
    _collect_from_failure(row.failure, blobs)
    return (
        *row[:7],
        None if row.failure is None else _dumps(row.failure.to_json()),
        row.next_attempt_time,
        _text(row.heartbeat_details, blobs),
    )


def _heartbeat_row(row: HeartbeatRow, blobs: dict[str, Blob]) -> tuple[Any, ...]:
    return (*row[:4], _text(row.details, blobs))


def _text(payload: Payload | None, blobs: dict[str, Blob]) -> str | None:
    if payload is None:
        return None
    _collect(payload, blobs)
    return payload.text


def _collect(payload: Payload, blobs: dict[str, Blob]) -> None:
    for blob in payload.blobs:
        blobs.setdefault(blob.sha256, blob)


def _collect_from_failure(failure: Failure | None, blobs: dict[str, Blob]) -> None:
    while failure is not None:
        values: Iterable[Any] = failure.info.values()
        for value in values:
            if isinstance(value, Payload):
                _collect(value, blobs)
        failure = failure.cause
