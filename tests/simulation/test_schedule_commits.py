"""A schedule whose process dies at the n-th commit, for every n: each time has one fate, each run one row."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

import nbflow
from nbflow.exceptions import NbflowError
from nbflow.store import Batch, EventStore
from nbflow.testing import WorkflowEnvironment

START = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 2


@nbflow.activity
def simulated_step() -> None:
    """Do nothing, durably."""


@nbflow.workflow
def simulated_run() -> int:
    """Take more than an hour, in three commits; count the runs."""
    simulated_step()
    nbflow.sleep("85m")
    return (nbflow.info().last_completion_result or 0) + 1


class Commits:
    """Makes the n-th commit of all stores fail, and those after it, as if the process had died."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = 0
        self.fail_at: int | None = None
        self._commit = EventStore.commit
        monkeypatch.setattr(EventStore, "commit", lambda store, batch: self.commit(store, batch))  # noqa: PLW0108  binds the store

    def commit(self, store: EventStore, batch: Batch) -> None:
        """Commit, or fail and leave nothing behind."""
        if self.fail_at is not None and self.done + 1 >= self.fail_at:
            raise OSError(errno.EIO, "the process died")
        self._commit(store, batch)
        self.done += 1


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Commits]:
    """Commits that can be made to fail."""
    return Commits(monkeypatch)


def live(path: Path, overlap: str, start: datetime) -> datetime:
    """Live from a moment to the end of the story, or until a commit fails; tell when that was."""
    end = START + timedelta(hours=HOURS, minutes=30)
    with WorkflowEnvironment(path, start=start) as env:
        # whatever the caller hears of the death: here only the log is looked at
        with suppress(NbflowError, OSError):
            nbflow.schedule("simulated", simulated_run, every="1h", overlap=overlap)
            if env.now() < end:
                env.sleep(end - env.now())
        return env.now()


def check(path: Path, overlap: str) -> None:
    """Each time has one fate; every run that a row tells of is there, and no other."""
    with EventStore.open(path, read_only=True) as store:
        fired = store.sql("SELECT nominal_time, run_id FROM schedule_events WHERE kind = 'Fired'").fetchall()
        runs = {run_id for (run_id,) in store.sql("SELECT run_id FROM executions").fetchall()}
        skipped = store.sql("SELECT body ->> '$.times' FROM schedule_events WHERE kind = 'Skipped'").fetchall()
        (waiting,) = store.sql("SELECT waiting FROM schedules").fetchone()
        created = store.sql("SELECT count(*) FROM schedule_events WHERE kind = 'Created'").fetchone()
        results = store.sql(
            "SELECT result::INT FROM executions WHERE status = 'Completed' ORDER BY start_time"
        ).fetchall()
    assert created == (1,)
    assert len({time for time, _ in fired}) == len(fired)
    assert {run_id for _, run_id in fired} == runs
    told = sum(text.count("Z") for (text,) in skipped)
    assert len(fired) + told + waiting == HOURS, overlap
    if overlap != "allow_all":
        assert [number for (number,) in results] == [n + 1 for n in range(len(results))]


@pytest.mark.slow
@pytest.mark.parametrize("overlap", ["buffer_one", "terminate_other"])
def test_a_death_at_any_commit_loses_no_time_and_doubles_none(tmp_path, commits, overlap):
    """Reopened at that moment, all goes on as if undisturbed."""
    for number in count(1):
        path = tmp_path / f"{number}.duckdb"
        commits.done, commits.fail_at = 0, number
        when = live(path, overlap, START)
        was_hit, commits.fail_at = commits.done + 1 == number, None
        live(path, overlap, when)
        check(path, overlap)
        if not was_hit:
            return
