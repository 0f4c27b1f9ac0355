-- Everything that is not a fact is worked out here, each time it is asked for. The views are made anew when
-- this file changes, so they may be rewritten freely: what people rely on are names, columns and meanings.
--
-- A name without a schema is another view of `nbflow`; facts come from `event_log`.
-- Times are TIMESTAMPTZ, durations DOUBLE seconds, values JSON.

-- The failure at the end of a failure's chain of causes. One exception is recorded with at most eight causes;
-- the failures of an activity and of a few levels of children may stand above it.
CREATE OR REPLACE MACRO nbflow.root_cause(failure) AS coalesce(
    failure -> '$.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause',
    failure -> '$.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause',
    failure -> '$.cause.cause.cause.cause.cause.cause.cause.cause.cause.cause',
    failure -> '$.cause.cause.cause.cause.cause.cause.cause.cause.cause',
    failure -> '$.cause.cause.cause.cause.cause.cause.cause.cause',
    failure -> '$.cause.cause.cause.cause.cause.cause.cause',
    failure -> '$.cause.cause.cause.cause.cause.cause',
    failure -> '$.cause.cause.cause.cause.cause',
    failure -> '$.cause.cause.cause.cause',
    failure -> '$.cause.cause.cause',
    failure -> '$.cause.cause',
    failure -> '$.cause',
    failure
);

CREATE OR REPLACE MACRO nbflow.json_map(object) AS from_json(object, '"MAP(VARCHAR, JSON)"');

-- A JSON object with the values of a map laid over it; null takes a key away.
CREATE OR REPLACE MACRO nbflow.changed_json(object, changes) AS CASE
    WHEN changes IS NULL THEN object
    ELSE to_json(map_from_entries(list_filter(
        map_entries(map_concat(coalesce(json_map(object), MAP {}), changes)),
        lambda word: word.value::VARCHAR <> 'null'
    )))
END;

CREATE OR REPLACE VIEW nbflow.events AS
SELECT
    workflow_id,
    run_id,
    event_id,
    make_timestamptz(event_time) AS event_time,
    event_type,
    name,
    initiated_event_id,
    attributes::JSON AS attributes
FROM event_log.events;

