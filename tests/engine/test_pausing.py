"""Paused executions take events down and run no code, until they are unpaused; restarts change nothing of that."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.client import WorkflowHandle
from nbflow.core.instance import WorkflowInstance
from nbflow.core.replay import replay
from nbflow.engine.engine import EngineOptions
from nbflow.exceptions import ClientError, WorkflowClosedError, WorkflowFailedError
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, wait_until

attempts: list[int] = []


@activity
def paused_step(x: int) -> int:
    """Add one."""
    return x + 1


@activity(retry=RetryPolicy(initial_interval=3600))
def failing_first() -> int:
    """Fail in the first attempt."""
    attempts.append(nbflow.activity_info().attempt)
    if len(attempts) == 1:
        raise ConnectionError
    return len(attempts)


@activity
async def gated() -> str:
    """Wait for the test."""
    while not attempts:
        await __import__("asyncio").sleep(0.01)
    return "through"


@workflow
def pausable() -> object:
    """Take two messages and time, and work in between."""
    first = nbflow.wait_for_signal("word")
    nbflow.sleep("1 hour")
    return first, nbflow.wait_for_signal("word"), paused_step(1), nbflow.random().random() < 2


@workflow
def retrying() -> int:
    """Call what fails first."""
    return failing_first()


@workflow
def behind_a_gate() -> tuple[str, int]:
    """Call one after the other."""
    return gated(), paused_step(1)


def replays(handle: WorkflowHandle, env: WorkflowEnvironment) -> bool:
    """Say whether the code asks for what is recorded, and for nothing else."""
    history = handle.history()
    definition = env.client.engine.definitions.workflow(handle.describe()["definition_hash"], handle.workflow_type)
    instance = WorkflowInstance(handle.run_id, definition, env.client.codec)
    outstanding = replay(instance, history)
    instance.evict()
    return outstanding == []


def test_a_pause_takes_down_what_comes_and_the_end_of_it_applies_it(env: WorkflowEnvironment) -> None:
    """Signals come in while no code runs; at the end they are one batch, in order, which replays."""
    handle = pausable.options(id="pausable-1").start()
    handle.pause("lunch")
    handle.signal("word", 1)
    handle.signal("word", 2)
    handle.cancel()
    assert handle.status == handle.describe()["status"] == "Paused"
    assert event_types(handle)[1:] == ["WorkflowExecutionPaused", "Signaled", "Signaled", "CancelRequested"]
    assert replays(handle, env)
    handle.unpause()
    with pytest.raises(WorkflowFailedError, match="cancelled"):
        handle.result(timeout=10)
    assert event_types(handle)[5:] == ["WorkflowExecutionUnpaused", "Canceled"]
    assert replays(handle, env)


@pytest.mark.parametrize("resident", [0, 1000])
def test_a_pause_outlives_restarts_and_leaving_memory(tmp_path: Path, resident: int) -> None:
    """A timer fires during it, is recorded, and reaches the code in the process that ends the pause."""
    options = EngineOptions(resident_executions=resident, look_ahead=10**9)
    with WorkflowEnvironment(tmp_path / "a.duckdb", options=options) as env:
        handle = pausable.options(id="pausable-2").start()
        handle.signal("word", 1)
        handle.pause()
        handle.pause()
        wait_until(lambda: len(env.client.engine.residency.executions) <= resident)
        env.sleep("2 hours")
        assert event_types(handle)[-2:] == ["WorkflowExecutionPaused", "TimerFired"]
        handle.signal("word", 2)
    with WorkflowEnvironment(tmp_path / "a.duckdb", options=options) as env:
        handle = nbflow.get("pausable-2")
        assert handle.status == handle.describe()["status"] == "Paused"
        assert handle.history()[-1].signal_name == "word"  # type: ignore[attr-defined]
        handle.unpause("go on")
        assert handle.result(timeout=10) == (1, 2, 2, True)
        assert replays(handle, env)


def test_an_attempt_under_way_ends_in_a_pause_and_no_other_begins(env: WorkflowEnvironment) -> None:
    """Its outcome is in the history; what follows waits for the end of the pause."""
    attempts.clear()
    handle = behind_a_gate.start()
    wait_until(lambda: len(nbflow.sql("FROM activities WHERE status = 'Started'")) == 1)
    handle.pause()
    attempts.append(1)
    wait_until(lambda: event_types(handle)[-1] == "ActivityTaskCompleted")
    assert event_types(handle).count("ActivityTaskScheduled") == 1
    handle.unpause()
    assert handle.result(timeout=10) == ("through", 2)
    assert replays(handle, env)


def test_retries_wait_for_the_end_of_a_pause(tmp_path: Path) -> None:
    """A backoff that ends during it begins no attempt, in this process and the next."""
    attempts.clear()
    with WorkflowEnvironment(tmp_path / "a.duckdb") as env:
        handle = retrying.options(id="retrying-1").start()
        wait_until(lambda: len(nbflow.sql("FROM attempts")) == 1)
        handle.pause()
        env.sleep("2 hours")
        assert len(attempts) == 1
    with WorkflowEnvironment(tmp_path / "a.duckdb") as env:
        env.sleep("2 hours")
        assert len(attempts) == 1
        nbflow.get("retrying-1").unpause()
        assert nbflow.get("retrying-1").result(timeout=10) == 2


def test_a_paused_execution_can_be_asked_and_ended(env: WorkflowEnvironment) -> None:
    """Queries see the state before the pause; terminate works, and then nothing else does."""

    @workflow
    def asked_while_paused() -> None:
        got: list[object] = []

        @nbflow.query
        def seen() -> list[object]:
            return got

        while True:
            got.append(nbflow.wait_for_signal("word"))

    handle = asked_while_paused.start()
    handle.signal("word", 1)
    handle.pause()
    handle.signal("word", 2)
    assert handle.query("seen") == [1]
    handle.terminate("enough")
    assert event_types(handle)[-2:] == ["Signaled", "Terminated"]
    for verb in (handle.pause, handle.unpause):
        with pytest.raises(WorkflowClosedError):
            verb()


def test_a_pause_during_a_start_delay_ends_it(env: WorkflowEnvironment) -> None:
    """As anything does that comes meanwhile: the code begins when the pause is over."""
    handle = pausable.options(start_delay="1 day").start()
    handle.pause()
    handle.signal("word", 1)
    handle.unpause()
    handle.signal("word", 2)
    assert handle.result(timeout=10)[:2] == (1, 2)
    assert replays(handle, env)


def test_a_paused_activity_begins_no_attempt(tmp_path: Path) -> None:
    """Not in this process and not in the next, until it is unpaused; the execution itself runs on."""
    attempts.clear()
    with WorkflowEnvironment(tmp_path / "a.duckdb") as env:
        handle = retrying.options(id="retrying-2").start()
        wait_until(lambda: len(nbflow.sql("FROM attempts")) == 1)
        handle.pause_activity("failing_first", "look into it")
        env.sleep("2 hours")
        assert nbflow.sql("FROM activities")[["status", "paused"]].values.tolist() == [["Scheduled", True]]
        assert (handle.status, len(attempts)) == ("Running", 1)
    with WorkflowEnvironment(tmp_path / "a.duckdb") as env:
        env.sleep("2 hours")
        assert len(attempts) == 1
        handle = nbflow.get("retrying-2")
        handle.unpause_activity(2)
        assert handle.result(timeout=10) == 2
        assert "WorkflowExecutionPaused" not in event_types(handle)
        assert nbflow.sql("SELECT kind FROM notes").kind.tolist() == ["ActivityPaused", "ActivityUnpaused"]


def test_retry_now_ends_a_backoff(env: WorkflowEnvironment) -> None:
    """The next attempt begins at once, and the log says who asked for it; when none waits, that is said."""
    attempts.clear()
    handle = retrying.start()
    wait_until(lambda: len(nbflow.sql("FROM attempts")) == 1)
    began = time.monotonic()
    handle.retry_now()
    wait_until(lambda: len(attempts) == 2)
    assert time.monotonic() - began < 5
    assert handle.result(timeout=10) == 2
    assert nbflow.sql("SELECT body->>'identity' AS who FROM notes").who[0].endswith("@nbflow")
    with pytest.raises(ClientError):
        pausable.start().retry_now()


def test_a_paused_execution_is_moved_to_edited_code_and_goes_on_with_it(env: WorkflowEnvironment) -> None:
    """The edit is tried on its history as on any other's; the end of the pause runs the new code."""

    @workflow(name="edited_in_a_pause")
    def before() -> object:
        return nbflow.wait_for_signal("word")

    handle = before.start()
    handle.pause()
    handle.signal("word", 1)

    @workflow(name="edited_in_a_pause")
    def after() -> object:
        return nbflow.wait_for_signal("word"), paused_step(1)

    nbflow.code_check("edited_in_a_pause")
    assert handle.status == "Paused"
    handle.unpause()
    assert handle.result(timeout=10) == (1, 2)
    assert replays(handle, env)
