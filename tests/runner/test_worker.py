"""nbflow worker and nbflow tick as processes: they end in order, and after any kill another one goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from nbflow.store import EventStore

SERVED = Path(__file__).with_name("served.py")
NBFLOW = [sys.executable, "-m", "nbflow"]


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], str]:
    """Write a store and give its path."""

    def make_store(what: str) -> str:
        subprocess.run([sys.executable, str(SERVED), str(tmp_path), what], check=True, timeout=60)
        return str(tmp_path / "s.duckdb")

    return make_store


@pytest.fixture
def work() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start workers, and leave none behind."""
    workers: list[subprocess.Popen[str]] = []

    def start(store: str, *options: str) -> subprocess.Popen[str]:
        command = [*NBFLOW, "worker", store, *options]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.kill()
        worker.communicate()


def tick(store: str, *options: str) -> tuple[int, dict[str, object], str]:
    """Run a tick: exit code, JSON, what it told people."""
    command = [*NBFLOW, "tick", store, "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def notes(store: str) -> list[str]:
    """What the activities noted."""
    file = Path(store).with_name("notes.txt")
    return file.read_text().splitlines() if file.exists() else []


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until another process has brought something about."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def rows(store: str, query: str) -> list[tuple[object, ...]]:
    with EventStore.open(store, read_only=True) as log:
        return log.sql(query).fetchall()


def test_a_tick_does_what_is_due_and_says_that_nothing_is_left(make):
    """With no definition but those in the store."""
    store = make("once")
    code, result, told = tick(store)
    assert (code, result["closed"], result["open"]) == (0, {"Completed": 1}, 0)
    assert told == "nbflow: 0 started, 1 Completed; nothing is left to do\n"
    assert notes(store) == ["begin note", "end note", "begin note again", "end note again"]


def test_a_tick_says_when_the_next_thing_is_due(make):
    """Exit code 75 while something waits."""
    code, result, told = tick(make("later"))
    assert (code, result["open"], result["closed"]) == (75, 1, {})
    assert result["next_due"] is not None
    assert "1 execution open, 0 schedules, next due" in told


def test_a_tick_begins_nothing_after_its_budget(make):
    """The attempt under way ends within the grace; the next one waits for the next tick."""
    store = make("slow")
    code, result, _ = tick(store, "--budget", "1s", "--grace", "20s")
    assert (code, result["out_of_budget"], result["cut_off"], result["open"]) == (75, True, 0, 1)
    assert notes(store) == ["begin slow", "end slow"]
    assert tick(store)[0] == 0
    assert notes(store)[2:] == ["begin slow again", "end slow again"]


def test_a_worker_ends_in_order_on_sigterm(make, work):
    """The attempt under way ends, its outcome is recorded, nothing else begins; exit code 0."""
    store = make("slow")
    worker = work(store)
    wait_for(lambda: notes(store) == ["begin slow"])
    worker.send_signal(signal.SIGTERM)
    _, told = worker.communicate(timeout=30)
    assert (worker.returncode, notes(store)) == (0, ["begin slow", "end slow"])
    assert "1 attempt may end within 30 s" in told
    assert rows(store, "SELECT status, attempt FROM activities ORDER BY scheduled_event_id") == [
        ("Completed", 1),
        ("Scheduled", 0),
    ]


@pytest.mark.slow
def test_a_second_signal_ends_a_worker_at_once(make, work):
    """The attempt is cut off, and tried again."""
    store = make("slow")
    worker = work(store)
    wait_for(lambda: notes(store) == ["begin slow"])
    worker.send_signal(signal.SIGTERM)
    worker.send_signal(signal.SIGINT)
    _, told = worker.communicate(timeout=30)
    assert worker.returncode in (130, 143), told
    assert tick(store)[0] == 0
    assert notes(store).count("begin slow") == 2


@pytest.mark.slow
def test_a_killed_worker_loses_no_run_and_starts_none_twice(make, work):
    """Whatever moment the kill hits: each time of the schedule has one run, each run counts one more."""
    store = make("often")
    for lines in (3, 9, 20):
        worker = work(store, "--json")
        wait_for(lambda lines=lines: len(notes(store)) >= lines)
        worker.kill()
        worker.communicate()
    code, result, _ = tick(store)
    assert (code, result["schedules"]) == (0, 0)
    times = rows(store, "SELECT nominal_time FROM schedule_events WHERE kind = 'Fired' ORDER BY nominal_time")
    assert [later[0] - earlier[0] for earlier, later in pairwise(times)] == [timedelta(seconds=1)] * 28
    results = rows(store, "SELECT result::INT FROM executions WHERE status = 'Completed' ORDER BY start_time")
    assert results == [(count + 1,) for count in range(29)]


@pytest.mark.slow
def test_a_held_store_is_an_error_or_waited_for(make, work):
    """With --poll a worker begins when the other one has gone."""
    store = make("once")
    first = work(store)
    wait_for(lambda: len(notes(store)) == 4)
    code, _, told = tick(store)
    assert (code, "is held by process" in told) == (1, True)
    second = work(store, "--poll", "0.1s")
    assert "is held by process" in second.stderr.readline()
    first.send_signal(signal.SIGINT)
    assert first.wait(timeout=30) == 0
    assert "working on" in second.stderr.readline()
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=30) == 0


def test_a_store_that_is_not_there_is_wrong_usage(tmp_path):
    """Neither command makes one."""
    for verb in ("worker", "tick"):
        command = [*NBFLOW, verb, str(tmp_path / "none.duckdb")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "there is no store at" in done.stderr) == (2, True)