-- One row a run: its first event says what it is; its closing event, after which there is none, how it ended.
CREATE OR REPLACE VIEW nbflow.executions AS
WITH closings AS (
    SELECT run_id, event_id, event_type, event_time, attributes
    FROM event_log.events
    WHERE event_type IN (
        'WorkflowExecutionCompleted', 'WorkflowExecutionFailed', 'WorkflowExecutionTimedOut',
        'WorkflowExecutionCanceled', 'WorkflowExecutionTerminated', 'WorkflowExecutionContinuedAsNew'
    )
),
-- grouped by what they are joined on, so that DuckDB can leave out the join where an aggregate has no use for it
lengths AS (
    SELECT run_id, max(event_id) AS history_length FROM event_log.events GROUP BY run_id
),
-- a pause that has a failure is a suspension: the code raised, and waits to be mended
paused AS (
    SELECT
        run_id,
        arg_max(event_type, event_id) = 'WorkflowExecutionPaused' AS is_paused,
        arg_max_null(attributes -> 'failure', event_id) AS failure
    FROM event_log.events
    WHERE event_type IN ('WorkflowExecutionPaused', 'WorkflowExecutionUnpaused')
    GROUP BY run_id
),
-- the version of its code that a run was last moved to
pinned AS (
    SELECT run_id, arg_max(body ->> 'definition_hash', rowid) AS definition_hash
    FROM event_log.notes
    WHERE kind = 'Pinned'
    GROUP BY run_id
),
-- records of what ran elsewhere
imported AS (
    SELECT run_id, any_value(body::JSON ->> 'backend') AS backend
    FROM event_log.notes
    WHERE kind = 'Imported'
    GROUP BY run_id
),
-- where executions changed what they say of themselves: the last word on each key, null to take it away
changed AS (
    SELECT
        run_id,
        map_from_entries(list(ROW(key, value) ORDER BY key) FILTER (WHERE event_type = 'UpsertWorkflowSearchAttributes'))
            AS search_attributes,
        map_from_entries(list(ROW(key, value) ORDER BY key) FILTER (WHERE event_type = 'WorkflowPropertiesModified'))
            AS memo
    FROM (
        SELECT run_id, event_type, word.key AS key, arg_max(word.value, event_id) AS value
        FROM (
            SELECT run_id, event_id, event_type, unnest(map_entries(json_map(
                coalesce(attributes -> 'search_attributes', attributes -> 'upserted_memo')
            ))) AS word
            FROM event_log.events
            WHERE event_type IN ('UpsertWorkflowSearchAttributes', 'WorkflowPropertiesModified')
        )
        GROUP BY run_id, event_type, word.key
    )
    GROUP BY run_id
),
runs AS (
    SELECT
        started.workflow_id,
        started.run_id,
        started.name,
        started.event_time,
        -- one reading of the JSON for all of them
        from_json(started.attributes, '{
            "input": "JSON", "memo": "JSON", "search_attributes": "JSON", "definition_hash": "VARCHAR",
            "run_key": "VARCHAR", "parent_workflow_id": "VARCHAR", "parent_run_id": "VARCHAR",
            "attempt": "INTEGER", "first_execution_run_id": "VARCHAR", "continued_execution_run_id": "VARCHAR",
            "reset_run_id": "VARCHAR", "reset_event_id": "INTEGER", "summary": "VARCHAR"
        }') AS start,
        closings.event_type AS closing_type,
        closings.event_time AS close_time,
        closings.attributes AS closed,
        lengths.history_length,
        paused.is_paused,
        paused.failure AS pause_failure,
        imported.backend,
        pinned.definition_hash AS pinned_hash,
        changed.memo AS changed_memo,
        changed.search_attributes AS changed_search_attributes
    FROM event_log.events AS started
    LEFT JOIN closings ON closings.run_id = started.run_id
    LEFT JOIN lengths ON lengths.run_id = started.run_id
    LEFT JOIN paused ON paused.run_id = started.run_id
    LEFT JOIN imported ON imported.run_id = started.run_id
    LEFT JOIN pinned ON pinned.run_id = started.run_id
    LEFT JOIN changed ON changed.run_id = started.run_id
    WHERE started.event_id = 1
)
SELECT
    workflow_id,
    run_id,
    name AS workflow_type,
    CASE
        WHEN closing_type IS NOT NULL THEN closing_type[18:]
        WHEN pause_failure IS NOT NULL THEN 'Suspended'
        WHEN is_paused THEN 'Paused'
        ELSE 'Running'
    END AS status,
    make_timestamptz(event_time) AS start_time,
    make_timestamptz(close_time) AS close_time,
    (close_time - event_time) / 1e6 AS duration,
    start.parent_workflow_id AS parent_workflow_id,
    start.parent_run_id AS parent_run_id,
    history_length,
    start.input AS input,
    CASE WHEN closing_type = 'WorkflowExecutionCompleted' THEN closed -> 'result' END AS result,
    CASE
        WHEN closing_type IS NULL THEN pause_failure ->> 'type'
        WHEN closing_type = 'WorkflowExecutionFailed' THEN closed ->> '$.failure.type'
        WHEN closing_type = 'WorkflowExecutionTimedOut' THEN 'TimeoutError'
        WHEN closing_type = 'WorkflowExecutionTerminated' THEN 'TerminatedError'
        WHEN closing_type = 'WorkflowExecutionCanceled' THEN 'CancelledError'
    END AS failure_type,
    CASE
        WHEN closing_type IS NULL THEN pause_failure ->> 'message'
        WHEN closing_type = 'WorkflowExecutionFailed' THEN closed ->> '$.failure.message'
        WHEN closing_type = 'WorkflowExecutionTimedOut' THEN 'workflow execution timed out'
        WHEN closing_type = 'WorkflowExecutionTerminated' THEN closed ->> 'reason'
        WHEN closing_type = 'WorkflowExecutionCanceled' THEN 'workflow execution was cancelled'
    END AS failure_message,
    changed_json(start.memo, changed_memo) AS memo,
    changed_json(start.search_attributes, changed_search_attributes) AS search_attributes,
    coalesce(pinned_hash, start.definition_hash) AS definition_hash,
    start.run_key AS run_key,
    coalesce(backend, 'embedded') AS backend,
    -- the run whose first events it shares, and the last of them
    start.reset_run_id AS reset_run_id,
    start.reset_event_id AS reset_event_id,
    start.summary AS summary,
    -- the runs that follow one another: continue-as-new, and retries of the workflow
    start.attempt AS attempt,
    coalesce(start.first_execution_run_id, run_id) AS first_run_id,
    start.continued_execution_run_id AS previous_run_id,
    CASE WHEN closing_type IN (
        'WorkflowExecutionContinuedAsNew', 'WorkflowExecutionFailed', 'WorkflowExecutionTimedOut'
    ) THEN closed ->> 'new_execution_run_id' END AS next_run_id
