"""The SQL by which the engine finds what executions still owe each other. `Reader` runs it; here is only text."""

from __future__ import annotations

from nbflow.core.events import CLOSING_EVENTS
from nbflow.store.reader_sql import AMONG

__all__ = ["CLOSED_CHILDREN", "CLOSINGS", "FORSAKEN_CHILDREN", "HAS_RELATIONS", "UNDELIVERED", "UNSETTLED_PARENTS"]

CLOSING = str(tuple(sorted(cls.__name__ for cls in CLOSING_EVENTS)))
_INITIATED = (
    "('StartChildWorkflowExecutionInitiated', 'SignalExternalWorkflowExecutionInitiated', "
    "'RequestCancelExternalWorkflowExecutionInitiated')"
)
_OUTCOMES = (
    "('StartChildWorkflowExecutionFailed', 'ChildWorkflowExecutionCompleted', 'ChildWorkflowExecutionFailed', "
    "'ChildWorkflowExecutionCanceled', 'ChildWorkflowExecutionTimedOut', 'ChildWorkflowExecutionTerminated', "
    "'ExternalWorkflowExecutionSignaled', 'SignalExternalWorkflowExecutionFailed', "
    "'ExternalWorkflowExecutionCancelRequested', 'RequestCancelExternalWorkflowExecutionFailed')"
)

HAS_RELATIONS = f"SELECT EXISTS (FROM event_log.events WHERE event_type IN {_INITIATED})"

CLOSINGS = f"""
SELECT run_id, event_type, event_id, event_time, attributes
FROM event_log.events WHERE {AMONG} AND event_type IN {CLOSING}
"""

# $1: the children's workflow ids, $2: the parents' run ids. Of a child's runs the one written last counts.
CLOSED_CHILDREN = f"""
WITH runs AS (
    SELECT attributes ->> 'parent_run_id' AS parent_run_id,
        (attributes ->> 'parent_initiated_event_id')::INTEGER AS initiated_event_id,
        arg_max(run_id, rowid) AS run_id
    FROM event_log.events
    WHERE event_id = 1 AND workflow_id IN (SELECT unnest($1))
    AND (attributes ->> 'parent_run_id') IN (SELECT unnest($2))
    GROUP BY ALL
)
SELECT runs.parent_run_id, runs.initiated_event_id, closing.run_id, closing.event_type, closing.event_id,
    closing.event_time, closing.attributes
FROM runs JOIN event_log.events AS closing ON closing.run_id = runs.run_id AND closing.event_type IN {CLOSING}
ORDER BY closing.event_time, closing.run_id
"""

_INITIATIONS = f"""
initiated AS (
    SELECT run_id, workflow_id, event_id, event_time, event_type, attributes
    FROM event_log.events AS asked
    WHERE event_type IN {_INITIATED} AND NOT EXISTS (
        FROM event_log.events AS outcome
        WHERE outcome.run_id = asked.run_id AND outcome.initiated_event_id = asked.event_id
        AND outcome.event_type IN {_OUTCOMES}
    )
),
closed AS (
    SELECT run_id, event_time FROM event_log.events WHERE event_type IN {CLOSING}
),
children AS (
    SELECT run_id, workflow_id, event_time,
        attributes ->> 'parent_run_id' AS parent_run_id,
        (attributes ->> 'parent_initiated_event_id')::INTEGER AS initiated_event_id
    FROM event_log.events AS started
    WHERE event_id = 1 AND attributes LIKE '%"parent_run_id"%'
    AND NOT EXISTS (FROM closed WHERE closed.run_id = started.run_id)
)
"""

# Open executions that wait for what may have happened already, or has not been begun.
UNSETTLED_PARENTS = f"""
WITH {_INITIATIONS}
SELECT DISTINCT run_id FROM initiated
WHERE NOT EXISTS (FROM closed WHERE closed.run_id = initiated.run_id)
AND NOT EXISTS (
    FROM children
    WHERE children.parent_run_id = initiated.run_id AND children.initiated_event_id = initiated.event_id
)
ORDER BY run_id
"""

# What closed executions asked for in their last moments, if nothing tells that it was seen to.
UNDELIVERED = f"""
WITH {_INITIATIONS}
SELECT initiated.run_id, initiated.event_type, initiated.event_id, initiated.event_time, initiated.attributes
FROM initiated
WHERE EXISTS (FROM closed WHERE closed.run_id = initiated.run_id)
AND (
    initiated.event_type <> 'StartChildWorkflowExecutionInitiated'
    OR (initiated.attributes ->> 'parent_close_policy') = 'ABANDON'
)
AND NOT EXISTS (
    FROM event_log.events AS child
    WHERE child.run_id = initiated.run_id AND child.initiated_event_id = initiated.event_id
    AND child.event_type = 'ChildWorkflowExecutionStarted'
)
AND NOT EXISTS (
    FROM event_log.notes AS note
    WHERE note.run_id = initiated.run_id AND note.kind = 'RequestSettled'
    AND (note.body ->> 'initiated_event_id')::INTEGER = initiated.event_id
)
ORDER BY initiated.event_time, initiated.run_id, initiated.event_id
"""

# Open children of closed parents, whose policy has not been applied: who was asked to cancel is done with.
FORSAKEN_CHILDREN = f"""
WITH {_INITIATIONS}
SELECT children.run_id, children.workflow_id, initiated.attributes ->> 'parent_close_policy',
    initiated.run_id, initiated.workflow_id
FROM children
JOIN initiated
    ON initiated.run_id = children.parent_run_id AND initiated.event_id = children.initiated_event_id
JOIN closed ON closed.run_id = children.parent_run_id
WHERE (initiated.attributes ->> 'parent_close_policy') <> 'ABANDON' AND children.event_time <= closed.event_time
AND NOT EXISTS (
    FROM event_log.events AS asked
    WHERE asked.run_id = children.run_id AND asked.event_type = 'WorkflowExecutionCancelRequested'
)
ORDER BY children.run_id
"""
