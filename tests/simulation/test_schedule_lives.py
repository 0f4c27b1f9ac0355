"""Schedules live through random requests, restarts and times without an engine: what the log says of them adds up."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow.core.schedule_state import OVERLAPS
from nbflow.testing import WorkflowEnvironment

START = datetime(2026, 1, 1, tzinfo=UTC)
LIVES, REQUESTS = 3, 6


@nbflow.activity
def lived_step() -> int:
    """Do one thing."""
    return 1


@nbflow.workflow
def lived_long(seconds: float, fails: bool) -> int:
    """Take a while, and maybe fail."""
    nbflow.sleep(seconds)
    if fails:
        raise ValueError("it failed")
    return lived_step()


@nbflow.workflow
def lived_short(seconds: float, fails: bool) -> int:
    """End at once."""
    return 1


class Life:
    """One schedule, driven by chance.

    Parameters
    ----------
    seed
        What chance begins with.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        pick = self.chance.choice
        self.workflow = pick([lived_long, lived_long, lived_short])
        self.args = (pick([60, 1500, 5000]), self.chance.random() < 0.3)
        self.options = {
            "every": pick(["7m", "1h", "13m"]),
            "overlap": pick(OVERLAPS),
            "jitter": pick([None, "5m"]),
            "pause_on_failure": self.chance.random() < 0.2,
            "catchup_window": pick(["1h", "365 days"]),
            "remaining_actions": pick([None, None, 9]),
        }

    def ask(self, env: WorkflowEnvironment, handle: nbflow.ScheduleHandle) -> None:
        """Do one thing by chance: mostly let time pass."""
        pick, number = self.chance.choice, self.chance.randint
        match pick(["sleep", "sleep", "sleep", "pause", "unpause", "trigger", "update", "backfill"]):
            case "sleep":
                env.sleep(timedelta(seconds=number(1, 9000)))
            case "pause":
                handle.pause()
            case "unpause":
                handle.unpause()
            case "trigger":
                handle.trigger(pick([None, *OVERLAPS]))
            case "update":
                handle.update(overlap=pick(OVERLAPS))
            case "backfill":
                now = env.now()
                span = now - timedelta(hours=2), now - timedelta(minutes=number(0, 60))
                handle.backfill(*span, pick([None, *OVERLAPS]))


def check(env: WorkflowEnvironment, handle: nbflow.ScheduleHandle) -> None:
    """What the rows of the schedule, the executions and the view say is one story."""
    rows = env.client.rows("SELECT * FROM event_log.schedules ORDER BY rowid")
    fired = [row for row in rows if row["kind"] == "Fired"]
    runs = env.client.rows("SELECT workflow_id, run_id, status FROM executions")
    assert {row["run_id"] for row in fired} == {run["run_id"] for run in runs}
    by_itself = [row["nominal_time"] for row in fired if "manual" not in row["body"]]
    assert len(set(by_itself)) == len(by_itself)
    assert json.loads(rows[-1]["state"])["actions"] == len(fired)
    check_rest(env, handle.describe(), {run["workflow_id"] for run in runs if run["status"] == "Running"})


def check_rest(env: WorkflowEnvironment, about: dict[str, Any], open_ids: set[str]) -> None:
    """Nothing is stuck, and the next time is to come."""
    assert about["problem"] == ""
    assert about["running"] is None or about["running"] in open_ids
    if about["running"] is None and not about["paused"]:
        assert about["waiting"] == 0
    if about["paused"] or about["remaining_actions"] == 0:
        assert about["next_time"] is None
    else:
        assert about["next_time"] > env.now() - timedelta(seconds=2)


@pytest.mark.parametrize("seed", range(4))
def test_a_schedule_adds_up_whatever_is_asked_of_it(tmp_path: Path, seed: int):
    """Three lives of one store, with time between them."""
    life, now = Life(seed), START
    for _ in range(LIVES):
        with WorkflowEnvironment(tmp_path / "s.duckdb", start=now) as env:
            handle = nbflow.schedule("lived", life.workflow, *life.args, **life.options)
            for _ in range(REQUESTS):
                life.ask(env, handle)
            check(env, handle)
            now = env.now() + timedelta(seconds=life.chance.choice([1, 4000, 20000]))
