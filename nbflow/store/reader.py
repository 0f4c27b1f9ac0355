"""The engine's reads of the log: histories, open runs, deadlines, definitions, blobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import duckdb

from nbflow.core.events import HistoryEvent
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.exceptions import HistoryCorruptedError, StoreCorruptedError
from nbflow.store import reader_sql, relations_sql
from nbflow.store.event_rows import event_of
from nbflow.store.opening import store_error
from nbflow.store.rows import Counts, DefinitionRow, HeartbeatRow, Owed, PendingAttempt, RunRow

__all__ = ["Reader"]


class Reader:
    """Answers the engine from one cursor; used by one thread at a time.

    Every method raises StoreError when the file can't be read.

    Parameters
    ----------
    cursor
        Its own cursor.
    path
        The store's file, for errors.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, path: str = "") -> None:
        self._cursor = cursor
        self._path = path

    def close(self) -> None:
        """Give the cursor back."""
        self._cursor.close()

    def histories(self, run_ids: Sequence[str]) -> dict[str, list[HistoryEvent]]:
        """Read whole histories; fastest for runs that were written at about the same time.

        Parameters
        ----------
        run_ids
            Which runs.

        Returns
        -------
        dict[str, list[HistoryEvent]]
            Events in order of event_id; runs that have none are left out.

        Raises
        ------
        HistoryCorruptedError
            When event ids have a gap or an event can't be read.
        """
        rows = self._among(reader_sql.HISTORIES, run_ids)
        # one call of the parser for all
        trees = json.loads("[" + ",".join([row[4] for row in rows]) + "]")
        histories: dict[str, list[HistoryEvent]] = {}
        history: list[HistoryEvent] = []
        current = None
        for (run_id, event_type, event_id, event_time, _), tree in zip(rows, trees, strict=True):
            if run_id != current:
                current, history = run_id, []
                histories[run_id] = history
            history.append(event_of(event_type, event_id, event_time, tree))
            if event_id != len(history):
                msg = (
                    f"the history of run {run_id} has event {event_id} where event {len(history)} belongs; "
                    f"restore the store's file from a backup"
                )
                raise HistoryCorruptedError(msg, self._path)
        return histories

    def run(self, run_id: str) -> RunRow | None:
        """Tell one run in short, or None if there is none."""
        return self.runs([run_id]).get(run_id)

    def latest_runs(self, workflow_ids: Sequence[str]) -> dict[str, RunRow]:
        """Tell the newest run of each workflow id that has one, by workflow id."""
        if not workflow_ids:
            return {}
        newest = [run_id for (run_id,) in self._rows(reader_sql.NEWEST_RUNS, [list(workflow_ids)])]
        return {row.workflow_id: row for row in self.runs(newest).values()}

    def runs(self, run_ids: Sequence[str]) -> dict[str, RunRow]:
        """Tell runs in short, by run id; those that there are not are left out."""
        return {row[0]: RunRow(*row) for row in self._among(reader_sql.RUNS, run_ids)}

    def pins(self, run_ids: Sequence[str]) -> dict[str, str]:
        """Tell which version of its code each of these runs was moved to, for those that ever were.

        Parameters
        ----------
        run_ids
            Which runs.

        Returns
        -------
        dict[str, str]
            Definition hash by run id; the latest move counts. The others run what they were started with.
        """
        return dict(self._among(reader_sql.PINS, run_ids))

    def is_imported(self, run_id: str) -> bool:
        """Say whether a run is a mere record, imported from elsewhere."""
        return bool(self._rows(reader_sql.IS_IMPORTED, [run_id])[0][0])

    def open_versions(self, workflow_types: Sequence[str]) -> list[tuple[str, str, str, str]]:
        """List the open runs of some workflows with the version of its code that each runs.

        Parameters
        ----------
        workflow_types
            Which workflows.

        Returns
        -------
        list[tuple[str, str, str, str]]
            (run_id, workflow_id, workflow_type, definition_hash), in order of run ids.
        """
        return self._rows(reader_sql.OPEN_VERSIONS, [list(workflow_types)])

    def open_runs_with_pending_activities(self) -> list[str]:
        """Name the open runs that wait for an activity, or have not heard of its outcome yet, in order of their ids."""
        return [run_id for (run_id,) in self._rows(reader_sql.RUNS_WITH_OPEN_ACTIVITIES)]

    def closings(self, run_ids: Sequence[str]) -> dict[str, HistoryEvent]:
        """Read the closing events of those of these runs that have closed, by run id."""
        rows = self._among(relations_sql.CLOSINGS, run_ids)
        return {row[0]: event_of(row[1], row[2], row[3], json.loads(row[4])) for row in rows}

    def closed_children(
        self, workflow_ids: Sequence[str], parent_run_ids: Sequence[str]
    ) -> list[tuple[str, int, str, HistoryEvent]]:
        """Read how children of these parents closed.

        Parameters
        ----------
        workflow_ids
            Of the children.
        parent_run_ids
            Their parents.

        Returns
        -------
        list[tuple[str, int, str, HistoryEvent]]
            (parent run, initiated_event_id, the child's last run, its closing event), in order of closing.
        """
        rows = self._rows(relations_sql.CLOSED_CHILDREN, [list(workflow_ids), list(parent_run_ids)])
        return [(row[0], row[1], row[2], event_of(row[3], row[4], row[5], json.loads(row[6]))) for row in rows]

    def owes_something(self) -> Owed:
        """Find what executions still owed each other when the last process ended."""
        if not self._rows(relations_sql.HAS_RELATIONS)[0][0]:
            return Owed(False, [], [], [])
        undelivered = [
            (row[0], event_of(row[1], row[2], row[3], json.loads(row[4])))
            for row in self._rows(relations_sql.UNDELIVERED)
        ]
        unsettled = [run_id for (run_id,) in self._rows(relations_sql.UNSETTLED_PARENTS)]
        return Owed(True, unsettled, undelivered, self._rows(relations_sql.FORSAKEN_CHILDREN))

    def open_runs(self, limit: int) -> list[RunRow]:
        """Return the newest open runs, at most ``limit``; their ``history_length`` is not counted and says 0."""
        return [RunRow(*row) for row in self._rows(reader_sql.OPEN_RUNS, [limit])]

    def suspended_runs(self) -> list[RunRow]:
        """Return the open runs that are suspended."""
        run_ids = [run_id for (run_id,) in self._rows(reader_sql.SUSPENDED_RUNS)]
        return [row for row in self.runs(run_ids).values() if row.status == "Suspended"]

    def pending_attempts(self, run_ids: Sequence[str]) -> dict[tuple[str, int], PendingAttempt]:
        """Tell what is known of the attempts of these runs' open activities, by (run_id, scheduled_event_id)."""
        rows = self._among(reader_sql.PENDING_ATTEMPTS, run_ids)
        return {(row[0], row[1]): _pending_attempt(row) for row in rows}

    def due(self, until: int) -> list[tuple[str, int]]:
        """List open runs by their earliest deadline.

        Parameters
        ----------
        until
            Microseconds since the epoch; later deadlines are left out.

        Returns
        -------
        list[tuple[str, int]]
            (run_id, deadline), the earliest first. Deadlines are the fire times of pending timers, the
            expiration times of executions, and the ends of start delays, past ones too.
        """
        return self._rows(reader_sql.DUE, [until])

    def next_deadline(self, after: int) -> int | None:
        """Tell the earliest deadline of an open run later than ``after``, or None."""
        found: int | None = self._rows(reader_sql.NEXT_DEADLINE, [after])[0][0]
        return found

    def closing_events(self, run_ids: Sequence[str]) -> dict[str, HistoryEvent]:
        """Read the closing events of those runs that have closed, by run id."""
        rows = self._among(reader_sql.CLOSING_EVENTS_OF, run_ids)
        return {row[0]: event_of(row[1], row[2], row[3], json.loads(row[4])) for row in rows}

    def schedules(self) -> list[tuple[str, str, str]]:
        """Return each schedule's id, and its state and definition as JSON text, the oldest first."""
        return self._rows(reader_sql.SCHEDULES)

    def definition(self, hash: str) -> DefinitionRow | None:  # noqa: A002  the column's name
        """Fetch a definition by its hash."""
        return self._definition("WHERE hash = $1", [hash])

    def latest_definition(self, kind: str, name: str) -> DefinitionRow | None:
        """Fetch the definition of a name that was registered last."""
        return self._definition("WHERE kind = $1 AND name = $2", [kind, name])

    def _definition(self, where: str, parameters: list[Any]) -> DefinitionRow | None:
        rows = self._rows(f"{reader_sql.DEFINITIONS} {where} ORDER BY time DESC, rowid DESC LIMIT 1", parameters)
        return DefinitionRow(*rows[0]) if rows else None

    def blob(self, sha256: str) -> tuple[str, bytes]:
        """Fetch a stored value.

        Returns
        -------
        tuple[str, bytes]
            Its encoding and its bytes.

        Raises
        ------
        StoreCorruptedError
            When it is missing.
        """
        rows = self._rows(reader_sql.BLOB, [sha256])
        if not rows:
            msg = (
                f"value {sha256} is missing from the store {self._path} although an event refers to it; "
                f"restore the store's file from a backup"
            )
            raise StoreCorruptedError(msg, self._path)
        return rows[0][0], bytes(rows[0][1])

    def counts(self) -> Counts:
        """Count what there is."""
        return Counts(*self._rows(reader_sql.COUNTS)[0])

    def _among(self, query: str, run_ids: Sequence[str]) -> list[Any]:
        if not run_ids:
            return []
        return self._rows(query, [list(run_ids), min(run_ids), max(run_ids)])

    def _rows(self, query: str, parameters: list[Any] | None = None) -> list[Any]:
        try:
            return self._cursor.execute(query, parameters).fetchall()
        except duckdb.Error as error:
            raise store_error(error, self._path) from error


def _payload(text: str | None) -> Payload | None:
    return None if text is None else Payload(text)


def _pending_attempt(row: tuple[Any, ...]) -> PendingAttempt:
    run_id, scheduled_event_id, activity_type, attempt, failure, next_time, details, dispatched, deferred = row[:9]
    beat_attempt, beat_time, beat_details, paused, left_open_attempt, left_open_since = row[9:]
    beat = None
    if beat_attempt is not None:
        beat = HeartbeatRow(run_id, scheduled_event_id, beat_attempt, beat_time, _payload(beat_details))
    return PendingAttempt(
        run_id=run_id,
        scheduled_event_id=scheduled_event_id,
        activity_type=activity_type,
        attempt=attempt,
        failure=None if failure is None else Failure.from_json(json.loads(failure)),
        next_attempt_time=next_time,
        heartbeat_details=_payload(details),
        dispatch_attempt=dispatched,
        deferred=deferred,
        last_heartbeat=beat,
        is_paused=paused,
        left_open_attempt=left_open_attempt or 0,
        left_open_since=left_open_since or 0,
    )