FROM runs;

CREATE OR REPLACE VIEW nbflow.timers AS
WITH ended AS (
    SELECT run_id, initiated_event_id, event_type, event_time
    FROM event_log.events
    WHERE event_type IN ('TimerFired', 'TimerCanceled')
),
closed AS (
    SELECT run_id, event_time
    FROM event_log.events
    WHERE event_type IN (
        'WorkflowExecutionCompleted', 'WorkflowExecutionFailed', 'WorkflowExecutionTimedOut',
        'WorkflowExecutionCanceled', 'WorkflowExecutionTerminated', 'WorkflowExecutionContinuedAsNew'
    )
)
SELECT
    started.workflow_id,
    started.run_id,
    started.event_id AS started_event_id,
    started.name AS timer_id,
    started.attributes ->> 'summary' AS summary,
    make_timestamptz(started.event_time) AS started_time,
    make_timestamptz(started.due_time) AS fire_time,
    -- a timer of a closed execution no longer fires
    CASE
        WHEN ended.event_type = 'TimerFired' THEN 'Fired'
        WHEN ended.event_type IS NOT NULL OR closed.run_id IS NOT NULL THEN 'Canceled'
        ELSE 'Pending'
    END AS status,
    make_timestamptz(coalesce(ended.event_time, closed.event_time)) AS close_time
FROM event_log.events AS started
LEFT JOIN ended ON ended.run_id = started.run_id AND ended.initiated_event_id = started.event_id
LEFT JOIN closed ON closed.run_id = started.run_id
WHERE started.event_type = 'TimerStarted';

