"""The engine's reads of the log: histories, open runs, deadlines, definitions, blobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import duckdb

from nbflow.core.event_json import event_from_attributes
from nbflow.core.events import CLOSING_EVENTS, HistoryEvent
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.exceptions import HistoryCorruptedError, StoreCorruptedError
from nbflow.store.rows import Counts, DefinitionRow, HeartbeatRow, PendingAttempt, RunRow

__all__ = ["Reader"]

_CLOSING = ", ".join(f"'{name}'" for name in sorted(cls.__name__ for cls in CLOSING_EVENTS))

_OPEN_RUNS = f"""
    SELECT run_id FROM event_log.events WHERE event_id = 1
    EXCEPT
    SELECT run_id FROM event_log.events WHERE event_type IN ({_CLOSING}, 'WorkflowExecutionContinuedAsNew')
"""


class Reader:
    """Answers the engine from one cursor; used by one thread at a time.

    Parameters
    ----------
    cursor
        Its own cursor, with the log on its search path.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor

    def close(self) -> None:
        """Give the cursor back."""
        self._cursor.close()

    def histories(self, run_ids: Sequence[str]) -> dict[str, list[HistoryEvent]]:
        """Read whole histories.

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
        rows = self._cursor.execute(
            f"SELECT run_id, event_id, event_time, event_type, attributes FROM event_log.events "
            f"WHERE run_id {_among(run_ids)} ORDER BY run_id, event_id",
            [list(run_ids)],
        ).fetchall()
        trees = json.loads("[" + ",".join([row[4] for row in rows]) + "]")
        histories: dict[str, list[HistoryEvent]] = {}
        for run_id, pairs in groupby(zip(rows, trees, strict=True), key=lambda pair: pair[0][0]):
            history = [event_from_attributes(row[3], row[1], row[2], tree) for row, tree in pairs]
            if history[-1].event_id != len(history):
                msg = f"the history of run {run_id} has {len(history)} events but its last is event {history[-1].event_id}"
                raise HistoryCorruptedError(msg)
            histories[run_id] = history
        return histories

    def run(self, run_id: str) -> RunRow | None:
        """Tell one run in short, or None if there is none."""
        found = self._runs("run_id = $1", [run_id])
        return found[0] if found else None

    def latest_runs(self, workflow_ids: Sequence[str]) -> dict[str, RunRow]:
        """Tell the newest run of each workflow id that has one."""
        newest = (
            "run_id IN (SELECT arg_max(run_id, (event_time, run_id)) FROM event_log.events "
            f"WHERE event_id = 1 AND workflow_id {_among(workflow_ids)} GROUP BY workflow_id)"
        )
        return {row.workflow_id: row for row in self._runs(newest, [list(workflow_ids)])}

    def _runs(self, which: str, parameters: list[Any]) -> list[RunRow]:
        return self._all(
            RunRow,
            f"SELECT run_id, workflow_id, workflow_type, status, epoch_us(start_time), epoch_us(close_time), "
            f"history_length, coalesce(definition_hash, '') FROM nbflow.executions WHERE {which}",
            parameters,
        )

    def open_runs_with_pending_activities(self) -> list[str]:
        """Name the open runs that wait for an activity, in order of their ids."""
        rows = self._cursor.execute(
            "SELECT DISTINCT run_id FROM nbflow.activities WHERE status IN ('Started', 'Scheduled') ORDER BY run_id"
        ).fetchall()
        return [run_id for (run_id,) in rows]

    def pending_attempts(self, run_ids: Sequence[str]) -> dict[tuple[str, int], PendingAttempt]:
        """Tell of each open activity of these runs what is known of its attempts, by (run_id, scheduled_event_id)."""
        rows = self._cursor.execute(_PENDING_ATTEMPTS, [list(run_ids)]).fetchall()
        return {(row[0], row[1]): _pending_attempt(row) for row in rows}

    def due(self, until: int) -> list[tuple[str, int]]:
        """List the open runs that have a deadline at or before ``until``, with the earliest one, earliest first."""
        return self._cursor.execute(
            f"SELECT run_id, min(due) AS due FROM ({_DEADLINES}) WHERE due <= $1 GROUP BY run_id ORDER BY due, run_id",
            [until],
        ).fetchall()

    def next_deadline(self, after: int) -> int | None:
        """Tell the earliest deadline of an open run later than ``after``, or None."""
        (found,) = self._cursor.execute(f"SELECT min(due) FROM ({_DEADLINES}) WHERE due > $1", [after]).fetchall()[0]
        return None if found is None else int(found)

    def definition(self, hash: str) -> DefinitionRow | None:  # noqa: A002  the column's name
        """Fetch a definition by its hash."""
        return self._first(DefinitionRow, f"{_DEFINITIONS} WHERE hash = $1 ORDER BY time DESC, rowid DESC LIMIT 1", [hash])

    def latest_definition(self, kind: str, name: str) -> DefinitionRow | None:
        """Fetch the definition of a name that was registered last."""
        return self._first(
            DefinitionRow,
            f"{_DEFINITIONS} WHERE kind = $1 AND name = $2 ORDER BY time DESC, rowid DESC LIMIT 1",
            [kind, name],
        )

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
        row = self._cursor.execute(
            "SELECT encoding, data FROM event_log.payloads WHERE sha256 = $1 LIMIT 1", [sha256]
        ).fetchone()
        if row is None:
            msg = (
                f"value {sha256} is missing from the store although an event refers to it; "
                f"restore the store's file from a backup"
            )
            raise StoreCorruptedError(msg)
        return row[0], bytes(row[1])

    def counts(self) -> Counts:
        """Count what there is."""
        return self._all(Counts, _COUNTS, [])[0]

    def _all(self, make: Callable[..., Any], query: str, parameters: list[Any]) -> list[Any]:
        return [make(*row) for row in self._cursor.execute(query, parameters).fetchall()]

    def _first(self, make: Callable[..., Any], query: str, parameters: list[Any]) -> Any:
        row = self._cursor.execute(query, parameters).fetchone()
        return None if row is None else make(*row)


def _among(values: Sequence[str]) -> str:
    """Compare with one value where there is only one: DuckDB then skips row groups by their bounds."""
    return "= ($1)[1]" if len(values) == 1 else "IN (SELECT unnest($1))"


_DEFINITIONS = "SELECT hash, kind, name, source, manifest, time FROM event_log.definitions"

_DEADLINES = f"""
    SELECT run_id, due FROM (
        SELECT run_id, due_time AS due
        FROM event_log.events AS started
        WHERE event_type = 'TimerStarted' AND NOT EXISTS (
            FROM event_log.events AS ended
            WHERE ended.run_id = started.run_id AND ended.initiated_event_id = started.event_id
            AND ended.event_type IN ('TimerFired', 'TimerCanceled')
        )
        UNION ALL
        SELECT run_id, due_time FROM event_log.events WHERE event_id = 1 AND due_time IS NOT NULL
        UNION ALL
        SELECT run_id, event_time + ((attributes ->> 'first_workflow_task_backoff')::DOUBLE * 1e6)::BIGINT
        FROM event_log.events WHERE event_id = 1 AND contains(attributes, '"first_workflow_task_backoff":')
    ) AS deadlines
    WHERE NOT EXISTS (
        FROM event_log.events AS closing
        WHERE closing.run_id = deadlines.run_id
        AND closing.event_type IN ({_CLOSING}, 'WorkflowExecutionContinuedAsNew')
    )
