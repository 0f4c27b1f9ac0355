"""The SQL of the engine's reads. `Reader` runs it; here is only text."""

from __future__ import annotations

from nbflow.core.events import CLOSING_EVENTS

__all__ = [
    "AMONG",
    "BLOB",
    "CLOSING_EVENTS_OF",
    "COUNTS",
    "DEFINITIONS",
    "DUE",
    "HISTORIES",
    "IS_IMPORTED",
    "NEWEST_RUNS",
    "NEXT_DEADLINE",
    "OPEN_RUNS",
    "OPEN_VERSIONS",
    "PENDING_ATTEMPTS",
    "PINS",
    "RUNS",
    "RUNS_WITH_OPEN_ACTIVITIES",
    "SCHEDULES",
    "SUSPENDED_RUNS",
]

# a ContinuedAsNew closes a run as well, also one that another backend recorded
_CLOSING = str(tuple(sorted({*(cls.__name__ for cls in CLOSING_EVENTS), "WorkflowExecutionContinuedAsNew"})))
_OUTCOMES = "('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled')"

# mere records of what ran elsewhere: no engine runs them, whether they have closed or not
_IMPORTED = "(SELECT run_id FROM event_log.notes WHERE kind = 'Imported')"

IS_IMPORTED = f"SELECT $1 IN {_IMPORTED}"

# $1: run ids, $2 and $3: the smallest and the largest. With the bounds, DuckDB skips what was written at other times.
AMONG = "run_id BETWEEN $2 AND $3 AND run_id IN (SELECT unnest($1))"

HISTORIES = f"""
SELECT run_id, event_type, event_id, event_time, attributes
FROM event_log.events WHERE {AMONG}
ORDER BY run_id, event_id
"""

# The one written last (by their times an older run may look newer, if the wall clock was set back in between);
# a record from elsewhere only where there is no run of this store's own.
NEWEST_RUNS = f"""
SELECT arg_max(run_id, (is_own, written))
FROM (
    SELECT workflow_id, run_id, rowid AS written, run_id NOT IN {_IMPORTED} AS is_own
    FROM event_log.events
    WHERE event_id = 1 AND workflow_id IN (SELECT unnest($1))
)
GROUP BY workflow_id
"""

CLOSING_EVENTS_OF = f"""
SELECT run_id, event_type, event_id, event_time, attributes
FROM event_log.events WHERE {AMONG} AND event_type IN {_CLOSING}
"""

# the last row tells the state, the last change what the schedule is
SCHEDULES = """
WITH schedules AS (
    SELECT schedule_id, arg_max(kind, rowid) AS last_kind, arg_max(state, rowid) AS state,
        arg_max(body, rowid) FILTER (kind IN ('Created', 'Updated')) AS body, min(rowid) AS first
    FROM event_log.schedules GROUP BY schedule_id
)
SELECT schedule_id, state, body FROM schedules WHERE last_kind <> 'Deleted' ORDER BY first
"""

BLOB = "SELECT encoding, data FROM event_log.payloads WHERE sha256 = $1 LIMIT 1"

# the version of its code that a run was last moved to, for runs that ever were
_PINNED = """
    SELECT run_id, arg_max(body ->> 'definition_hash', rowid) AS definition_hash
    FROM event_log.notes WHERE kind = 'Pinned'
"""

PINS = f"{_PINNED} AND {AMONG} GROUP BY run_id"

# A pause that has a failure is a suspension.
_PAUSED = """
    SELECT run_id,
        CASE WHEN arg_max_null(attributes ->> '$.failure', event_id) IS NULL THEN 'Paused' ELSE 'Suspended' END
        AS status
    FROM event_log.events WHERE event_type IN ('WorkflowExecutionPaused', 'WorkflowExecutionUnpaused')
"""
_STILL = "GROUP BY run_id HAVING arg_max(event_type, event_id) = 'WorkflowExecutionPaused'"

SUSPENDED_RUNS = f"SELECT run_id FROM ({_PAUSED} {_STILL}) WHERE status = 'Suspended'"

