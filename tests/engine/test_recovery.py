"""Opening a store again: what was running goes on, and nothing that was done is done twice."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.client import Client, use_client
from nbflow.core.definitions import REGISTRY
from nbflow.engine.engine import EngineOptions
from nbflow.exceptions import ActivityError
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, wait_until

calls: list[Any] = []


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A store file; forgets what earlier tests noted."""
    calls.clear()
    return str(tmp_path / "store.duckdb")


@activity
def note(x: Any) -> Any:
    """Note the call."""
    calls.append(x)
    return x


@workflow
def two_steps() -> list[str]:
    """Do one thing before, and one after a signal."""
    first = note("first")
    word = nbflow.wait_for_signal("go")
    return [first, word, note("second")]


def test_a_waiting_execution_goes_on(path: str) -> None:
    """What was done before the store was closed is not done again."""
    with WorkflowEnvironment(path):
        handle = two_steps.options(id="w").start()
        wait_until(lambda: "ActivityTaskCompleted" in event_types(handle))

    with WorkflowEnvironment(path):
        handle = nbflow.get("w")
        handle.signal("go", "now")
        assert handle.result() == ["first", "now", "second"]

    assert calls == ["first", "second"]


def test_a_closed_execution_keeps_its_result(path: str) -> None:
    """Results and failures are read from the log."""
    with WorkflowEnvironment(path):
        handle = two_steps.options(id="w").start()
        handle.signal("go", "now")
        handle.result()

    with WorkflowEnvironment(path):
        assert nbflow.get("w").result() == ["first", "now", "second"]
        assert nbflow.get("w").status == "Completed"


def test_timers_survive(path: str) -> None:
    """A timer keeps its deadline while nobody looks."""

    @workflow
    def sleeping() -> str:
        nbflow.sleep("30 days")
        return "rested"

    with WorkflowEnvironment(path) as env:
        handle = sleeping.options(id="s").start()
        due = nbflow.sql("FROM timers")["fire_time"][0]
        start = env.now()

    with WorkflowEnvironment(path, start=start) as env:
        assert nbflow.get("s").result(timeout=10) == "rested"
        assert env.now() >= due
    assert handle.workflow_id == "s"


def test_an_attempt_under_way_is_lost_and_made_again(path: str) -> None:
    """An attempt whose process went away counts, and is followed by another."""
    release, started = threading.Event(), threading.Event()

    @activity
    def hanging() -> int:
        started.set()
        number = nbflow.activity_info().attempt
        if number == 1:
            release.wait(10)
        return number

    @workflow
    def hung() -> int:
        return hanging()

    with WorkflowEnvironment(path):
        hung.options(id="h").start()
        assert started.wait(5)
    with WorkflowEnvironment(path):
        assert nbflow.get("h").result(timeout=10) == 2
        outcomes = nbflow.sql("SELECT attempt, outcome FROM attempts ORDER BY attempt").values.tolist()
    release.set()

    assert outcomes == [[1, "Lost"], [2, "Completed"]]


def test_a_lost_single_attempt_fails_the_activity(path: str) -> None:
    """With maximum_attempts=1 a lost attempt is not made again."""
    release, started = threading.Event(), threading.Event()

    @activity(retry=1)
    def once() -> None:
        started.set()
        release.wait(10)

    @workflow
    def careful() -> str:
        try:
            once()
        except ActivityError as error:
            return str(error.__cause__)
        return ""

    with WorkflowEnvironment(path):
        careful.options(id="c").start()
        assert started.wait(5)
    with WorkflowEnvironment(path):
        assert "was lost" in nbflow.get("c").result(timeout=10)
    release.set()


def test_what_was_queued_was_not_lost(path: str) -> None:
    """An activity that found no place before the end has used up no attempt."""
    release, started = threading.Event(), threading.Event()

    @activity(retry=1)
    def crowded(x: int) -> int:
        if x == 0:
            started.set()
            release.wait(10)
        return x

    @workflow
    def crowd() -> list[Any]:
        return [str(r) for r in crowded.map(range(4), return_exceptions=True)]

    options = EngineOptions(threads=1)
    with WorkflowEnvironment(path, options=options):
        crowd.options(id="c").start()
        assert started.wait(5)
    release.set()
    with WorkflowEnvironment(path, options=options):
        results = nbflow.get("c").result(timeout=10)

    assert "was lost" in results[0]
    assert results[1:] == ["1", "2", "3"]