"""

_PENDING_ATTEMPTS = """
WITH chosen AS (SELECT unnest($1) AS run_id),
open AS (
    SELECT run_id, event_id, name, deferred
    FROM event_log.events AS scheduled
    WHERE event_type = 'ActivityTaskScheduled' AND run_id IN (FROM chosen) AND NOT EXISTS (
        FROM event_log.events AS outcome
        WHERE outcome.run_id = scheduled.run_id AND outcome.initiated_event_id = scheduled.event_id
        AND outcome.event_type IN
            ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled')
    )
),
tried AS (
    SELECT run_id, scheduled_event_id, max(attempt) AS attempt,
        arg_max_null(failure, attempt) AS failure,
        arg_max_null(next_attempt_time, attempt) AS next_attempt_time,
        arg_max(heartbeat_details, attempt) AS details
    FROM event_log.attempts WHERE run_id IN (FROM chosen)
    GROUP BY run_id, scheduled_event_id
),
dispatched AS (
    SELECT run_id, scheduled_event_id, max(attempt) AS attempt
    FROM (
        SELECT run_id, unnest(range(first_scheduled_event_id, last_scheduled_event_id + 1)) AS scheduled_event_id, attempt
        FROM event_log.dispatches WHERE run_id IN (FROM chosen)
    )
    GROUP BY run_id, scheduled_event_id
),
beats AS (
    SELECT run_id, scheduled_event_id,
        arg_max({'attempt': attempt, 'time': time, 'details': details}, (attempt, time, rowid)) AS last
    FROM event_log.heartbeats WHERE run_id IN (FROM chosen)
    GROUP BY run_id, scheduled_event_id
)
SELECT open.run_id, open.event_id, open.name, coalesce(tried.attempt, 0), tried.failure, tried.next_attempt_time,
    tried.details, coalesce(dispatched.attempt, 0), open.deferred, last.attempt, last.time, last.details
FROM open
LEFT JOIN tried ON tried.run_id = open.run_id AND tried.scheduled_event_id = open.event_id
LEFT JOIN dispatched ON dispatched.run_id = open.run_id AND dispatched.scheduled_event_id = open.event_id
LEFT JOIN beats ON beats.run_id = open.run_id AND beats.scheduled_event_id = open.event_id
ORDER BY open.run_id, open.event_id
"""

_COUNTS = """
SELECT
    (SELECT count(*) FROM nbflow.executions),
    (SELECT count(*) FROM nbflow.executions WHERE status IN ('Running', 'Suspended')),
    (SELECT count(*) FROM nbflow.executions WHERE status = 'Suspended'),
    (SELECT count(*) FROM nbflow.timers WHERE status = 'Pending'),
    (SELECT count(*) FROM nbflow.activities WHERE status IN ('Started', 'Scheduled')),
    (SELECT count(*) FROM event_log.events)
"""


def _payload(text: str | None) -> Payload | None:
    return None if text is None else Payload(text)


def _pending_attempt(row: tuple[Any, ...]) -> PendingAttempt:
    run_id, scheduled_event_id, activity_type, attempt, failure, next_time, details, dispatched, deferred = row[:9]
    beat_attempt, beat_time, beat_details = row[9:]
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
        last_heartbeat=None
        if beat_attempt is None
        else HeartbeatRow(run_id, scheduled_event_id, beat_attempt, beat_time, _payload(beat_details)),
    )