RUNS = f"""
WITH runs AS (
    SELECT run_id, any_value(workflow_id) AS workflow_id, max(event_id) AS history_length,
        any_value(name) FILTER (event_id = 1) AS workflow_type,
        any_value(event_time) FILTER (event_id = 1) AS start_time,
        any_value(attributes ->> 'definition_hash') FILTER (event_id = 1) AS definition_hash,
        any_value(event_type) FILTER (event_type IN {_CLOSING}) AS closing_type,
        any_value(event_time) FILTER (event_type IN {_CLOSING}) AS close_time
    FROM event_log.events WHERE {AMONG}
    GROUP BY run_id
),
paused AS ({_PAUSED} AND {AMONG} {_STILL})
SELECT run_id, workflow_id, coalesce(workflow_type, ''),
    CASE WHEN closing_type IS NOT NULL THEN closing_type[18:]
        WHEN run_id IN {_IMPORTED} THEN 'Imported'
        ELSE coalesce(paused.status, 'Running') END,
    coalesce(start_time, 0), close_time, history_length,
    coalesce(pinned.definition_hash, runs.definition_hash, '')
FROM runs
LEFT JOIN ({_PINNED} AND {AMONG} GROUP BY run_id) AS pinned USING (run_id)
LEFT JOIN paused USING (run_id)
"""

OPEN_RUNS = f"""
WITH paused AS ({_PAUSED} {_STILL})
SELECT run_id, workflow_id, name, coalesce(paused.status, 'Running'), event_time, NULL, 0,
    coalesce(pinned.definition_hash, attributes ->> 'definition_hash', '')
FROM event_log.events AS started
LEFT JOIN ({_PINNED} GROUP BY run_id) AS pinned USING (run_id)
LEFT JOIN paused USING (run_id)
WHERE event_id = 1 AND NOT EXISTS (
    FROM event_log.events AS closing
    WHERE closing.run_id = started.run_id AND closing.event_type IN {_CLOSING}
) AND run_id NOT IN {_IMPORTED}
ORDER BY event_time DESC LIMIT $1
"""

OPEN_VERSIONS = f"""
SELECT run_id, workflow_id, name, coalesce(pinned.definition_hash, attributes ->> 'definition_hash', '')
FROM event_log.events AS started LEFT JOIN ({_PINNED} GROUP BY run_id) AS pinned USING (run_id)
WHERE event_id = 1 AND name IN (SELECT unnest($1)) AND NOT EXISTS (
    FROM event_log.events AS closing
    WHERE closing.run_id = started.run_id AND closing.event_type IN {_CLOSING}
) AND run_id NOT IN {_IMPORTED}
ORDER BY run_id
"""

DEFINITIONS = "SELECT hash, kind, name, source, manifest, time FROM event_log.definitions"

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
        SELECT run_id, due_time FROM event_log.events AS started
        WHERE event_id = 1 AND due_time IS NOT NULL
        -- a start delay is over once anything has followed
        AND NOT (deferred AND EXISTS (
            FROM event_log.events AS next
            WHERE next.run_id = started.run_id
            -- a signal that came with the start waits with it
            AND (next.event_id = 3 OR next.event_id = 2
                AND NOT (next.deferred AND next.event_type = 'WorkflowExecutionSignaled'))
        ))
        UNION ALL
        -- with a start delay, due_time is its end; the run timeout begins there
        SELECT run_id, least(
            (attributes ->> 'workflow_execution_expiration_time')::BIGINT,
            event_time + (1000000 * (
                (attributes ->> 'workflow_run_timeout')::DOUBLE
                + coalesce((attributes ->> 'first_workflow_task_backoff')::DOUBLE, 0)
            ))::BIGINT
        )
        FROM event_log.events WHERE event_id = 1 AND deferred
    ) AS deadlines
    WHERE NOT EXISTS (
        FROM event_log.events AS closing
        WHERE closing.run_id = deadlines.run_id
        AND closing.event_type IN {_CLOSING}
    ) AND run_id NOT IN {_IMPORTED}
