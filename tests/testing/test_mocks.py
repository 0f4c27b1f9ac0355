"""Mocked activities: their answers, what they note, what stays real, and that they are gone afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.exceptions import ActivityError, ConfigurationError, WorkflowFailedError
from nbflow.testing import WorkflowEnvironment


@activity(retry=RetryPolicy(initial_interval=3600), start_to_close_timeout="1 day")
def mocked_fetch(city: str, *, days: int = 1) -> str:
    """Ask a service that tests don't have."""
    return f"real {city} {days}"


@activity
async def mocked_async(x: int) -> int:
    """Work on the loop."""
    return x + 1


@activity(run_in="process", retry=1)
def mocked_process(x: int) -> int:
    """Work in a process."""
    return x * 100


@workflow
def mocked_flow(city: str) -> str:
    """Call one activity."""
    return mocked_fetch(city, days=2)


@workflow
async def mocked_others(x: int) -> list[int]:
    """Call the other kinds."""
    return [await mocked_async(x), await mocked_process(x)]


@pytest.fixture
def env() -> Iterator[WorkflowEnvironment]:
    """An environment."""
    with WorkflowEnvironment() as environment:
        yield environment


def test_a_result_in_place_of_the_activity(env: WorkflowEnvironment) -> None:
    """The mock answers, notes its calls, and is gone after its block."""
    with env.mock(mocked_fetch, returns="mild") as mock:
        assert not mock.called
        assert mocked_flow.options(id="a")("Oslo") == "mild"
    assert mocked_flow("Oslo") == "real Oslo 2"
    (call,) = mock.calls
    assert (call.args, dict(call.kwargs), call.attempt, call.workflow_id) == (("Oslo",), {"days": 2}, 1, "a")


def test_retries_stay_real(env: WorkflowEnvironment) -> None:
    """The policy of the activity applies to what a mock raises, and time skips over its backoff."""
    began = env.now()
    with env.mock(mocked_fetch, raises=ConnectionError("down"), times=2) as mock:
        assert mocked_flow("Oslo") == "real Oslo 2"
    assert [call.attempt for call in mock.calls] == [1, 2]
    assert (env.now() - began).total_seconds() >= 3 * 3600


def test_what_fails_for_good(env: WorkflowEnvironment) -> None:
    """An error that the policy does not retry reaches the workflow as an ActivityError with its cause."""
    env.mock(mocked_fetch, raises=ValueError)
    with pytest.raises(WorkflowFailedError) as caught:
        mocked_flow("Oslo")
    assert isinstance(caught.value.__cause__, ActivityError)
    assert "ValueError" in str(caught.value)


def test_answers_in_turn(env: WorkflowEnvironment) -> None:
    """An iterable gives one answer a call, exceptions are raised, and too many calls fail."""
    mock = env.mock("mocked_fetch", side_effect=[OSError("once"), "then this", ConnectionError])
    assert mocked_flow("Oslo") == "then this"
    with pytest.raises(WorkflowFailedError, match="more often than it has answers"):
        mocked_flow("Rome")
    assert len(mock.calls) == 4


def test_a_function_in_place_of_any_kind(env: WorkflowEnvironment) -> None:
    """Sync, async and process activities are exchanged alike; the function may be async, and sees its attempt."""

    async def later(x: int) -> int:
        return -x * nbflow.activity_info().attempt

    def now(x: int) -> int:
        return x * nbflow.activity_info().attempt

    for one, other in ((later, now), (now, later)):
        with env.mock(mocked_async, side_effect=one), env.mock(mocked_process, side_effect=other):
            assert sorted(mocked_others.start(7).result()) == [-7, 7]


def test_timeouts_stay_real(env: WorkflowEnvironment) -> None:
    """A mock that never comes back is timed out as the activity would be."""

    @activity(start_to_close_timeout=0.05, retry=1)
    def mocked_slow() -> int:
        return 1

    @workflow
    def mocked_waits() -> int:
        return mocked_slow()

    go = threading.Event()
    with env.mock(mocked_slow, side_effect=lambda: go.wait(10)):
        with pytest.raises(WorkflowFailedError, match="timeout"):
            mocked_waits.start().result(timeout=10)
        go.set()


def test_the_inner_mock_counts_and_a_restart_keeps_it(env: WorkflowEnvironment) -> None:
    """Mocks nest; they belong to the environment, not to its engine."""
    env.mock(mocked_fetch, returns="outer")
    with env.mock(mocked_fetch, returns="inner"):
        env.restart()
        assert mocked_flow("Oslo") == "inner"
    assert mocked_flow("Oslo") == "outer"


def test_what_cannot_be_mocked(env: WorkflowEnvironment) -> None:
    """Unknown names, workflows, contradictions and wrong calls are told."""
    with pytest.raises(ConfigurationError, match="no activity 'mocked_nothing'"):
        env.mock("mocked_nothing")
    with pytest.raises(ConfigurationError, match="only an activity"):
        env.mock(mocked_flow, returns=1)
    with pytest.raises(ConfigurationError, match="not several"):
        env.mock(mocked_fetch, returns=1, raises=ValueError)
    with pytest.raises(ConfigurationError, match="at least 1"):
        env.mock(mocked_fetch, returns=1, times=0)
    with pytest.raises(ConfigurationError, match="function or an iterable"):
        env.mock(mocked_fetch, side_effect=5)


def test_nothing_of_a_mock_is_stored(env: WorkflowEnvironment) -> None:
    """The store's definitions stay those of the code."""
    with env.mock(mocked_fetch, returns="x"):
        mocked_flow("Oslo")
    sources = env.sql("SELECT source FROM definitions WHERE name = 'mocked_fetch'")["source"].tolist()
    assert all("Ask a service" in source for source in sources)


def test_a_transaction_is_mocked_too(env: WorkflowEnvironment) -> None:
    """Callers leave the cursor out, and so does the mock; nothing is written."""

    @nbflow.transaction
    def mocked_transfer(db: object, amount: int) -> int:
        raise AssertionError

    @workflow
    def mocked_bank() -> int:
        return mocked_transfer(5)

    with pytest.raises(ConfigurationError, match="leave times out"):
        env.mock(mocked_transfer, returns=1, times=1)
    with env.mock(mocked_transfer, side_effect=lambda amount: amount + 1) as mock:
        assert mocked_bank() == 6
    assert mock.calls[0].args == (5,)
