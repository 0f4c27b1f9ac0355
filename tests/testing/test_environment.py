"""The test environment: time that skips, restarts, and its use as a default client, in async code too."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.exceptions import EngineClosedError, TimeoutError  # noqa: A004  Temporal's name
from nbflow.testing import WorkflowEnvironment


@activity(retry=RetryPolicy(initial_interval=3600))
def env_work(x: int) -> int:
    """Double."""
    return 2 * x


@workflow
def env_sleeper(days: int) -> str:
    """Sleep and tell the time."""
    nbflow.sleep(days * 86400)
    return nbflow.now().isoformat()


@workflow
async def env_listener() -> list[Any]:
    """Wait for a word, then work."""
    return [await nbflow.wait_for_signal("say"), await env_work(4)]


def test_time_skips_while_somebody_waits() -> None:
    """A month passes in a moment, and the environment's clock knows."""
    with WorkflowEnvironment(start=datetime(2026, 1, 1, tzinfo=UTC)) as env:
        began = time.monotonic()
        ended = datetime.fromisoformat(env.execute(env_sleeper, 30))
        assert time.monotonic() - began < 10
        assert timedelta(0) <= ended - datetime(2026, 1, 31, tzinfo=UTC) < timedelta(minutes=1)
        assert ended <= env.now() < ended + timedelta(minutes=1)


def test_time_stands_while_nobody_waits() -> None:
    """A started execution sleeps on until the test skips over it: not before."""
    with WorkflowEnvironment() as env:
        handle, began = env.start(env_sleeper, 30), env.now()
        env.sleep("29 days")
        assert handle.status == "Running"
        env.skip("2 days")
        assert handle.status == "Completed"
        assert timedelta(days=31) <= env.now() - began < timedelta(days=31, minutes=1)


def test_time_stands_while_an_activity_runs() -> None:
    """A waiting caller does not make time jump over the timeout of an activity at work."""
    go = threading.Event()

    @activity(start_to_close_timeout="1 hour", retry=1)
    def env_blocked() -> str:
        go.wait(10)
        return "in time"

    @workflow
    async def env_beside_a_timer() -> str:
        timer = asyncio.ensure_future(asyncio.sleep(60))
        answer: str = await env_blocked()
        assert not timer.done()
        return answer

    with WorkflowEnvironment() as env:
        handle = env.start(env_beside_a_timer)
        threading.Timer(0.2, go.set).start()
        assert handle.result(timeout=10) == "in time"


def test_a_block_without_automatic_skipping() -> None:
    """In the block a waiting caller really waits; sleep still skips."""
    with WorkflowEnvironment() as env:
        handle = env.start(env_sleeper, 30)
        with env.auto_time_skipping_disabled():
            with pytest.raises(TimeoutError):
                handle.result(timeout=0.2)
            env.sleep("31 days")
            assert handle.status == "Completed"
        assert handle.result()


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("store", [None, "s.duckdb"])
def test_a_restart_goes_on_from_the_log(store: str | None, crash: bool, tmp_path: Path) -> None:
    """What was acknowledged before a restart or a crash is there after it, in memory too."""
    with WorkflowEnvironment(store and tmp_path / store) as env:
        env.start(env_listener.options(id="one"))
        old = env.get("one")
        env.restart(crash=crash)
        with pytest.raises(EngineClosedError):
            old.signal("say", "lost")
        env.get("one").signal("say", "hello")
        env.restart(crash=crash)
        assert nbflow.get("one").result(timeout=10) == ["hello", 8]


def test_what_ran_at_the_crash_runs_again_as_another_attempt() -> None:
    """An attempt under way is lost with its process, and counted."""
    attempts, go = [], threading.Event()

    @activity
    def env_interrupted() -> int:
        attempts.append(nbflow.activity_info().attempt)
        if len(attempts) == 1:
            go.wait(10)
        return attempts[-1]

    @workflow
    def env_runs_interrupted() -> int:
        return env_interrupted()

    with WorkflowEnvironment() as env:
        env.start(env_runs_interrupted.options(id="one"))
        while not attempts:
            time.sleep(0.001)
        env.restart(crash=True)
        go.set()
        assert env.get("one").result(timeout=10) == 2
        assert attempts == [1, 2]


async def in_async_code() -> tuple[Any, Any]:
    """Use an environment as async code does."""
    async with WorkflowEnvironment() as env:
        handle = env.start(env_listener)
        sleeper = env.start(env_sleeper, 30)
        await env.sleep_async("1 day")
        handle.signal("say", "hi")
        return await handle, await sleeper


def test_async_with() -> None:
    """The environment serves async tests: handles are awaited, time skips meanwhile."""
    answer, ended = asyncio.run(in_async_code())
    assert answer == ["hi", 8]
    assert datetime.fromisoformat(ended)


def test_a_closed_environment_says_so() -> None:
    """Outside of its block the environment refuses, and nothing hangs."""
    env = WorkflowEnvironment()
    with pytest.raises(EngineClosedError, match="with block"):
        env.sleep(1)
    with env:
        assert env.execute(env_sleeper.options(id="x"), 1)
        assert env.sql("SELECT count(*) AS n FROM executions")["n"].tolist() == [1]
    env.close()
    with pytest.raises(EngineClosedError):
        env.start(env_sleeper, 1)
