-- The event log: append-only tables, one transaction a commit. No row is ever updated or deleted;
-- what an execution, an activity, a timer *is* now, the views in views.sql work out from these facts.
--
-- A row's life. The engine hands a batch to EventStore.commit. Its events become rows of `events`, in
-- order, `event_id` dense from 1 within a run; attempts that ended without an outcome event become rows of
-- `attempts`; leave to start an attempt (other than a first one, which its ActivityTaskScheduled grants by
-- itself unless it is `deferred`) becomes a row of `dispatches`. Values too large to stand in an event
-- lie in `payloads`, once, under their content hash. From then on the row stays as it is.
--
-- Times are microseconds since the epoch (BIGINT) and ids are text: the appender takes both twice as
-- fast as TIMESTAMPTZ and UUID. The views give TIMESTAMPTZ.

CREATE SCHEMA event_log;
CREATE SCHEMA nbflow;

CREATE TABLE event_log.meta (
    key VARCHAR NOT NULL,
    value VARCHAR NOT NULL
);

CREATE TABLE event_log.events (
    run_id VARCHAR NOT NULL,
    workflow_id VARCHAR NOT NULL,
    event_id INTEGER NOT NULL,
    event_time BIGINT NOT NULL,
    event_type VARCHAR NOT NULL,
    -- what the event is about: the workflow type, activity type, signal name, timer id
    name VARCHAR,
    -- the event that began the operation which this one goes on with
    initiated_event_id INTEGER,
    -- when something happens by itself: a timer's fire time; an execution's start, if it is delayed, or expiration
    due_time BIGINT,
    -- not to be begun yet: an ActivityTaskScheduled whose first attempt waits for a row of `dispatches`, a
    -- WorkflowExecutionStarted whose code waits for its due_time
    deferred BOOLEAN NOT NULL,
    -- JSON object; text, because the appender would parse a JSON column's values once more
    attributes VARCHAR NOT NULL
);

-- Attempts that produced no outcome event: failed and retried, timed out and retried, lost in a crash.
CREATE TABLE event_log.attempts (
    run_id VARCHAR NOT NULL,
    scheduled_event_id INTEGER NOT NULL,
    activity_type VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    started_time BIGINT NOT NULL,
    ended_time BIGINT NOT NULL,
    outcome VARCHAR NOT NULL,
    failure VARCHAR,
    next_attempt_time BIGINT,
    heartbeat_details VARCHAR
);

-- Leave to start `attempt` of each activity that the events first..last of the run scheduled.
CREATE TABLE event_log.dispatches (
    run_id VARCHAR NOT NULL,
    first_scheduled_event_id INTEGER NOT NULL,
    last_scheduled_event_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    time BIGINT NOT NULL
);

CREATE TABLE event_log.heartbeats (
    run_id VARCHAR NOT NULL,
    scheduled_event_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    time BIGINT NOT NULL,
    details VARCHAR
);

CREATE TABLE event_log.logs (
    run_id VARCHAR NOT NULL,
    workflow_id VARCHAR NOT NULL,
    scheduled_event_id INTEGER,
    attempt INTEGER,
    time BIGINT NOT NULL,
    level VARCHAR NOT NULL,
    logger VARCHAR NOT NULL,
    message VARCHAR NOT NULL
);

CREATE TABLE event_log.definitions (
    hash VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    manifest VARCHAR NOT NULL,
    time BIGINT NOT NULL
);

-- Facts about an execution that are no history events, e.g. that it was suspended.
CREATE TABLE event_log.notes (
    run_id VARCHAR NOT NULL,
    workflow_id VARCHAR NOT NULL,
    time BIGINT NOT NULL,
    kind VARCHAR NOT NULL,
    body VARCHAR NOT NULL
);

CREATE TABLE event_log.payloads (
    sha256 VARCHAR NOT NULL,
    encoding VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    data BLOB NOT NULL
);
