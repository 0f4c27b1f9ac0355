"""What the event log says about a run after its kernel has let go of it: which activities answered from history."""

from __future__ import annotations

from pathlib import Path

from nbflow.exceptions import NbflowError
from nbflow.runner.outcomes import ActivityCounts

_COUNTS = """
select count(*) filter (a.status = 'Completed' and epoch_us(a.close_time) < $since),
       count(*) filter (a.status = 'Completed' and epoch_us(a.close_time) >= $since),
       count(*) filter (a.status in ('Failed', 'TimedOut') and epoch_us(a.close_time) >= $since)
from activities a
where a.run_id in (select run_id from executions where run_key = $run_key)
"""
_EXECUTIONS = """
select count(*), count(*) filter (status in ('Running', 'Suspended')) from executions where run_key = $run_key
"""


class UnreadableStoreError(Exception):
    """The event log could not be asked; for this package only, which turns it into a warning."""


def count_activities(store: str, run_key: str, since: int) -> ActivityCounts | None:
    """Count the activities of all executions that a run id started.

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
        None if there is no store, or it has no execution of this run id.

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
            executions = cursor.execute(_EXECUTIONS, {"run_key": run_key}).fetchone() or (0, 0)
            counts = cursor.execute(_COUNTS, {"run_key": run_key, "since": since}).fetchone() or (0, 0, 0)
        finally:
            log.close()
    except (NbflowError, duckdb.Error) as error:
        raise UnreadableStoreError(str(error)) from error
    if not executions[0]:
        return None
    replayed, ran, failed = counts
    return ActivityCounts(replayed=replayed, ran=ran, failed=failed, open_executions=executions[1])
