"""What ends an execution before its start delay is over: its code never runs, and its history can be read back."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

import nbflow
from nbflow import workflow
from nbflow.client import WorkflowHandle
from nbflow.engine.engine import EngineOptions
from nbflow.exceptions import WorkflowFailedError
from nbflow.testing import WorkflowEnvironment, replay_check
from tests.engine.helpers import event_types


@workflow(start_delay="1 hour")
def delayed_for_long() -> int:
    """Never begin."""
    return 1


def ending(handle: WorkflowHandle) -> str:
    """Wait for an end that is no result."""
    with pytest.raises(WorkflowFailedError) as caught:
        handle.result(timeout=10)
    return caught.value.status


@pytest.mark.parametrize("timeout", ["1 minute", "1 hour"])
def test_time_is_up_before_the_start(timeout: str) -> None:
    """An execution timeout that is no longer than the start delay ends the execution."""
    with WorkflowEnvironment():
        handle = delayed_for_long.options(execution_timeout=timeout).start()
        assert ending(handle) == "TimedOut"
        assert event_types(handle) == ["Started", "TimedOut"]


@pytest.mark.parametrize("restarts", [False, True])
def test_terminated_before_the_start(restarts: bool, tmp_path: Path) -> None:
    """Termination ends it at once, in memory and after a restart."""
    with WorkflowEnvironment(tmp_path / "s.duckdb") as env:
        delayed_for_long.options(id="one").start()
        if restarts:
            env.restart()
        nbflow.get("one").terminate("no need")
        assert ending(nbflow.get("one")) == "Terminated"
        assert event_types(nbflow.get("one")) == ["Started", "Terminated"]


def test_terminated_after_the_delay_and_before_the_start() -> None:
    """The delay passed while nobody ran it: its history still says that its code never began."""
    with WorkflowEnvironment(options=EngineOptions(look_ahead=1.0)) as env:
        delayed_for_long.options(id="one").start()
        env.restart()
        env.clock.skip_to(env.clock.now() + 7200 * 1_000_000)
        env.client.engine.call(lambda answer: late_termination(env, answer))
        started, ended = nbflow.get("one").history()
        assert ended.event_time < started.event_time + 3600 * 1_000_000
        assert replay_check(workflow="delayed_for_long").replayed.total() == 1


def late_termination(env: WorkflowEnvironment, answer: Future[None]) -> None:
    """Terminate it on the engine's thread, before it is brought back."""
    requests = env.client.engine.requests
    assert not env.client.engine.residency.executions
    requests.terminate("one", None, "", answer)