def test_backoff_survives(path: str) -> None:
    """An activity that waits for its next attempt keeps its number and its time."""

    @activity(retry=RetryPolicy(initial_interval="1 hour"))
    def flaky() -> int:
        number = nbflow.activity_info().attempt
        if number == 1:
            msg = "down"
            raise ConnectionError(msg)
        return number

    @workflow
    def retrying() -> int:
        return flaky()

    with WorkflowEnvironment(path):
        retrying.options(id="r").start()
        wait_until(lambda: len(nbflow.sql("FROM attempts")) == 1)
    with WorkflowEnvironment(path):
        assert nbflow.get("r").result(timeout=10) == 2


def test_heartbeat_details_reach_the_next_attempt(path: str) -> None:
    """``track`` goes on behind the last item that was done."""
    seen: list[int] = []

    @activity(retry=RetryPolicy(initial_interval=0.01))
    def tracked() -> int:
        for item in nbflow.track(range(10)):
            if item == 4 and nbflow.activity_info().attempt == 1:
                msg = "down"
                raise ConnectionError(msg)
            seen.append(item)
        return len(seen)

    @workflow
    def tracking() -> int:
        return tracked()

    with WorkflowEnvironment(path):
        assert tracking.start().result(timeout=10) == 10
    assert seen == list(range(10))


def test_definitions_come_from_the_store(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An execution goes on in a process whose cells have not run."""
    source = (
        "import math\nfrom nbflow import activity, workflow, wait_for_signal\nFACTOR = 3\n"
        "def helper(x):\n    return math.floor(x) * FACTOR\n"
        "@activity\ndef step(x):\n    return helper(x)\n"
        "@workflow\ndef stored(x):\n    a = step(x)\n    wait_for_signal('go')\n    return a + step(helper(1.5))\n"
    )
    import linecache

    cell = "<ipython-input-stored>"
    linecache.cache[cell] = (len(source), None, source.splitlines(keepends=True), cell)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, cell, "exec"), namespace)
    with WorkflowEnvironment(path):
        namespace["stored"].options(id="s").start(2.5)
        wait_until(lambda: "ActivityTaskCompleted" in event_types(nbflow.get("s")))

    monkeypatch.setattr(REGISTRY, "_current", {})
    monkeypatch.setattr(REGISTRY, "_by_hash", {})
    with WorkflowEnvironment(path):
        nbflow.get("s").signal("go")
        assert nbflow.get("s").result(timeout=10) == 6 + 9


def test_an_activity_nobody_defined_blocks_until_somebody_does(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The execution says what is missing and goes on when it is defined."""

    @activity(name="late")
    def first() -> int:
        return 1

    @workflow
    def needing() -> int:
        return first()

    monkeypatch.setattr(REGISTRY, "_current", {})
    with WorkflowEnvironment(path):
        handle = needing.start()
        wait_until(lambda: len(nbflow.sql("FROM logs")) == 1)
        assert "no activity 'late' is defined" in nbflow.sql("FROM logs")["message"][0]

        @activity(name="late")
        def second() -> int:
            return 2

        assert handle.result(timeout=10) == 2


def test_opening_twice_in_one_process_gives_the_same_client(path: str) -> None:
    """``nbflow.open`` of what is open already changes nothing."""
    previous = use_client(None)
    try:
        first = nbflow.open(path)
        assert nbflow.open(path) is first
        nbflow.close()
        second = nbflow.open(path)
        assert isinstance(second, Client)
        assert second is not first
    finally:
        nbflow.close()
        use_client(previous)


def test_a_restored_activity_keeps_its_options(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry policy and timeouts are part of the stored definition."""

    @activity(retry=RetryPolicy(maximum_attempts=7, non_retryable_error_types=["OSError"]), start_to_close_timeout="5m")
    def patient(x: int) -> int:
        return x

    @workflow
    def asking() -> int:
        nbflow.wait_for_signal("go")
        return patient(3)

    with WorkflowEnvironment(path):
        asking.options(id="a").start()
    monkeypatch.setattr(REGISTRY, "_current", {})
    monkeypatch.setattr(REGISTRY, "_by_hash", {})
    with WorkflowEnvironment(path):
        handle = nbflow.get("a")
        handle.signal("go")
        assert handle.result(timeout=10) == 3
        scheduled = handle.history()[2]

    assert scheduled.start_to_close_timeout == 300
    assert scheduled.retry_policy["maximum_attempts"] == 7
    assert scheduled.retry_policy["non_retryable_error_types"] == ["OSError"]
