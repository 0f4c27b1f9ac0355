"""The engine's reads of the log: histories, open runs, deadlines, definitions, blobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import duckdb

from nbflow.core.events import CLOSING_EVENTS, HistoryEvent
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.exceptions import HistoryCorruptedError, StoreCorruptedError
from nbflow.store.event_rows import event_of
from nbflow.store.rows import Counts, DefinitionRow, HeartbeatRow, PendingAttempt, RunRow

__all__ = ["Reader"]

# a ContinuedAsNew closes a run as well, also one that another backend recorded
_CLOSING = str(tuple(sorted({*(cls.__name__ for cls in CLOSING_EVENTS), "WorkflowExecutionContinuedAsNew"})))
_OUTCOMES = "('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled')"


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
        if not run_ids:
            return {}
        rows = self._cursor.execute(
            f"SELECT run_id, event_type, event_id, event_time, attributes FROM event_log.events "
            f"WHERE {_AMONG} ORDER BY run_id, event_id",
            _among(run_ids),
        ).fetchall()
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
                raise HistoryCorruptedError(msg)
        return histories

    def run(self, run_id: str) -> RunRow | None:
        """Tell one run in short, or None if there is none."""
        return self._runs([run_id]).get(run_id)

    def latest_runs(self, workflow_ids: Sequence[str]) -> dict[str, RunRow]:
        """Tell the newest run of each workflow id that has one."""
        if not workflow_ids:
            return {}
        newest = self._cursor.execute(
            "SELECT arg_max(run_id, (event_time, run_id)) FROM event_log.events "
            "WHERE event_id = 1 AND workflow_id IN (SELECT unnest($1)) GROUP BY workflow_id",
            [list(workflow_ids)],
        ).fetchall()
        return {row.workflow_id: row for row in self._runs([run_id for (run_id,) in newest]).values()}

    def _runs(self, run_ids: Sequence[str]) -> dict[str, RunRow]:
        if not run_ids:
            return {}
        rows = self._cursor.execute(_RUNS, _among(run_ids)).fetchall()
        return {row[0]: RunRow(*row) for row in rows}

    def open_runs_with_pending_activities(self) -> list[str]:
        """Name the open runs that wait for an activity, in order of their ids."""
        rows = self._cursor.execute(f"SELECT DISTINCT run_id FROM ({_OPEN_ACTIVITIES}) ORDER BY run_id").fetchall()
        return [run_id for (run_id,) in rows]

    def pending_attempts(self, run_ids: Sequence[str]) -> dict[tuple[str, int], PendingAttempt]:
        """Tell of each open activity of these runs what is known of its attempts, by (run_id, scheduled_event_id)."""
        if not run_ids:
            return {}
        rows = self._cursor.execute(_PENDING_ATTEMPTS, _among(run_ids)).fetchall()
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


_AMONG = "run_id BETWEEN $2 AND $3 AND run_id IN (SELECT unnest($1))"


def _among(run_ids: Sequence[str]) -> list[Any]:
    """Return the parameters of ``_AMONG``. With the bounds, DuckDB skips what was written at other times."""
    return [list(run_ids), min(run_ids), max(run_ids)]


_RUNS = f"""
WITH runs AS (
    SELECT run_id, any_value(workflow_id) AS workflow_id, max(event_id) AS history_length,
        any_value(name) FILTER (event_id = 1) AS workflow_type,
        any_value(event_time) FILTER (event_id = 1) AS start_time,
        any_value(attributes ->> 'definition_hash') FILTER (event_id = 1) AS definition_hash,
        any_value(event_type) FILTER (event_type IN {_CLOSING}) AS closing_type,
        any_value(event_time) FILTER (event_type IN {_CLOSING}) AS close_time
    FROM event_log.events WHERE {_AMONG}
    GROUP BY run_id
),
suspended AS (
    SELECT run_id FROM event_log.notes WHERE kind IN ('Suspended', 'Resumed')
    GROUP BY run_id HAVING arg_max(kind, rowid) = 'Suspended'
)
SELECT run_id, workflow_id, coalesce(workflow_type, ''),
    CASE WHEN closing_type IS NOT NULL THEN closing_type[18:]
        WHEN run_id IN (FROM suspended) THEN 'Suspended' ELSE 'Running' END,
    coalesce(start_time, 0), close_time, history_length, coalesce(definition_hash, '')
FROM runs
"""

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
        AND closing.event_type IN {_CLOSING}
    )
"""

_PENDING_ATTEMPTS = f"""
WITH open AS (
    SELECT run_id, event_id, name, deferred
    FROM event_log.events AS scheduled
    WHERE event_type = 'ActivityTaskScheduled' AND {_AMONG} AND NOT EXISTS (
        FROM event_log.events AS outcome
        WHERE outcome.run_id = scheduled.run_id AND outcome.initiated_event_id = scheduled.event_id
        AND outcome.event_type IN {_OUTCOMES}
    )
),
tried AS (
    SELECT run_id, scheduled_event_id, max(attempt) AS attempt,
        arg_max_null(failure, attempt) AS failure,
        arg_max_null(next_attempt_time, attempt) AS next_attempt_time,
        arg_max(heartbeat_details, attempt) AS details
    FROM event_log.attempts WHERE {_AMONG}
    GROUP BY run_id, scheduled_event_id
),
dispatched AS (
    SELECT run_id, scheduled_event_id, max(attempt) AS attempt
    FROM (
        SELECT run_id, unnest(range(first_scheduled_event_id, last_scheduled_event_id + 1)) AS scheduled_event_id, attempt
        FROM event_log.dispatches WHERE {_AMONG}
    )
    GROUP BY run_id, scheduled_event_id
),
beats AS (
    SELECT run_id, scheduled_event_id,
        arg_max({{'attempt': attempt, 'time': time, 'details': details}}, (attempt, time, rowid)) AS last
    FROM event_log.heartbeats WHERE {_AMONG}
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

_OPEN_ACTIVITIES = f"""
    SELECT run_id
    FROM event_log.events AS scheduled
    WHERE event_type = 'ActivityTaskScheduled' AND NOT EXISTS (
        FROM event_log.events AS outcome
        WHERE outcome.run_id = scheduled.run_id AND outcome.initiated_event_id = scheduled.event_id
        AND outcome.event_type IN {_OUTCOMES}
    ) AND NOT EXISTS (
        FROM event_log.events AS closing
        WHERE closing.run_id = scheduled.run_id AND closing.event_type IN {_CLOSING}
    )
"""

_COUNTS = f"""
SELECT
    (SELECT count(*) FROM event_log.events WHERE event_id = 1),
    (SELECT count(*) FILTER (event_id = 1) - count(*) FILTER (event_type IN {_CLOSING}) FROM event_log.events),
    (SELECT count(*) FROM nbflow.executions WHERE status = 'Suspended'),
    (SELECT count(*) FROM nbflow.timers WHERE status = 'Pending'),
    (SELECT count(*) FROM ({_OPEN_ACTIVITIES})),
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
