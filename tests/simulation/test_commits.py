"""The process dies, or the disk is full, at the n-th commit, for every n: reopened, all ends as if undisturbed."""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sim_shapes
from sim_shapes import SHAPES, Shape, outcome_of

import nbflow
from nbflow.client import WorkflowHandle
from nbflow.core.events import CLOSING_EVENTS
from nbflow.core.machines import ACTIVITY, EXECUTION, TIMER, advance
from nbflow.exceptions import EngineClosedError, StoreError, StoreFullError, WorkflowNotFoundError
from nbflow.store import Batch, EventStore
from nbflow.testing import WorkflowEnvironment

BOUND = 10.0
"""Seconds within which every caller must have heard."""


class Commits:
    """Counts the commits of all stores, and makes every one from the n-th on fail."""

    def __init__(self) -> None:
        self.done = 0
        self.fail_at: int | None = None
        self.error: Callable[[], Exception] = lambda: OSError(errno.EIO, "the process died")
        self._commit = EventStore.commit

    def commit(self, store: EventStore, batch: Batch) -> None:
        """Commit, or fail and leave nothing behind."""
        if self.fail_at is not None and self.done + 1 >= self.fail_at:
            raise self.error()
        self._commit(store, batch)
        self.done += 1


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Commits]:
    """Counted commits that can be made to fail."""
    counted = Commits()
    monkeypatch.setattr(EventStore, "commit", lambda store, batch: counted.commit(store, batch))  # noqa: PLW0108  binds the store
    sim_shapes.ran.clear()
    return counted


def begin(shape: Shape) -> WorkflowHandle:
    """Start the execution, or attach to it, and tell it what it has not been told."""
    handle: WorkflowHandle = shape.definition.options(id="one").start()
    shape.drive(handle)
    return handle


def types_of(handle: WorkflowHandle) -> list[str]:
    """Name the events so far, in order."""
    return [type(event).__name__ for event in handle.history()]


def check_history(handle: WorkflowHandle) -> None:
    """Ids are dense, every machine takes every event, nothing follows the end."""
    history = handle.history()
    assert [event.event_id for event in history] == list(range(1, len(history) + 1))
    assert [type(event) in CLOSING_EVENTS for event in history].index(True) == len(history) - 1
    states: dict[Any, str] = {}
    for event in history:
        kind = type(event).__name__
        states["run"] = advance(EXECUTION, states.get("run", "New"), kind, handle.run_id)
        for prefix, machine, first in (("ActivityTask", ACTIVITY, "scheduled"), ("Timer", TIMER, "started")):
            if kind.startswith(prefix):
                is_first = kind in ("ActivityTaskScheduled", "TimerStarted")
                which = prefix, event.event_id if is_first else getattr(event, f"{first}_event_id")
                states[which] = advance(machine, states.get(which, "New"), kind, str(which))


STEP = ["ActivityTaskScheduled", "ActivityTaskStarted", "ActivityTaskCompleted"]
ALL_OF_SEQUENTIAL = ["WorkflowExecutionStarted", *STEP * 3, "WorkflowExecutionCompleted"]


def undisturbed(shape: Shape, path: Path, commits: Commits) -> tuple[list[str], int]:
    """Run once without a fault: the events that there must be, and how many commits there were."""
    with WorkflowEnvironment(path):
        handle = begin(shape)
        assert outcome_of(handle) == shape.expected
        types = types_of(handle)
    return types, commits.done


def disturbed(shape: Shape, path: Path, commits: Commits) -> BaseException | None:
    """Run until the fault; return what the caller was told."""
    started = time.monotonic()
    try:
        with WorkflowEnvironment(path):
            outcome_of(begin(shape))
    except (StoreError, EngineClosedError) as error:
        return error
    finally:
        commits.fail_at = None
        assert time.monotonic() - started < BOUND, "a caller or the close waited too long"
    return None


def check_continues(shape: Shape, path: Path, types: list[str], n: int) -> None:
    """Reopened, the execution ends as it would have, by the same events."""
    with WorkflowEnvironment(path):
        handle = begin(shape)
        assert outcome_of(handle) == shape.expected, f"after a fault at commit {n}"
        check_history(handle)
        # what races (activities that run at once, a signal and a step) may be recorded in another order
        assert Counter(types_of(handle)) == Counter(types), f"after a fault at commit {n}"
        if shape.name not in ("fan_out", "signalled", "cancelled"):
            assert types_of(handle) == types, f"after a fault at commit {n}"
        assert len(set(sim_shapes.ran)) == len(sim_shapes.ran), "an attempt ran twice under one number"


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_fault_at_any_commit(shape: Shape, tmp_path: Path, commits: Commits) -> None:
    """Whichever commit is the last one that reached the disk, the execution ends the same way."""
    types, count = undisturbed(shape, tmp_path / "calm.duckdb", commits)
    faults = 0
    for n in range(1, count + 1):
        sim_shapes.ran.clear()
        commits.done, commits.fail_at = 0, n
        path = tmp_path / f"{n}.duckdb"
        faults += disturbed(shape, path, commits) is not None
        check_continues(shape, path, types, n)
    assert faults >= min(count, 2), "hardly any fault hit"


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.name in ("sequential", "sleeping", "retrying")])
def test_two_faults(shape: Shape, tmp_path: Path, commits: Commits) -> None:
    """A second fault while the first one is mended changes nothing either."""
    types, count = undisturbed(shape, tmp_path / "calm.duckdb", commits)
    for n in range(1, count + 1):
        sim_shapes.ran.clear()
        path = tmp_path / f"{n}.duckdb"
        for fail_at in (n, 1 + n % 3):
            commits.done, commits.fail_at = 0, fail_at
            disturbed(shape, path, commits)
        check_continues(shape, path, types, n)


def test_nothing_is_half_made_by_a_failed_start(tmp_path: Path, commits: Commits) -> None:
    """A start whose commit failed was never made."""
    path = tmp_path / "s.duckdb"
    commits.fail_at = 1
    commits.error = lambda: StoreFullError("the disk is full", str(path))
    assert isinstance(disturbed(SHAPES[0], path, commits), StoreFullError)

    with WorkflowEnvironment(path), pytest.raises(WorkflowNotFoundError):
        nbflow.get("one")
