"""The promise as a law: random programs against random faults, each decided by a seed, on the real engine.

One seed takes some ten milliseconds: no thread, no file, no waiting. ``--seeds N`` runs more of them, ``--seed S`` one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import law_world
import pytest
from law_mutants import MUTANTS, Patch
from law_store import MemoryStore
from law_watch import LAWS, LawBrokenError
from law_world import simulate

from nbflow.store import EventStore

_CHUNK = 100


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each hundred seeds, or of the one asked for."""
    if "seeds" not in metafunc.fixturenames:
        return
    one, count = metafunc.config.getoption("--seed"), metafunc.config.getoption("--seeds")
    if one is not None:
        chunks = [range(one, one + 1)]
    else:
        chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    metafunc.parametrize("seeds", chunks, ids=lambda seeds: f"seeds {seeds.start} to {seeds.stop - 1}")


def test_the_law(seeds: range) -> None:
    """Whatever happens, every invariant holds after every step, and in the end all has ended."""
    for seed in seeds:
        simulate(seed)


def test_seeds_are_the_same_in_every_process() -> None:
    """A seed that fails in CI fails here: nothing hangs on hash randomness, memory or time."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from law_world import simulate\n"
        "import hashlib\n"
        "world = simulate(11)\n"
        "text = repr((world.schedule, world.store.histories))\n"
        "print(len(world.schedule), hashlib.sha256(text.encode()).hexdigest())\n"
    )
    told = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-c", code, str(Path(__file__).parent)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        told.add(done.stdout)
    assert len(told) == 1, told


def test_the_simulation_gets_about() -> None:
    """A hundred seeds meet every kind of trouble; else the law would hold for want of cases."""
    worlds = [simulate(seed) for seed in range(100)]
    met = {kind for world in worlds for kind, count in world.counts.items() if count}
    assert set(law_world._TROUBLES) | {"crash before a commit", "crash after a commit", "hangs"} <= met
    events = {type(event).__name__ for w in worlds for history in w.store.histories.values() for event in history}
    for kind in ("Completed", "Failed", "TimedOut", "Canceled", "Terminated", "UpdateAccepted", "UpdateCompleted"):
        assert f"WorkflowExecution{kind}" in events
    for kind in ("Completed", "Failed", "TimedOut", "Canceled", "CancelRequested"):
        assert f"ActivityTask{kind}" in events
    outcomes = {row.outcome for w in worlds for rows in w.store.attempts.values() for row in rows}
    assert {"Failed", "Lost", "TimedOut"} <= outcomes
    assert {"TimerFired", "TimerCanceled", "MarkerRecorded"} <= events


MOST_SEEDS = 300
"""Within so many seeds each planted bug must be noticed."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_law_bites(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """A planted bug is noticed, by a law that is about it; the report tells how to see it again."""
    mutant(monkeypatch)
    for seed in range(MOST_SEEDS):
        try:
            simulate(seed)
        except LawBrokenError as error:
            told = str(error)
            break
    else:
        pytest.fail(f"nobody noticed that {mutant.__doc__}")
    assert told.partition(" ")[0] in MUTANTS[mutant]
    assert f"python -m pytest tests/simulation -k law --seed {seed}" in told
    assert "programs:" in told
    assert "somebody starts" in told


def test_every_law_is_noticed_when_broken() -> None:
    """No law stands there for show: each has a planted bug that breaks it, or is about results alone."""
    assert set(LAWS) - set().union(*MUTANTS.values()) == {"I12"}


def answers(reader: Any, run_ids: list[str], workflow_ids: list[str], times: list[int]) -> dict[str, Any]:
    """Ask a reader everything that the engine asks."""
    return {
        "histories": reader.histories(run_ids),
        "runs": [reader.run(run_id) for run_id in run_ids],
        "latest_runs": reader.latest_runs(workflow_ids),
        "pins": reader.pins(run_ids),
        "pending_activities": reader.open_runs_with_pending_activities(),
        "open_runs": {row.run_id: row for row in reader.open_runs(100)},
        "suspended": reader.suspended_runs(),
        "pending_attempts": reader.pending_attempts(run_ids),
        "due": [sorted(reader.due(time)) for time in times],
        "next_deadline": [reader.next_deadline(time) for time in times],
        "open_versions": reader.open_versions(["law"]),
        "closing_events": reader.closing_events(run_ids),
        "all_runs": reader.runs(run_ids),
        "owes_something": reader.owes_something(),
        "closed_children": reader.closed_children(workflow_ids, run_ids),
        "closings": reader.closings(run_ids),
        "schedules": reader.schedules(),
        "is_imported": [reader.is_imported(run_id) for run_id in run_ids],
        "definition": reader.latest_definition("workflow", "law"),
    }


@pytest.mark.parametrize("seed", [3, 8, 17, 29])
def test_the_simulated_store_answers_as_the_real_one(seed: int) -> None:
    """After every few commits, each of the engine's questions has the same answer from DuckDB."""
    batches = simulate(seed).store.batches
    simulated, real = MemoryStore(), EventStore.open(":memory:")
    reader, times = real.reader(), [0, 2**60]
    for number, batch in enumerate(batches, start=1):
        simulated.commit(batch)
        real.commit(batch)
        times += [event.event_time for _, _, event, _ in batch.events][-1:]
        if number % 5 == 0 or number == len(batches):
            asked = sorted(simulated.histories), sorted(set(simulated.workflow_ids.values())), times[-4:]
            expected, found = (answers(it, *asked) for it in (reader, simulated.reader()))
            for question, answer in expected.items():
                assert found[question] == answer, question
    real.close()
