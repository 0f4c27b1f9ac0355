"""Runs that follow one another: continue-as-new and workflow RetryPolicies, their deadlines, and who follows them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.exceptions import ConfigurationError, WorkflowContinuedAsNewError, WorkflowError, WorkflowFailedError
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, events_of, wait_until


def rows(query: str) -> list[tuple[Any, ...]]:
    """Run SQL."""
    return [tuple(row) for row in nbflow.sql(query).itertuples(index=False)]


@activity
def chain_step(x: int) -> int:
    """Add one."""
    return x + 1


@workflow
def counting(page: int) -> Any:
    """Three runs, each with one step."""
    info = nbflow.info()
    page = chain_step(page)
    if page < 3:
        nbflow.continue_as_new(page)
    return page, dict(info.memo), dict(info.search_attributes), info.first_execution_run_id


def test_a_chain_of_runs(env: WorkflowEnvironment) -> None:
    """Same id, memo and search attributes; the handle of the first run gives the result of the last."""
    begun = env.now()
    handle = counting.options(id="count", memo={"a": 1}, search_attributes={"city": "Oslo"}).start(0)

    assert handle.result(timeout=10) == (3, {"a": 1}, {"city": "Oslo"}, handle.run_id)
    assert (env.now() - begun).total_seconds() < 1, "a run that waited for something is not slowed down"
    assert handle.status == "ContinuedAsNew"
    assert event_types(handle)[-1] == "WorkflowExecutionContinuedAsNew"
    columns = "run_id, first_run_id, coalesce(previous_run_id, '-'), coalesce(next_run_id, '-'), status"
    chain = rows(f"SELECT {columns} FROM executions ORDER BY start_time")
    runs = [row[0] for row in chain]
    assert chain == [
        (runs[0], runs[0], "-", runs[1], "ContinuedAsNew"),
        (runs[1], runs[0], runs[0], runs[2], "ContinuedAsNew"),
        (runs[2], runs[0], runs[1], "-", "Completed"),
    ]
    assert nbflow.get("count").run_id == runs[2]
    with pytest.raises(WorkflowContinuedAsNewError) as caught:
        handle.result(follow_runs=False)
    assert caught.value.new_run_id == runs[1]


@pytest.mark.usefixtures("env")
def test_awaiting_a_chain() -> None:
    """``await handle`` follows the runs too."""

    async def wait() -> Any:
        return (await counting.start(0))[0]

    assert asyncio.run(wait()) == 3


@pytest.mark.usefixtures("env")
def test_the_new_run_may_be_otherwise() -> None:
    """Another workflow, another memo, another run timeout; what is not said stays."""

    @workflow
    def chain_end(x: int, *, word: str) -> Any:
        info = nbflow.info()
        return x, word, dict(info.memo), info.run_timeout, info.execution_timeout, info.retry_policy.maximum_attempts

    @workflow
    def chain_begin() -> None:
        chain_end.options(memo={"b": 2}, run_timeout="2 h").continue_as_new(5, word="on")

    options = {"memo": {"a": 1}, "run_timeout": "1 h", "execution_timeout": "1 day", "retry": 4}
    handle = chain_begin.options(**options).start()
    assert handle.result(timeout=10) == (5, "on", {"b": 2}, 7200, 86400, 4)

    @workflow
    def chain_wrong() -> None:
        chain_end.options(id="another").continue_as_new(5, word="on")

    with pytest.raises(WorkflowFailedError, match="can't change id") as caught:
        chain_wrong()
    assert caught.value.__cause__.type == ConfigurationError.__name__


def test_runs_that_wait_for_nothing_rest_a_second(env: WorkflowEnvironment) -> None:
    """An endless chain would not let the engine rest; the next run says what it waits for."""

    @workflow
    def hurrying(left: int) -> int:
        if left:
            nbflow.continue_as_new(left - 1)
        return left

    begun = env.now()
    handle = hurrying.start(3)
    assert handle.result(timeout=10) == 0
    assert 2.9 < (env.now() - begun).total_seconds() < 4
    assert 0.9 < handle.history()[-1].backoff_start_interval <= 1


def test_signals_reach_the_newest_run(env: WorkflowEnvironment) -> None:
    """By the workflow id and by the handle of the first run; none is lost between runs."""

    @workflow
    def collecting(seen: list[int], left: int) -> list[int]:
        @nbflow.query(name="seen")
        def tell() -> list[int]:
            return seen

        seen = [*seen, nbflow.wait_for_signal("n")]
        if left:
            nbflow.continue_as_new(seen, left - 1)
        return seen

    handle = collecting.start([], 9)
    for number in range(9):
        handle.signal("n", number)
        wait_until(lambda number=number: handle.query("seen") == list(range(number + 1)))
    nbflow.get(handle.workflow_id).signal("n", 9)
    assert handle.result(timeout=10) == list(range(10))
    assert rows("SELECT count(DISTINCT run_id) FROM signals") == [(10,)]


@pytest.mark.usefixtures("env")
def test_no_run_follows_from_an_update() -> None:
    """The caller of an update waits for an answer of this run; a signal's handler may go on as a new run."""

    @workflow
    def updated(told: str) -> str:
        @nbflow.update
        def go_on() -> None:
            nbflow.continue_as_new("by update")

        @nbflow.signal(name="on")
        def on() -> None:
            nbflow.continue_as_new("by signal")

        if not told:
            nbflow.wait_for_signal("never")
        return told

    handle = updated.start("")
    with pytest.raises(Exception, match="can't continue as new"):
        handle.update("go_on")
    handle.signal("on")
    assert handle.result(timeout=10) == "by signal"
    assert issubclass(WorkflowError, Exception)


