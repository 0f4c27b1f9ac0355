"""When a commit fails, every caller hears why in bounded time, nothing is half-made, and reopening goes on."""

from __future__ import annotations

import errno
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.exceptions import EngineClosedError, StoreError
from nbflow.store import Batch
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, wait_until

Told = (StoreError, EngineClosedError)


@activity
def failing_commit_step(x: int) -> int:
    """Add one."""
    return x + 1


@workflow
def waiter() -> Any:
    """Work, wait for a word, work."""
    first = failing_commit_step(1)
    asked: list[Any] = []
    nbflow.query(name="asked")(lambda: list(asked))
    asked.append(nbflow.wait_for_signal("go"))
    return [asked, failing_commit_step(first)]


def fill_the_disk(env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every commit from here on fail."""

    def full(batch: Batch) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(env.client.store, "commit", full)


def together(env: WorkflowEnvironment, *requests: tuple[Any, ...]) -> list[Future[Any]]:
    """Have several callers' requests meet in one turn."""
    engine, gate = env.client.engine, threading.Event()
    engine.post(gate.wait)
    answers = [engine.submit(*request) for request in requests]
    gate.set()
    return answers


@pytest.mark.parametrize("is_resident", [True, False])
def test_every_caller_is_told(is_resident: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signal, result, query, history and start end with an error that says what to do, in memory or not."""
    path = tmp_path / "s.duckdb"
    with WorkflowEnvironment(path):
        handle = waiter.options(id="w").start()
        wait_until(lambda: "ActivityTaskCompleted" in event_types(handle))
    with WorkflowEnvironment(path) as env:
        ask, run_id = env.client.engine.requests, handle.run_id
        if is_resident:
            wait_until(lambda: "ActivityTaskCompleted" in event_types(nbflow.get("w")))
            assert nbflow.get("w").query("asked") == []
        fill_the_disk(env, monkeypatch)
        word = env.client.codec.encode(["x"])
        answers = together(
            env,
            (ask.wait_closed, "w", run_id),
            (ask.signal, "w", run_id, "go", word),
            (ask.history, "w", run_id),
            (ask.query, "w", run_id, "asked", ()),
            (ask.describe, "w", run_id),
            (ask.cancel, "w", run_id, "why not"),
        )
        for answer in answers:
            with pytest.raises(Told):
                answer.result(5)
        for call in (waiter.start, lambda: nbflow.get("w")):
            with pytest.raises(EngineClosedError, match=r"nbflow\.open"):
                call()


def test_nothing_of_a_failed_commit_is_there_after_reopening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused signal was not sent, and the execution goes on where the log ends."""
    path = tmp_path / "s.duckdb"
    with WorkflowEnvironment(path) as env:
        handle = waiter.options(id="w").start()
        wait_until(lambda: "ActivityTaskCompleted" in event_types(handle))
        fill_the_disk(env, monkeypatch)
        with pytest.raises(Told, match="No space left"):
            handle.signal("go", "lost")
    monkeypatch.undo()
    with WorkflowEnvironment(path):
        handle = nbflow.get("w")
        assert "Signaled" not in event_types(handle)
        handle.signal("go", "kept")
        assert handle.result(timeout=5) == [["kept"], 3]


def test_more_requests_than_one_turn_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that still wait in the inbox when the commit fails are told too."""
    with WorkflowEnvironment() as env:
        handle = waiter.start()
        fill_the_disk(env, monkeypatch)
        ask, word = env.client.engine.requests, env.client.codec.encode(["x"])
        answers = together(env, *[(ask.signal, "", handle.run_id, "other", word)] * 600)
        for answer in answers:
            with pytest.raises(Told):
                answer.result(5)


def test_letting_time_pass_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the clock is told that it stopped."""

    @workflow
    def sleeping() -> None:
        nbflow.sleep("1 hour")

    with WorkflowEnvironment() as env:
        sleeping.start()
        fill_the_disk(env, monkeypatch)
        engine = env.client.engine
        with pytest.raises(Told):
            engine.submit(engine.skip, 2 * 3600 * 1_000_000).result(5)
