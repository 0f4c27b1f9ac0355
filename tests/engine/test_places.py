"""Who may start: limits of activity types, priorities, and turns between executions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.engine.engine import EngineOptions
from nbflow.exceptions import ActivityError, ConfigurationError
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import events_of, wait_until

begun: list[Any] = []
under_way: list[int] = [0, 0]
lock = threading.Lock()
gate = threading.Event()


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Forget what earlier tests noted."""
    begun.clear()
    under_way[:] = [0, 0]
    gate.clear()
    yield
    gate.set()


def one_place() -> WorkflowEnvironment:
    """An engine with a single thread."""
    return WorkflowEnvironment(options=EngineOptions(threads=1, look_ahead=1e9))


def work(x: Any) -> Any:
    """Count who is under way."""
    with lock:
        begun.append(x)
        under_way[0] += 1
        under_way[1] = max(under_way)
    time.sleep(0.002)
    with lock:
        under_way[0] -= 1
    return x


@activity(max_concurrency=2, retry=RetryPolicy(initial_interval=0.01))
def limited_to_two(x: int) -> int:
    """Work; every third item fails once."""
    work(x)
    if x % 3 == 0 and nbflow.activity_info().attempt == 1:
        msg = "again"
        raise RuntimeError(msg)
    return x


@activity
def unlimited(x: Any) -> Any:
    """Wait at the gate, then note the item."""
    if x == "first":
        begun.append("waiting")
        gate.wait(10)
        return x
    begun.append(x)
    return x


@workflow
def many(n: int) -> int:
    """Ask for all at once."""
    return sum(limited_to_two.map(range(n)))


@workflow
def asks(items: list[Any], priority: int | None) -> list[Any]:
    """Ask for all at once, with a priority."""
    return unlimited.options(priority=priority).map(items)


def test_no_more_at_once_than_allowed_over_executions_and_retries() -> None:
    """The limit holds for the activity type in the whole store."""
    with WorkflowEnvironment():
        handles = [many.start(9) for _ in range(3)]
        assert [handle.result() for handle in handles] == [36, 36, 36]
    assert under_way[1] == 2
    assert len(begun) == 3 * (9 + 3)


def test_those_that_wait_for_a_limit_hold_up_nobody_else() -> None:
    """An activity without a limit passes a long line of limited ones."""

    @activity(max_concurrency=1)
    def one_by_one(x: int) -> int:
        gate.wait(10)
        return x

    @workflow
    def both() -> list[Any]:
        slow = [one_by_one.start(i) for i in range(5)]
        return [unlimited("quick"), [handle.result() for handle in slow]]

    with WorkflowEnvironment() as env:
        handle = both.start()
        wait_until(lambda: "quick" in begun)
        rows = env.client.rows(
            "SELECT status, count(*) AS n FROM activities WHERE activity_type = 'one_by_one' GROUP BY ALL ORDER BY ALL"
        )
        assert [(row["status"], row["n"]) for row in rows] == [
            ("Scheduled", 4),
            ("Started", 1),
        ]
        gate.set()
        assert handle.result() == ["quick", [0, 1, 2, 3, 4]]


def test_a_limit_holds_after_a_restart(tmp_path: Path) -> None:
    """What waited when the store was closed is let in by the same limit."""
    with WorkflowEnvironment(tmp_path / "s.duckdb", options=EngineOptions(threads=0)):
        many.options(id="many").start(8)
    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        assert nbflow.get("many").result() == 28
    assert under_way[1] == 2


def test_a_rate_limit_spreads_starts_over_time() -> None:
    """No span of the given length sees more starts than allowed."""

    @activity(rate_limit="3/m")
    def rated(x: int) -> int:
        return x

    @workflow
    def rating() -> list[int]:
        return rated.map(range(8))

    with WorkflowEnvironment():
        handle = rating.start()
        assert handle.result() == list(range(8))
        starts = sorted(event.started_time for event in events_of(handle, "ActivityTaskStarted"))  # type: ignore[attr-defined]
    assert all(later - earlier >= 59_000_000 for earlier, later in zip(starts, starts[3:], strict=False))
    assert starts[-1] - starts[0] < 140_000_000


