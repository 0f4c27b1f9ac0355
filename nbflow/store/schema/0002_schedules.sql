-- The lives of schedules: a row for each change and each action. `state` is all that changes of a schedule, as it is
-- after the row, so that the last row of a schedule tells how things stand and none has to be added up.
CREATE TABLE event_log.schedules (
    schedule_id VARCHAR NOT NULL,
    time BIGINT NOT NULL,
    -- Created, Updated, Paused, Unpaused, Triggered, Backfilled, Fired, Buffered, Skipped, MissedCatchup, Deleted
    kind VARCHAR NOT NULL,
    -- the time by the spec that the row is about
    nominal_time BIGINT,
    -- the execution that was started
    workflow_id VARCHAR,
    run_id VARCHAR,
    -- when it acts next by itself; NULL if it does not
    next_time BIGINT,
    -- JSON
    state VARCHAR NOT NULL,
    -- JSON: of Created and Updated the whole definition of the schedule, of others what there is to say
    body VARCHAR NOT NULL
);