CREATE OR REPLACE VIEW nbflow.activities AS
WITH outcomes AS (
    SELECT run_id, initiated_event_id, event_type, event_time, attributes
    FROM event_log.events
    WHERE event_type IN ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled')
),
-- written together with the outcome, so a row here means there is one there
starts AS (
    SELECT run_id, initiated_event_id, attributes
    FROM event_log.events
    WHERE event_type = 'ActivityTaskStarted'
),
tried AS (
    SELECT
        run_id,
        scheduled_event_id,
        max(attempt) AS attempt,
        arg_max_null(failure, attempt) AS failure,
        arg_max_null(next_attempt_time, attempt) AS next_attempt_time
    FROM event_log.attempts
    GROUP BY run_id, scheduled_event_id
),
dispatched AS (
    SELECT run_id, scheduled_event_id, max(attempt) AS attempt, arg_max(time, attempt) AS time
    FROM (
        SELECT run_id, unnest(range(first_scheduled_event_id, last_scheduled_event_id + 1)) AS scheduled_event_id, attempt, time
        FROM event_log.dispatches
    )
    GROUP BY run_id, scheduled_event_id
),
-- by an operator
paused AS (
    SELECT run_id, (body ->> 'scheduled_event_id')::INTEGER AS scheduled_event_id
    FROM event_log.notes
    WHERE kind IN ('ActivityPaused', 'ActivityUnpaused')
    GROUP BY ALL
    HAVING arg_max(kind, rowid) = 'ActivityPaused'
),
closed AS (
    SELECT run_id, event_time
    FROM event_log.events
    WHERE event_type IN (
        'WorkflowExecutionCompleted', 'WorkflowExecutionFailed', 'WorkflowExecutionTimedOut',
        'WorkflowExecutionCanceled', 'WorkflowExecutionTerminated', 'WorkflowExecutionContinuedAsNew'
    )
),
joined AS (
    SELECT
        scheduled.workflow_id,
        scheduled.run_id,
        scheduled.event_id,
        scheduled.name,
        scheduled.event_time AS scheduled_time,
        scheduled.attributes AS scheduled,
        from_json(starts.attributes, '{"attempt": "INTEGER", "started_time": "BIGINT"}') AS started,
        outcomes.event_type AS outcome_type,
        outcomes.attributes AS outcome,
        outcomes.event_time AS outcome_time,
        closed.event_time AS closed_time,
        paused.run_id IS NOT NULL AS paused,
        coalesce(tried.attempt, 0) AS tried,
        tried.failure AS last_failure,
        tried.next_attempt_time,
        dispatched.time AS dispatched_time,
        -- the last attempt that was allowed to start
        greatest(coalesce(dispatched.attempt, 0), CASE WHEN scheduled.deferred THEN 0 ELSE 1 END) AS authorised
    FROM event_log.events AS scheduled
    LEFT JOIN outcomes ON outcomes.run_id = scheduled.run_id AND outcomes.initiated_event_id = scheduled.event_id
    LEFT JOIN starts ON starts.run_id = scheduled.run_id AND starts.initiated_event_id = scheduled.event_id
    LEFT JOIN tried ON tried.run_id = scheduled.run_id AND tried.scheduled_event_id = scheduled.event_id
    LEFT JOIN dispatched ON dispatched.run_id = scheduled.run_id AND dispatched.scheduled_event_id = scheduled.event_id
    LEFT JOIN closed ON closed.run_id = scheduled.run_id
    LEFT JOIN paused ON paused.run_id = scheduled.run_id AND paused.scheduled_event_id = scheduled.event_id
    WHERE scheduled.event_type = 'ActivityTaskScheduled'
)
SELECT
    workflow_id,
    run_id,
    event_id AS scheduled_event_id,
    name AS activity_type,
    CASE
        WHEN outcome_type IS NOT NULL THEN outcome_type[13:]
        -- nobody waits for the outcome any more
        WHEN closed_time IS NOT NULL THEN 'Canceled'
        WHEN authorised > tried THEN 'Started'
        ELSE 'Scheduled'
    END AS status,
    -- attempts begun
    CASE
        WHEN started IS NOT NULL THEN started.attempt
        WHEN outcome_type IS NOT NULL THEN tried
        ELSE greatest(authorised, tried)
    END AS attempt,
    make_timestamptz(scheduled_time) AS scheduled_time,
    make_timestamptz(CASE
        WHEN started IS NOT NULL THEN started.started_time
        WHEN outcome_type IS NULL AND authorised > tried THEN coalesce(dispatched_time, scheduled_time)
    END) AS started_time,
    make_timestamptz(coalesce(outcome_time, closed_time)) AS close_time,
    (coalesce(outcome_time, closed_time) - scheduled_time) / 1e6 AS duration,
    scheduled -> 'input' AS input,
    CASE WHEN outcome_type = 'ActivityTaskCompleted' THEN outcome -> 'result' END AS result,
    CASE
        WHEN outcome_type IN ('ActivityTaskFailed', 'ActivityTaskTimedOut') THEN outcome ->> '$.failure.type'
        WHEN outcome_type IS NULL THEN last_failure ->> 'type'
    END AS failure_type,
    CASE
        WHEN outcome_type IN ('ActivityTaskFailed', 'ActivityTaskTimedOut') THEN outcome ->> '$.failure.message'
        WHEN outcome_type IS NULL THEN last_failure ->> 'message'
    END AS failure_message,
    CASE WHEN outcome_type IS NULL AND closed_time IS NULL AND authorised <= tried THEN make_timestamptz(next_attempt_time) END
        AS next_attempt_time,
    paused AND outcome_type IS NULL AND closed_time IS NULL AS paused,
    scheduled ->> 'summary' AS summary
