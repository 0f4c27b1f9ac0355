-- Everything that is not a fact is worked out here, each time it is asked for. The views are made anew when
-- this file changes, so they may be rewritten freely: what people rely on are names, columns and meanings.
--
-- A name without a schema is another view of `nbflow`; facts come from `event_log`.
-- Times are TIMESTAMPTZ, durations DOUBLE seconds, values JSON.

CREATE OR REPLACE MACRO nbflow.instant(micros) AS make_timestamptz(micros::BIGINT);

-- The failure at the end of a failure's chain of causes. Recorded chains are at most eight causes long for one
-- exception; an activity's and two levels of children's failures may stand above it.
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
