"""``.map`` with a completion policy and a limit of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.exceptions import MapError, WorkflowFailedError
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import events_of

under_way: list[int] = []
most: list[int] = []
lock = threading.Lock()


@pytest.fixture
def env() -> Iterator[WorkflowEnvironment]:
    """An engine over a store in memory; nothing was counted yet."""
    under_way.clear()
    most.clear()
    with WorkflowEnvironment() as environment:
        yield environment


@activity(retry=1)
def map_item(x: int) -> int:
    """Fail for negative items."""
    with lock:
        under_way.append(x)
        most.append(len(under_way))
    time.sleep(0.002)
    with lock:
        under_way.remove(x)
    if x < 0:
        msg = f"no {x}"
        raise ValueError(msg)
    return 10 * x


@activity
def map_waiting(x: int) -> int:
    """Wait to be cancelled, unless it is the first."""
    while x:
        nbflow.heartbeat()
        time.sleep(0.001)
    return x


@workflow
def mapped(items: list[int], options: dict[str, Any]) -> Any:
    """Map with options and tell how it ended."""
    found = map_item.map(items, **options)
    if isinstance(found, list):
        return [x if isinstance(x, int) else type(x).__name__ for x in found]
    return {"results": found.results, "failed": list(found.failed), "cancelled": list(found.cancelled)}


def test_so_many_at_a_time(env: WorkflowEnvironment) -> None:
    """No more than max_concurrency are under way, and the results are in order."""
    assert mapped(list(range(20)), {"max_concurrency": 3}) == [10 * x for x in range(20)]
    assert max(most) == 3


def test_each_starts_as_one_ends(env: WorkflowEnvironment) -> None:
    """Activities are scheduled one by one behind outcomes, not in rounds."""
    handle = mapped.start(list(range(6)), {"max_concurrency": 2})
    handle.result()

    positions = [event.event_id for event in events_of(handle, "ActivityTaskScheduled")]
    assert positions == [2, 3, 6, 9, 12, 15]


def test_without_a_policy_the_first_failure_is_raised_and_the_rest_not_begun(env: WorkflowEnvironment) -> None:
    """One failure ends the map."""
    handle = mapped.start([1, -1, 2, 3, 4], {"max_concurrency": 1})
    with pytest.raises(WorkflowFailedError, match="no -1"):
        handle.result()
    assert len(events_of(handle, "ActivityTaskScheduled")) == 2


def test_failures_can_stand_in_place_of_results(env: WorkflowEnvironment) -> None:
    """With return_exceptions nothing is raised."""
    assert mapped([1, -1, 2], {"max_concurrency": 2, "return_exceptions": True}) == [10, "ActivityError", 20]


def test_tolerated_failures(env: WorkflowEnvironment) -> None:
    """A policy gives a MapResult: what succeeded, what failed."""
    assert mapped([1, -1, 2, -2], {"tolerated_failures": 2}) == {"results": [10, 20], "failed": [1, 3], "cancelled": []}
    assert mapped([1, -1], {"tolerated_failure_percentage": 50})["failed"] == [1]


def test_too_many_failures(env: WorkflowEnvironment) -> None:
    """The error counts, names the first failures, and has the first as its cause."""
    with pytest.raises(WorkflowFailedError) as caught:
        mapped([-1, -2, 1, 2], {"tolerated_failures": 1, "max_concurrency": 1})

    error = caught.value.cause
    assert "2 of 4 calls failed where 1 were tolerated (0 succeeded, 2 were cancelled): item 0" in str(error)
    assert "no -1" in str(error.__cause__)


def test_enough_successes_cancel_the_rest(env: WorkflowEnvironment) -> None:
    """The map is done with the first success; the others are cancelled."""

    @workflow
    def first_of() -> Any:
        found = map_waiting.map([1, 2, 0, 3], min_successful=1)
        return [list(found), len(found), found[0], list(found.cancelled)]

    handle = first_of.start()
    assert handle.result() == [[0], 1, 0, [0, 1, 3]]
    assert len(events_of(handle, "ActivityTaskCancelRequested")) == 3


def test_more_successes_than_there_are_items(env: WorkflowEnvironment) -> None:
    """What can't succeed is not begun; with return_exceptions the result tells."""
    assert mapped([1], {"min_successful": 2, "return_exceptions": True})["cancelled"] == [0]
    with pytest.raises(WorkflowFailedError, match="2 had to succeed"):
        mapped([1], {"min_successful": 2})


def test_the_error_holds_the_result(env: WorkflowEnvironment) -> None:
    """Workflow code can go on with what succeeded."""

    @workflow
    async def rescued() -> Any:
        try:
            await map_item.map([1, -1, 2], tolerated_failures=0, max_concurrency=1)
        except MapError as error:
            return error.result.results

    assert rescued.start().result() == [10]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_concurrency", 0),
        ("min_successful", -1),
        ("tolerated_failures", 1.5),
        ("tolerated_failure_percentage", "x"),
    ],
)
def test_impossible_options(env: WorkflowEnvironment, option: str, value: Any) -> None:
    """A number that makes no sense is refused by name."""
    with pytest.raises(WorkflowFailedError, match=option) as caught:
        mapped([1], {option: value})
    assert getattr(caught.value.cause, "type", None) == "ConfigurationError"


def test_cancelling_the_workflow_cancels_what_is_under_way(env: WorkflowEnvironment) -> None:
    """The map passes the cancellation on."""

    @workflow
    def waits_for_all() -> Any:
        return map_waiting.map([1, 2, 3], max_concurrency=2)

    handle = waits_for_all.start()
    handle.cancel()
    with pytest.raises(WorkflowFailedError):
        handle.result()
    assert handle.status == "Canceled"
    assert len(events_of(handle, "ActivityTaskScheduled")) == 2