FROM joined;

-- Attempts that produced the outcome are told by the history, all others by their own table.
CREATE OR REPLACE VIEW nbflow.attempts AS
SELECT
    runs.workflow_id,
    tried.run_id,
    tried.scheduled_event_id,
    tried.activity_type,
    tried.attempt,
    make_timestamptz(tried.started_time) AS started_time,
    make_timestamptz(tried.ended_time) AS ended_time,
    tried.outcome,
    tried.failure ->> 'type' AS failure_type,
    tried.failure ->> 'message' AS failure_message,
    tried.failure ->> 'stack_trace' AS failure_traceback,
    make_timestamptz(tried.next_attempt_time) AS next_attempt_time,
    tried.failure::JSON AS failure
FROM event_log.attempts AS tried
JOIN event_log.events AS runs ON runs.run_id = tried.run_id AND runs.event_id = 1
UNION ALL
SELECT
    outcome.workflow_id,
    outcome.run_id,
    outcome.initiated_event_id,
    scheduled.name,
    (started.attributes ->> 'attempt')::INTEGER,
    make_timestamptz((started.attributes ->> 'started_time')::BIGINT),
    make_timestamptz(outcome.event_time),
    outcome.event_type[13:],
    outcome.attributes ->> '$.failure.type',
    outcome.attributes ->> '$.failure.message',
    outcome.attributes ->> '$.failure.stack_trace',
    NULL,
    outcome.attributes -> 'failure'
FROM event_log.events AS outcome
JOIN event_log.events AS started
    ON started.run_id = outcome.run_id
    AND started.initiated_event_id = outcome.initiated_event_id
    AND started.event_type = 'ActivityTaskStarted'
JOIN event_log.events AS scheduled
    ON scheduled.run_id = outcome.run_id
    AND scheduled.event_id = outcome.initiated_event_id
    AND scheduled.event_type = 'ActivityTaskScheduled'
WHERE outcome.event_type IN ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled');

CREATE OR REPLACE VIEW nbflow.signals AS
SELECT
    workflow_id,
    run_id,
    event_id,
    name AS signal_name,
    make_timestamptz(event_time) AS signal_time,
    attributes -> 'input' AS input,
    attributes ->> 'identity' AS identity
FROM event_log.events
WHERE event_type = 'WorkflowExecutionSignaled';

