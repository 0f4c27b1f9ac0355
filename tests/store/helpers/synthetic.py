"""Large logs for tests and measurements, made by SQL: executions of four shapes, interleaved as time goes by."""

from __future__ import annotations

#: Per ten executions: 3 asleep, 2 that slept, 4 that ran an activity, 1 whose activity runs: 3.8 events each.
_SYNTHETIC = """
INSERT INTO store.event_log.events
WITH runs AS (
    SELECT i, i % 10 AS shape, 1700000000000000 + i * 1000 AS t, 'order-' || i AS workflow_id,
        format('{:08x}-{:04x}-7000-8000-{:012x}', ((1700000000000 + i) >> 16)::BIGINT,
               ((1700000000000 + i) & 65535)::BIGINT, i::BIGINT) AS run_id
    FROM range($1) AS r(i)
),
steps AS (
    SELECT *, 1 AS event_id, t AS event_time, 'WorkflowExecutionStarted' AS event_type, 'order' AS name,
        NULL AS initiated, NULL AS due,
        '{"workflow_type":"order","workflow_id":"' || workflow_id || '","input":[' || i || ',"Oslo"],' ||
        '"definition_hash":"0123456789abcdef","random_seed":' || i || ',"scheduling_rule":1,"attempt":1}' AS attributes
    FROM runs
    UNION ALL
    SELECT *, 2, t + 1000, 'TimerStarted', '1', NULL, t + 3600000000,
        '{"timer_id":"1","start_to_fire_timeout":3600.0,"fire_time":' || (t + 3600000000) || '}'
    FROM runs WHERE shape < 5
    UNION ALL
    SELECT *, 3, t + 2000000, 'TimerFired', '1', 2, NULL, '{"timer_id":"1","started_event_id":2}'
    FROM runs WHERE shape IN (3, 4)
    UNION ALL
    SELECT *, 4, t + 2001000, 'WorkflowExecutionCompleted', NULL, NULL, NULL, '{"result":' || i || '}'
    FROM runs WHERE shape IN (3, 4)
    UNION ALL
    SELECT *, 2, t + 1000, 'ActivityTaskScheduled', 'charge', NULL, NULL,
        '{"activity_id":"1","activity_type":"charge","input":[' || i || ',{"city":"Oslo","amount":12.5}]}'
    FROM runs WHERE shape >= 5
    UNION ALL
    SELECT *, 3, t + 3000000, 'ActivityTaskStarted', NULL, 2, NULL,
        '{"scheduled_event_id":2,"attempt":1,"started_time":' || (t + 2000) || '}'
    FROM runs WHERE shape >= 6
    UNION ALL
    SELECT *, 4, t + 3000000, 'ActivityTaskCompleted', NULL, 2, NULL,
        '{"scheduled_event_id":2,"started_event_id":3,"result":{"paid":true,"receipt":"r-' || i || '"}}'
    FROM runs WHERE shape >= 6
    UNION ALL
    SELECT *, 5, t + 3000000, 'WorkflowExecutionCompleted', NULL, NULL, NULL, '{"result":{"receipt":"r-' || i || '"}}'
    FROM runs WHERE shape >= 6
)
SELECT run_id, workflow_id, event_id, event_time, event_type, name, initiated, due, false, attributes
FROM steps ORDER BY event_time, i, event_id
"""


def fill(store, executions):
    """Write so many executions into an open store, about 3.8 events each."""
    store.cursor().execute(_SYNTHETIC, [executions])


def run_id(i):
    """Return the run id of the i-th execution."""
    millis = 1700000000000 + i
    return f"{millis >> 16:08x}-{millis & 65535:04x}-7000-8000-{i:012x}"
