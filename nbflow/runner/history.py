"""What the event log says about a run after its kernel has let go of it: which activities answered from history."""

from __future__ import annotations

from pathlib import Path

from nbflow.exceptions import NbflowError
from nbflow.runner.outcomes import ActivityCounts

# the kernel held the store alone, so all that happened since belongs to this run: executions that it found open went
# on, whoever had started them
_MINE = """
select run_id from executions where run_key = $run_key
union
select run_id from events where epoch_us(event_time) >= $since
"""
_COUNTS = f"""
with mine as ({_MINE})
select count(*) filter (status = 'Completed' and epoch_us(close_time) < $since),
       count(*) filter (status = 'Completed' and epoch_us(close_time) >= $since),
       count(*) filter (status in ('Failed', 'TimedOut') and epoch_us(close_time) >= $since)
from activities where run_id in (from mine)
"""  # noqa: S608  both parts are ours, the values are bound
_EXECUTIONS = f"""
with mine as ({_MINE})
select count(*), count(*) filter (status in ('Running', 'Paused', 'Suspended')) from executions
where run_id in (from mine)
"""  # noqa: S608  as above


class UnreadableStoreError(Exception):
    """The event log could not be asked; for this package only, which turns it into a warning."""


def count_activities(store: str, run_key: str, since: int) -> ActivityCounts | None:
    """Count the activities of all executions that a run started, found by its id, or carried on.

    Parameters
    ----------
    store
        Path of the event log.
    run_key
        The run id.
    since
        When the present run began, in microseconds since the epoch.

    Returns
    -------
    ActivityCounts or None
        None if there is no store, or it has no such execution.

    Raises
    ------
    UnreadableStoreError
        If there is one that can't be read.
    """
    import duckdb

    from nbflow.store import EventStore

    if not Path(store).is_file():
        return None
    try:
        log = EventStore.open(store, read_only=True)
        try:
            cursor = log.cursor()
            values = {"run_key": run_key, "since": since}
            executions = cursor.execute(_EXECUTIONS, values).fetchone() or (0, 0)
            counts = cursor.execute(_COUNTS, values).fetchone() or (0, 0, 0)
        finally:
            log.close()
    except (NbflowError, duckdb.Error) as error:
        raise UnreadableStoreError(str(error)) from error
    if not executions[0]:
        return None
    replayed, ran, failed = counts
    return ActivityCounts(replayed=replayed, ran=ran, failed=failed, open_executions=executions[1])