def test_the_time_to_start_counts_while_a_limit_keeps_it_waiting() -> None:
    """schedule_to_start_timeout ends the wait for a limit."""

    @activity(rate_limit=(1, "1 hour"), schedule_to_start_timeout="5 min")
    def rarely(x: int) -> int:
        return x

    @workflow
    async def too_many() -> list[Any]:
        found = await rarely.map([1, 2], return_exceptions=True)
        return [x if isinstance(x, int) else str(x.__cause__) for x in found if not isinstance(x, ActivityError)] + [
            str(x.cause) for x in found if isinstance(x, ActivityError)
        ]

    with WorkflowEnvironment():
        first, second = too_many.start().result()
    assert first == 1
    assert "SCHEDULE_TO_START" in second.upper()


def test_urgent_activities_go_first() -> None:
    """With one place, a lower priority number overtakes what waits, also what was handed to the threads already."""
    with one_place():
        first = asks.start(["first"], None)
        wait_until(lambda: bool(begun))
        handles = [asks.start([f"low{i}" for i in range(4)], 5), asks.start(["usual"], None), asks.start(["high"], 1)]
        wait_until(lambda: all(events_of(handle, "ActivityTaskScheduled") for handle in handles))
        gate.set()
        for handle in (first, *handles):
            handle.result()
    assert begun.index("high") < begun.index("usual") < begun.index("low3")


def test_a_workflow_passes_its_priority_on() -> None:
    """Activities have their workflow's priority unless they have their own; history says so once."""

    @workflow(priority=2)
    def hurried() -> list[Any]:
        return [unlimited("a"), unlimited.options(priority=4)("b")]

    with WorkflowEnvironment():
        handle = hurried.start()
        handle.result()
        events = handle.history()
    assert events[0].priority == 2  # type: ignore[attr-defined]
    assert [event.priority for event in events if type(event).__name__ == "ActivityTaskScheduled"] == [None, 4]  # type: ignore[attr-defined]


def test_executions_take_turns() -> None:
    """One that asks for a thousand activities does not keep the next execution waiting for all of them."""
    with one_place():
        first = asks.start(["first"], None)
        wait_until(lambda: bool(begun))
        big = asks.start(list(range(200)), None)
        wait_until(lambda: len(events_of(big, "ActivityTaskScheduled")) == 200)
        small = asks.start(["small"], None)
        wait_until(lambda: bool(events_of(small, "ActivityTaskScheduled")))
        gate.set()
        for handle in (first, big, small):
            handle.result()
    assert begun.index("small") < 40


def test_a_changed_limit_counts_at_once() -> None:
    """A cell that is run again with another limit changes it for those that wait."""

    def define(limit: int) -> Any:
        @activity(max_concurrency=limit)
        def redefined(x: int) -> int:
            return int(work(x))

        return redefined

    redefined = define(1)

    @workflow
    def uses_redefined() -> list[int]:
        return redefined.map(range(6))

    with WorkflowEnvironment():
        uses_redefined()
        assert under_way[1] == 1
        define(4)
        uses_redefined()
    assert under_way[1] > 1


@pytest.mark.parametrize(
    "options",
    [
        {"max_concurrency": 0},
        {"rate_limit": "many"},
        {"rate_limit": "0/s"},
        {"rate_limit": (5, "soon")},
        {"priority": 6},
    ],
)
def test_impossible_limits(options: dict[str, Any]) -> None:
    """A limit that makes no sense is refused by name."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        activity(**options)


def test_limits_are_not_of_one_call() -> None:
    """A limit of the type can't be changed by a call."""
    with pytest.raises(ConfigurationError, match="holds for all calls"):
        unlimited.options(max_concurrency=3)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", (10, 1.0)),
        ("5/ m", (5, 60.0)),
        ("100/5m", (100, 300.0)),
        ((7, "1 day"), (7, 86400.0)),
        ([2, 3], (2, 3.0)),
    ],
)
def test_ways_to_write_a_rate(text: Any, rate: tuple[int, float]) -> None:
    """A rate is a number and a span."""
    assert activity(rate_limit=text)(work)._options.rate_limit == rate