-- Every recorded failure: of executions, of activities, of attempts that were retried.
CREATE OR REPLACE VIEW nbflow.failures AS
WITH recorded AS (
    SELECT
        failed.workflow_id, failed.run_id, failed.event_id, failed.event_time AS time,
        CASE
            WHEN starts_with(failed.event_type, 'WorkflowExecution') THEN 'execution'
            WHEN starts_with(failed.event_type, 'Child') THEN 'child'
            ELSE 'activity'
        END AS failed,
        CASE WHEN starts_with(failed.event_type, 'Activity') THEN scheduled.name END AS activity_type,
        failed.initiated_event_id AS scheduled_event_id, NULL AS attempt,
        failed.attributes -> 'failure' AS failure
    FROM event_log.events AS failed
    LEFT JOIN event_log.events AS scheduled
        ON scheduled.run_id = failed.run_id AND scheduled.event_id = failed.initiated_event_id
    WHERE failed.event_type IN (
        'WorkflowExecutionFailed', 'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ChildWorkflowExecutionFailed'
    )
        -- what suspended an execution
        OR (failed.event_type = 'WorkflowExecutionPaused' AND (failed.attributes -> 'failure') IS NOT NULL)
    UNION ALL
    SELECT
        runs.workflow_id, tried.run_id, NULL, tried.ended_time, 'attempt',
        tried.activity_type, tried.scheduled_event_id, tried.attempt, tried.failure::JSON
    FROM event_log.attempts AS tried
    JOIN event_log.events AS runs ON runs.run_id = tried.run_id AND runs.event_id = 1
    WHERE tried.failure IS NOT NULL
)
SELECT
    workflow_id,
    run_id,
    event_id,
    make_timestamptz(time) AS failure_time,
    failed,
    activity_type,
    scheduled_event_id,
    attempt,
    failure ->> 'type' AS failure_type,
    failure ->> 'message' AS failure_message,
    failure ->> 'stack_trace' AS failure_traceback,
    root_cause(failure) ->> 'type' AS root_type,
    root_cause(failure) ->> 'message' AS root_message,
    root_cause(failure) ->> 'stack_trace' AS root_traceback,
    failure
FROM recorded;

CREATE OR REPLACE VIEW nbflow.logs AS
SELECT
    workflow_id, run_id, scheduled_event_id, attempt, make_timestamptz(time) AS time, level, logger, message
FROM event_log.logs;

-- A row a version; a version that was defined again later counts as the newest.
CREATE OR REPLACE VIEW nbflow.definitions AS
SELECT
    hash AS definition_hash,
    any_value(kind) AS kind,
    any_value(name) AS name,
    any_value(source) AS source,
    any_value(manifest)::JSON AS manifest,
    make_timestamptz(min(time)) AS first_time,
    make_timestamptz(max(time)) AS last_time
FROM event_log.definitions
GROUP BY hash;

CREATE OR REPLACE VIEW nbflow.dispatches AS
SELECT run_id, first_scheduled_event_id, last_scheduled_event_id, attempt, make_timestamptz(time) AS time
FROM event_log.dispatches;

CREATE OR REPLACE VIEW nbflow.heartbeats AS
SELECT run_id, scheduled_event_id, attempt, make_timestamptz(time) AS time, details::JSON AS details
FROM event_log.heartbeats;

CREATE OR REPLACE VIEW nbflow.notes AS
SELECT workflow_id, run_id, make_timestamptz(time) AS time, kind, body::JSON AS body
FROM event_log.notes;

CREATE OR REPLACE VIEW nbflow.payloads AS
SELECT sha256, encoding, size, data
FROM event_log.payloads;

-- An accepted update that its execution left unfinished counts as failed at its end, which is what its caller hears.
CREATE OR REPLACE VIEW nbflow.updates AS
WITH completed AS (
    SELECT run_id, initiated_event_id, event_time, attributes
    FROM event_log.events
    WHERE event_type = 'WorkflowExecutionUpdateCompleted'
),
closed AS (
    SELECT run_id, event_time, event_type
    FROM event_log.events
    WHERE event_type IN (
        'WorkflowExecutionCompleted', 'WorkflowExecutionFailed', 'WorkflowExecutionTimedOut',
        'WorkflowExecutionCanceled', 'WorkflowExecutionTerminated', 'WorkflowExecutionContinuedAsNew'
    )
)
SELECT
    accepted.workflow_id,
    accepted.run_id,
    accepted.attributes ->> 'update_id' AS update_id,
    accepted.name AS update_name,
    accepted.event_id AS accepted_event_id,
    CASE
        WHEN (completed.attributes -> 'failure') IS NOT NULL THEN 'Failed'
        WHEN completed.run_id IS NOT NULL THEN 'Completed'
        WHEN closed.run_id IS NOT NULL THEN 'Failed'
        ELSE 'Accepted'
    END AS status,
    make_timestamptz(accepted.event_time) AS accepted_time,
    make_timestamptz(coalesce(completed.event_time, closed.event_time)) AS completed_time,
    accepted.attributes -> 'input' AS input,
    completed.attributes -> 'result' AS result,
    CASE
        WHEN completed.run_id IS NOT NULL THEN completed.attributes ->> '$.failure.type'
        WHEN closed.run_id IS NOT NULL THEN 'AcceptedUpdateCompletedWorkflow'
    END AS failure_type,
    CASE
        WHEN completed.run_id IS NOT NULL THEN completed.attributes ->> '$.failure.message'
        WHEN closed.run_id IS NOT NULL THEN 'the execution closed as ' || closed.event_type[18:] || ' before the update had ended'
    END AS failure_message
