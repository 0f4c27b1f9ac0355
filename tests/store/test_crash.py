"""kill -9 at any moment: what was committed is there, what was not is not, and nothing between."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from nbflow.store import EventStore

# Commits numbered batches over several tables for ever; prints each number after its commit returned.
COMMIT = """
import sys
from nbflow.core.events import WorkflowExecutionStarted, TimerStarted
from nbflow.core.payloads import Blob, Payload
from nbflow.store import Batch, DispatchRow, EventStore
import nbflow.store.event_store as event_store

event_store._BUSY_COMMITS = 7
store = EventStore.open(sys.argv[1])
number = int(sys.argv[2])
while True:
    run = f"run-{number:06}"
    blobs = (Blob(f"{number:064}", "bytes", b"x" * 300_000),) if number % 3 == 0 else ()
    batch = Batch()
    batch.events.append((run, "w", WorkflowExecutionStarted(
        event_id=1, event_time=number, workflow_type="t", workflow_id="w", input=Payload("[]", blobs)), False))
    for event_id in range(2, number % 40 + 2):
        batch.events.append((run, "w", TimerStarted(
            event_id=event_id, event_time=number, timer_id="1", start_to_fire_timeout=1.0, fire_time=number), False))
    if number % 2:
        batch.dispatches.append(DispatchRow(run, 1, 1, 1, number))
    store.commit(batch)
    print(number, flush=True)
    number += 1
"""


def commit_until_killed(path, first, commits, delay):
    """Run the writer, kill it in or after its n-th commit; return the last number it told."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMIT, str(path), str(first)], stdout=subprocess.PIPE, text=True
    ) as process:
        told = [process.stdout.readline() for _ in range(commits)]
        # somewhere in the next commits, which take about a millisecond each
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
        told += process.stdout.readlines()
    return max(int(line) for line in told if line.endswith("\n"))


def check_prefix(path, last_told):
    """All told commits are whole; at most one more is there, whole as well."""
    with EventStore.open(path) as store:
        rows = store.sql(
            "SELECT run_id, max(history_length), (SELECT count(*) FROM event_log.events e WHERE e.run_id = x.run_id), "
            "(SELECT count(*) FROM event_log.dispatches d WHERE d.run_id = x.run_id) FROM executions x GROUP BY run_id"
        ).fetchall()
        numbers = sorted(int(run_id[4:]) for run_id, *_ in rows)
        blobs = {int(sha256) for (sha256,) in store.sql("SELECT sha256 FROM payloads").fetchall()}
    assert numbers == list(range(len(numbers)))
    assert len(numbers) - 1 in (last_told, last_told + 1)
    assert blobs == {number for number in numbers if number % 3 == 0}
    for run_id, length, count, dispatches in rows:
        number = int(run_id[4:])
        assert (length, count, dispatches) == (number % 40 + 1, number % 40 + 1, number % 2)
    return len(numbers)


@pytest.mark.slow
def test_a_killed_process_leaves_a_prefix_of_its_commits(tmp_path):
    """Killed a dozen times in a row, between and within commits and checkpoints, the store never tears a batch."""
    path, count = tmp_path / "s.duckdb", 0
    chance = random.Random(20)
    for _ in range(12):
        last = commit_until_killed(path, count, chance.randint(1, 40), chance.uniform(0, 0.02))
        count = check_prefix(path, last)
    assert count > 100


def test_a_kill_while_a_store_is_made_leaves_one_that_can_be_made(tmp_path):
    """At each moment of the first opening, a kill leaves nothing, an empty database, or a whole store."""
    code = "import sys; from nbflow.store import EventStore; print('go', flush=True); EventStore.open(sys.argv[1])"
    for number in range(8):
        path = tmp_path / f"s{number}.duckdb"
        with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            try:
                process.wait(number * 0.008)
            except subprocess.TimeoutExpired:
                process.kill()
        with EventStore.open(path) as store:
            assert store.reader().counts().executions == 0 and store.store_id