"""

DUE = f"""
SELECT run_id, min(due) AS due FROM ({_DEADLINES}) WHERE due <= $1 GROUP BY run_id ORDER BY due, run_id
"""

NEXT_DEADLINE = f"SELECT min(due) FROM ({_DEADLINES}) WHERE due > $1"

PENDING_ATTEMPTS = f"""
WITH open AS (
    SELECT run_id, event_id, name, deferred
    FROM event_log.events AS scheduled
    WHERE event_type = 'ActivityTaskScheduled' AND {AMONG} AND NOT EXISTS (
        FROM event_log.events AS outcome
        WHERE outcome.run_id = scheduled.run_id AND outcome.initiated_event_id = scheduled.event_id
        AND outcome.event_type IN {_OUTCOMES}
    )
),
tried AS (
    SELECT run_id, scheduled_event_id, max(attempt) AS attempt,
        arg_max_null(failure, attempt) AS failure,
        arg_max_null(next_attempt_time, attempt) AS next_attempt_time,
        max(ended_time) AS ended_time,
        arg_max(heartbeat_details, attempt) AS details
    FROM event_log.attempts WHERE {AMONG}
    GROUP BY run_id, scheduled_event_id
),
dispatched AS (
    SELECT run_id, scheduled_event_id, max(attempt) AS attempt
    FROM (
        SELECT run_id, attempt,
            unnest(range(first_scheduled_event_id, last_scheduled_event_id + 1)) AS scheduled_event_id
        FROM event_log.dispatches WHERE {AMONG}
    )
    GROUP BY run_id, scheduled_event_id
),
operated AS (
    SELECT run_id, (body ->> 'scheduled_event_id')::INTEGER AS scheduled_event_id,
        arg_max(kind, rowid) FILTER (kind <> 'ActivityRetried') = 'ActivityPaused' AS paused,
        max(time) FILTER (kind = 'ActivityRetried') AS retried_time
    FROM event_log.notes WHERE kind IN ('ActivityPaused', 'ActivityUnpaused', 'ActivityRetried') AND {AMONG}
    GROUP BY ALL
),
left_open AS (
    SELECT run_id, (body ->> 'scheduled_event_id')::INTEGER AS scheduled_event_id,
        arg_max((body ->> 'attempt')::INTEGER, rowid) AS attempt,
        arg_max((body ->> 'started_time')::BIGINT, rowid) AS started_time
    FROM event_log.notes WHERE kind = 'CompleteLater' AND {AMONG}
    GROUP BY ALL
),
beats AS (
    SELECT run_id, scheduled_event_id,
        arg_max({{'attempt': attempt, 'time': time, 'details': details}}, (attempt, time, rowid)) AS last
    FROM event_log.heartbeats WHERE {AMONG}
    GROUP BY run_id, scheduled_event_id
)
SELECT open.run_id, open.event_id, open.name, coalesce(tried.attempt, 0), tried.failure,
    CASE WHEN operated.retried_time >= tried.ended_time THEN NULL ELSE tried.next_attempt_time END,
    tried.details, coalesce(dispatched.attempt, 0), open.deferred, last.attempt, last.time, last.details,
    coalesce(operated.paused, false), left_open.attempt, left_open.started_time
FROM open
LEFT JOIN left_open ON left_open.run_id = open.run_id AND left_open.scheduled_event_id = open.event_id
LEFT JOIN operated ON operated.run_id = open.run_id AND operated.scheduled_event_id = open.event_id
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
    ) AND run_id NOT IN {_IMPORTED}
"""

# A transaction's outcome is durable before the code reacts to it: the process may have ended in between.
_UNHEARD_OUTCOMES = """
    SELECT run_id
    FROM event_log.events AS outcome
    WHERE event_type = 'ActivityTaskCompleted' AND deferred AND NOT EXISTS (
        FROM event_log.events AS later WHERE later.run_id = outcome.run_id AND later.event_id > outcome.event_id
    )
"""

RUNS_WITH_OPEN_ACTIVITIES = f"""
SELECT run_id FROM ({_OPEN_ACTIVITIES}) UNION SELECT run_id FROM ({_UNHEARD_OUTCOMES}) ORDER BY run_id
"""

COUNTS = f"""
SELECT
    (SELECT count(*) FROM event_log.events WHERE event_id = 1),
    (SELECT count(*) FILTER (event_id = 1) - count(*) FILTER (event_type IN {_CLOSING}) FROM event_log.events),
    (SELECT count(*) FROM nbflow.executions WHERE status = 'Suspended'),
    (SELECT count(*) FROM nbflow.timers WHERE status = 'Pending'),
    (SELECT count(*) FROM ({_OPEN_ACTIVITIES})),
    (SELECT count(*) FROM event_log.events)
"""