FROM event_log.events AS accepted
LEFT JOIN completed ON completed.run_id = accepted.run_id AND completed.initiated_event_id = accepted.event_id
LEFT JOIN closed ON closed.run_id = accepted.run_id
WHERE accepted.event_type = 'WorkflowExecutionUpdateAccepted';

-- A row for each child that was asked for. Its last run tells how it stands, also after the parent has closed.
CREATE OR REPLACE VIEW nbflow.children AS
WITH outcomes AS (
    SELECT run_id, initiated_event_id, event_type, event_time, attributes
    FROM event_log.events
    WHERE event_type IN (
        'StartChildWorkflowExecutionFailed', 'ChildWorkflowExecutionCompleted', 'ChildWorkflowExecutionFailed',
        'ChildWorkflowExecutionCanceled', 'ChildWorkflowExecutionTimedOut', 'ChildWorkflowExecutionTerminated'
    )
),
started AS (
    SELECT
        attributes ->> 'parent_run_id' AS parent_run_id,
        (attributes ->> 'parent_initiated_event_id')::INTEGER AS initiated_event_id,
        arg_min(run_id, (event_time, run_id)) AS first_run_id,
        arg_max(run_id, (event_time, run_id)) AS last_run_id,
        min(event_time) AS start_time
    FROM event_log.events
    WHERE event_id = 1 AND attributes LIKE '%"parent_run_id"%'
    GROUP BY ALL
),
closings AS (
    SELECT run_id, event_type, event_time, attributes
    FROM event_log.events
    WHERE event_type IN (
        'WorkflowExecutionCompleted', 'WorkflowExecutionFailed', 'WorkflowExecutionTimedOut',
        'WorkflowExecutionCanceled', 'WorkflowExecutionTerminated', 'WorkflowExecutionContinuedAsNew'
    )
),
joined AS (
    SELECT
        initiated.workflow_id, initiated.run_id, initiated.event_id, initiated.name,
        initiated.attributes AS initiated,
        started.first_run_id, started.last_run_id, started.start_time,
        outcomes.event_type = 'StartChildWorkflowExecutionFailed' AS is_refused,
        coalesce(outcomes.event_type[23:], closings.event_type[18:]) AS closed_as,
        coalesce(outcomes.event_time, closings.event_time) AS close_time,
        coalesce(outcomes.attributes, closings.attributes) AS closed
    FROM event_log.events AS initiated
    LEFT JOIN outcomes ON outcomes.run_id = initiated.run_id AND outcomes.initiated_event_id = initiated.event_id
    LEFT JOIN started ON started.parent_run_id = initiated.run_id AND started.initiated_event_id = initiated.event_id
    LEFT JOIN closings ON closings.run_id = started.last_run_id
    WHERE initiated.event_type = 'StartChildWorkflowExecutionInitiated'
)
SELECT
    workflow_id,
    run_id,
    event_id AS initiated_event_id,
    initiated ->> 'workflow_id' AS child_workflow_id,
    first_run_id AS child_run_id,
    name AS workflow_type,
    CASE
        WHEN is_refused THEN 'StartFailed'
        WHEN closed_as IS NOT NULL THEN closed_as
        WHEN first_run_id IS NOT NULL THEN 'Running'
        ELSE 'Initiated'
    END AS status,
    make_timestamptz(start_time) AS start_time,
    make_timestamptz(close_time) AS close_time,
    initiated -> 'input' AS input,
    CASE WHEN closed_as = 'Completed' THEN closed -> 'result' END AS result,
    CASE
        WHEN is_refused THEN closed ->> 'cause'
        WHEN closed_as = 'Failed' THEN closed ->> '$.failure.type'
        WHEN closed_as = 'TimedOut' THEN 'TimeoutError'
        WHEN closed_as = 'Terminated' THEN 'TerminatedError'
        WHEN closed_as = 'Canceled' THEN 'CancelledError'
    END AS failure_type,
    CASE
        WHEN is_refused THEN 'an execution has this id already'
        WHEN closed_as = 'Failed' THEN closed ->> '$.failure.message'
    END AS failure_message,
    initiated ->> 'parent_close_policy' AS parent_close_policy,
    last_run_id AS last_child_run_id
