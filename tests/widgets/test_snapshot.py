"""Snapshots: what the views read from a real log."""

from __future__ import annotations

import pytest

import nbflow
from nbflow.exceptions import WorkflowNotFoundError
from nbflow.testing import WorkflowEnvironment
from nbflow.widgets.snapshot import read_counts, read_execution, read_progress


@nbflow.activity(retry=nbflow.RetryPolicy(maximum_attempts=2, initial_interval=1))
def collect_one(number: int) -> int:
    if number == 3 or (number == 2 and nbflow.activity_info().attempt == 1):
        raise OSError("no route")
    return number


@nbflow.workflow
def collect(numbers: list[int]) -> int:
    total = sum(collect_one.map(numbers))
    nbflow.sleep("30 days", summary="nap")
    return total


@nbflow.workflow
def approve() -> str:
    nbflow.gather(*[sleep_long(n) for n in range(12)])
    return "never"


async def sleep_long(number):
    await nbflow.sleep(f"{number + 1} days", summary=f"day {number + 1}")


@pytest.fixture
def env():
    with WorkflowEnvironment() as environment:
        yield environment


def read(env, handle):
    _ = handle.status
    return read_execution(env.client, handle.workflow_id, handle.run_id, env.client.engine.clock.now())


def test_a_completed_execution_is_read_whole(env):
    """Counts, attempts, result and duration come from the log."""
    handle = collect.options(id="report").start([1, 2])
    handle.result()
    view = read(env, handle)
    assert (view["workflow_id"], view["status"], view["result"], view["input"]) == (
        "report",
        "Completed",
        "3",
        "[[1, 2]]",
    )
    assert view["groups"] == [
        {"activity_type": "collect_one", "total": 2, "done": 2, "states": {"Completed": 2}, "retried": 1, "retries": 1}
    ]
    assert [row["attempt"] for row in view["activities"]] == [2]
    assert view["duration"] >= 30 * 86400


def test_a_failed_execution_is_read_with_its_causes(env):
    """The chain goes from the workflow's failure to what user code raised, with the traceback."""
    handle = collect.start([3])
    with pytest.raises(nbflow.exceptions.WorkflowFailedError):
        handle.result()
    view = read(env, handle)
    assert [link["type"] for link in view["failures"]] == ["ActivityError", "OSError"]
    assert "no route" in view["failures"][-1]["stack_trace"]
    assert view["activities"][0]["status"] == "Failed"


def test_pending_timers_are_read_soonest_first_and_not_without_end(env):
    """Ten are listed, all are counted."""
    handle = approve.start()
    view = read(env, handle)
    assert [timer["label"] for timer in view["timers"][:2]] == ["day 1", "day 2"]
    assert (len(view["timers"]), view["timers_total"], view["awaits"]) == (10, 12, "10 timers")
    handle.terminate()


def test_signals_are_counted_by_name(env):
    """What came in is there, whether it was read or not."""
    handle = approve.start()
    handle.signal("go")
    handle.signal("go", 2)
    assert read(env, handle)["signals"] == {"go": 2}
    handle.terminate("enough")
    assert read(env, handle)["failures"][0]["message"] == "enough"


def test_progress_is_read_in_two_small_queries(env):
    """One line needs counts and the next timer, and asks for nothing else."""
    handle = approve.start()
    _ = handle.status
    asked = []

    class Counting:
        def rows(self, query, parameters=()):
            asked.append(query)
            return env.client.rows(query, parameters)

    progress = read_progress(Counting(), handle.workflow_id, handle.run_id, "Running", env.client.engine.clock.now())
    assert (progress["next_timer"]["label"], len(asked)) == ("day 1", 2)
    handle.terminate()


def test_a_run_that_is_not_there_is_an_error(env):
    """A view of nothing would look like an execution without activities."""
    with pytest.raises(WorkflowNotFoundError):
        read_execution(env.client, "x", "no-such-run", 0)


def test_a_store_is_counted(env):
    """What status shows adds up."""
    collect.start([1]).result()
    handle = approve.start()
    _ = handle.status
    counts = read_counts(env.client)
    assert (counts["executions"], counts["open_executions"], counts["pending_timers"]) == (2, 1, 12)
    assert counts["next_timer"] is not None
    handle.terminate()