@workflow
def attempting(until: int) -> Any:
    """Fail in the first attempts."""
    info = nbflow.info()
    chain_step(info.attempt)
    if info.attempt < until:
        msg = f"attempt {info.attempt}"
        raise ConnectionError(msg)
    return info.attempt, str(info.last_failure), info.continued_run_id is not None


def test_a_workflow_that_is_retried(env: WorkflowEnvironment) -> None:
    """Each attempt is a run, after the policy's intervals; the last one's result counts."""
    begun = env.now()
    policy = RetryPolicy(initial_interval="1 h", maximum_attempts=5)
    handle = attempting.options(id="retried", retry=policy).start(3)

    assert handle.result(timeout=10) == (3, "ConnectionError: attempt 2", True)
    assert (env.now() - begun).total_seconds() > 3 * 3600
    failed = handle.history()[-1]
    assert (failed.retry_state, failed.new_execution_run_id is not None) == ("IN_PROGRESS", True)
    started = nbflow.get("retried").history()[0]
    assert (started.initiator, started.attempt, started.first_execution_run_id) == ("RETRY", 3, handle.run_id)


@pytest.mark.usefixtures("env")
@pytest.mark.parametrize(
    ("policy", "retry_state", "runs"),
    [
        (RetryPolicy(initial_interval=1, maximum_attempts=2), "MAXIMUM_ATTEMPTS_REACHED", 2),
        (RetryPolicy(non_retryable_error_types=["ConnectionError"]), "NON_RETRYABLE_FAILURE", 1),
        (None, "RETRY_POLICY_NOT_SET", 1),
    ],
)
def test_a_workflow_that_is_given_up(policy: RetryPolicy | None, retry_state: str, runs: int) -> None:
    """The last failure says why no run follows."""
    handle = attempting.options(retry=policy).start(99)
    with pytest.raises(WorkflowFailedError, match="ConnectionError"):
        handle.result(timeout=10)
    assert rows("SELECT count(*) FROM executions") == [(runs,)]
    assert nbflow.get(handle.workflow_id).history()[-1].retry_state == retry_state


@workflow
def sleeping_long() -> None:
    """Sleep a day."""
    nbflow.sleep("1 day")


@pytest.mark.usefixtures("env")
def test_a_run_whose_time_is_up_is_retried() -> None:
    """The run timeout is of one run; the retry policy starts the next."""
    handle = sleeping_long.options(run_timeout="1 h", retry=RetryPolicy(maximum_attempts=3)).start()
    with pytest.raises(WorkflowFailedError, match="TimedOut"):
        handle.result(timeout=10)
    states = rows("SELECT status, attributes ->> 'retry_state' FROM executions JOIN events USING (run_id)"
                  " WHERE event_type = 'WorkflowExecutionTimedOut' ORDER BY event_time")  # fmt: skip
    assert states == [("TimedOut", "IN_PROGRESS")] * 2 + [("TimedOut", "MAXIMUM_ATTEMPTS_REACHED")]


def test_the_execution_timeout_spans_all_runs(env: WorkflowEnvironment) -> None:
    """Runs that follow one another share one deadline, by retry and by continue-as-new."""

    @workflow
    def going_on(n: int) -> None:
        nbflow.sleep("1 h")
        nbflow.continue_as_new(n + 1)

    for begun, handle in [
        (env.now(), sleeping_long.options(execution_timeout="10 h", run_timeout="3 h", retry=99).start()),
        (env.now(), going_on.options(execution_timeout="10 h").start(0)),
    ]:
        with pytest.raises(WorkflowFailedError, match="TimedOut"):
            handle.result(timeout=20)
        last = nbflow.get(handle.workflow_id)
        assert 9.99 < (last.describe()["close_time"] - begun).total_seconds() / 3600 < 10.01
        assert events_of(last, "WorkflowExecutionTimedOut")[0].retry_state == "TIMEOUT"


@pytest.mark.usefixtures("env")
def test_a_workflow_that_was_asked_to_cancel_is_not_retried() -> None:
    """It would never learn that it should end."""

    @workflow(retry=RetryPolicy(initial_interval=1))
    def failing_cleanup() -> None:
        try:
            nbflow.sleep("1 day")
        finally:
            msg = "cleanup failed"
            raise ConnectionError(msg)

    handle = failing_cleanup.start()
    handle.cancel()
    with pytest.raises(WorkflowFailedError, match="cleanup failed"):
        handle.result(timeout=10)
    assert handle.history()[-1].retry_state == "CANCEL_REQUESTED"


@pytest.mark.usefixtures("env")
def test_a_delayed_run_has_its_whole_run_timeout() -> None:
    """The run timeout begins when the start delay is over, as on Temporal."""

    @workflow
    def late_sleeper() -> str:
        nbflow.sleep("40 min")
        return "rested"

    handle = late_sleeper.options(start_delay="2 h", run_timeout="1 h").start()
    assert handle.result(timeout=10) == "rested"


@pytest.mark.usefixtures("env")
def test_a_large_history_suggests_to_continue() -> None:
    """``info()`` tells how long and large the history is; from 4 MiB on it suggests a new run."""

    @workflow
    def growing() -> Any:
        pages = 0
        while not nbflow.info().is_continue_as_new_suggested:
            chain_step(nbflow.side_effect(lambda: ["x" * 200_000]) and pages)
            pages += 1
        info = nbflow.info()
        return pages, info.history_length, info.history_size >> 20

    handle = growing.start()
    assert handle.result(timeout=20) == (21, 1 + 21 * 4, 4)