FROM joined;

-- One row a schedule that has not been deleted: its last row tells how it stands, its last change what it is.
CREATE OR REPLACE VIEW nbflow.schedules AS
WITH lives AS (
    SELECT
        schedule_id,
        arg_max(kind, rowid) AS last_kind,
        arg_max(state, rowid) AS state,
        arg_max_null(next_time, rowid) AS next_time,
        arg_max(body, rowid) FILTER (kind IN ('Created', 'Updated')) AS body,
        max(time) FILTER (kind = 'Created') AS created_time,
        max(time) FILTER (kind IN ('Created', 'Updated')) AS updated_time
    FROM event_log.schedules
    GROUP BY schedule_id
),
fired AS (
    SELECT
        schedule_id, arg_max(workflow_id, rowid) AS workflow_id, arg_max(run_id, rowid) AS run_id, max(time) AS time,
        arg_max(nominal_time, rowid) AS nominal_time
    FROM event_log.schedules
    WHERE kind = 'Fired'
    GROUP BY schedule_id
)
SELECT
    lives.schedule_id,
    body ->> 'workflow_type' AS workflow_type,
    -- the last execution that it started
    fired.workflow_id,
    fired.run_id,
    body -> 'spec' AS spec,
    (state ->> 'paused')::BOOLEAN AS paused,
    make_timestamptz(fired.time) AS last_time,
    make_timestamptz(lives.next_time) AS next_time,
    state ->> 'note' AS note,
    body ->> 'overlap' AS overlap,
    (state ->> 'actions')::BIGINT AS actions,
    (state ->> 'skipped')::BIGINT AS skipped,
    (state ->> 'missed')::BIGINT AS missed,
    json_array_length(state, '$.waiting')::BIGINT AS waiting,
    (state ->> 'remaining')::BIGINT AS remaining_actions,
    make_timestamptz(fired.nominal_time) AS last_nominal_time,
    make_timestamptz(created_time) AS created_time,
    make_timestamptz(updated_time) AS updated_time,
    body -> 'input' AS input,
    CASE WHEN (body ->> 'memo') IS NOT NULL THEN body -> 'memo' END AS memo,
    body ->> 'definition_hash' AS definition_hash
FROM lives
LEFT JOIN fired ON fired.schedule_id = lives.schedule_id
WHERE last_kind <> 'Deleted';

CREATE OR REPLACE VIEW nbflow.schedule_events AS
SELECT
    schedule_id,
    make_timestamptz(time) AS time,
    kind,
    make_timestamptz(nominal_time) AS nominal_time,
    workflow_id,
    run_id,
    make_timestamptz(next_time) AS next_time,
    body::JSON AS body
FROM event_log.schedules;
