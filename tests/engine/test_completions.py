"""``complete_later``: activities whose outcome somebody else tells, by token, by ids, from a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.cli import main
from nbflow.core.task_tokens import TaskToken
from nbflow.exceptions import (
    ActivityCancelled,
    ActivityNotFoundError,
    ClientError,
    ConfigurationError,
    NotInActivityError,
    WorkflowClosedError,
    WorkflowFailedError,
)
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, wait_until

tokens: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    """Forget the tokens of earlier tests."""
    tokens.clear()


@activity(retry=RetryPolicy(initial_interval=0.01, maximum_attempts=3))
def ask_somebody(question: str) -> str:
    """Leave the question to somebody else."""
    assert question
    tokens.append(nbflow.activity_info().task_token)
    nbflow.complete_later()


@workflow
def asking() -> str:
    """Ask and tell the answer."""
    return "the answer is " + ask_somebody("why?")


def left_open(env: WorkflowEnvironment, count: int = 1) -> str:
    """Wait until so many attempts were left open, and return the last one's token."""
    query = "SELECT count(*) AS n FROM notes WHERE kind = 'CompleteLater'"
    wait_until(lambda: len(tokens) == count and env.client.rows(query)[0]["n"] == count)
    return tokens[-1]


def test_somebody_else_completes_it(env: WorkflowEnvironment) -> None:
    """The attempt ends without outcome, keeps no thread, and the value completes it."""
    handle = asking.start()
    token = left_open(env)
    wait_until(lambda: env.client.engine.activities.under_way == 0)
    assert env.client.rows("SELECT status, attempt FROM activities") == [{"status": "Started", "attempt": 1}]

    nbflow.get_activity(token).complete("that is why")
    assert handle.result() == "the answer is that is why"
    assert event_types(handle)[1:4] == ["ActivityTaskScheduled", "ActivityTaskStarted", "ActivityTaskCompleted"]


def test_it_may_be_named_by_ids(env: WorkflowEnvironment) -> None:
    """Who knows the workflow's id and the activity's needs no token."""
    handle = asking.options(id="by-ids").start()
    left_open(env)
    nbflow.get_activity(workflow_id="by-ids", activity_id="1").complete("42")
    assert handle.result() == "the answer is 42"


def test_a_failure_is_retried_by_the_policy(env: WorkflowEnvironment) -> None:
    """Each failure from outside is an attempt that failed; an old token is refused."""
    handle = asking.start()
    first = left_open(env)
    nbflow.get_activity(first).fail("nobody there")
    second = left_open(env, 2)
    with pytest.raises(ActivityNotFoundError, match="attempt 1 is over"):
        nbflow.get_activity(first).complete("too late")
    nbflow.get_activity(second).fail(OSError("gone"))
    nbflow.get_activity(left_open(env, 3)).fail("still nobody")

    with pytest.raises(WorkflowFailedError, match="still nobody"):
        handle.result()
    rows = env.client.rows("SELECT attempt, outcome, failure_type FROM attempts ORDER BY attempt")
    assert [(row["attempt"], row["outcome"], row["failure_type"]) for row in rows] == [
        (1, "Failed", "ApplicationError"),
        (2, "Failed", "OSError"),
        (3, "Failed", "ApplicationError"),
    ]


def test_it_waits_through_a_restart(tmp_path: Path) -> None:
    """The attempt is neither lost nor run again, and its token still works."""
    path = tmp_path / "store.duckdb"
    with WorkflowEnvironment(path) as env:
        asking.options(id="a").start()
        token = left_open(env)
    for _ in range(2):
        with WorkflowEnvironment(path) as env:
            wait_until(lambda: len(env.client.engine.residency.executions) == 1)
    with WorkflowEnvironment(path):
        nbflow.get_activity(token).complete("patience")
        assert nbflow.get("a").result() == "the answer is patience"
        assert list(nbflow.sql("SELECT outcome FROM attempts").outcome) == ["Completed"]
    assert len(tokens) == 1


def test_its_timeouts_go_on(env: WorkflowEnvironment) -> None:
    """An attempt that nobody completes in time is followed by another."""

    @activity(start_to_close_timeout="1 hour", retry=2)
    def timed() -> None:
        tokens.append(nbflow.activity_info().task_token)
        nbflow.complete_later()

    @workflow
    def timing() -> None:
        timed()

    with pytest.raises(WorkflowFailedError, match="START_TO_CLOSE"):
        timing()
    assert [TaskToken.of_text(token).attempt for token in tokens] == [1, 2]


def test_timeouts_go_on_after_a_restart(tmp_path: Path) -> None:
    """What was due while the store was closed is due when it is opened."""

    @activity(start_to_close_timeout="1 hour", retry=1)
    def timed_over_restart() -> None:
        tokens.append("x")
        nbflow.complete_later()

    @workflow
    def timing_over_restart() -> None:
        timed_over_restart()

    with WorkflowEnvironment(tmp_path / "s.duckdb") as env:
        timing_over_restart.options(id="t").start()
        left_open(env)
    with WorkflowEnvironment(tmp_path / "s.duckdb"), pytest.raises(WorkflowFailedError, match="START_TO_CLOSE"):
        nbflow.get("t").result()


def test_heartbeats_keep_it_alive_and_reach_the_next_attempt(env: WorkflowEnvironment) -> None:
    """A heartbeat from outside counts; without one the attempt times out, and the next one gets the details."""
    details: list[Any] = []

    @activity(heartbeat_timeout="1 min", retry=RetryPolicy(maximum_attempts=2))
    def beating() -> None:
        details.append(nbflow.activity_info().heartbeat_details)
        tokens.append(nbflow.activity_info().task_token)
        nbflow.complete_later()

    @workflow
    def listens_for_beats() -> None:
        beating()

    handle = listens_for_beats.start()
    token = left_open(env)
    for done in range(3):
        env.sleep("40s")
        nbflow.get_activity(token).heartbeat({"done": done})
    with pytest.raises(WorkflowFailedError, match="HEARTBEAT"):
        handle.result()
    assert details == [None, {"done": 2}]


def test_cancellation_is_told_by_a_heartbeat(env: WorkflowEnvironment) -> None:
    """Whoever does the work hears of it when it says that it is alive, and reports that it has stopped."""

    @activity(cancellation_type="WAIT_CANCELLATION_COMPLETED")
    def cancellable() -> None:
        tokens.append(nbflow.activity_info().task_token)
        nbflow.complete_later()

    @workflow
    def waits_for_cancellable() -> None:
        cancellable()

    handle = waits_for_cancellable.start()
    outside = nbflow.get_activity(left_open(env))
    outside.heartbeat()
    with pytest.raises(ClientError, match="nobody asked it"):
        outside.report_cancellation()
    handle.cancel()
    with pytest.raises(ActivityCancelled, match="was requested"):
        outside.heartbeat()
    outside.report_cancellation()
    with pytest.raises(WorkflowFailedError):
        handle.result()
    assert event_types(handle)[-3:] == ["ActivityTaskStarted", "ActivityTaskCanceled", "Canceled"]


def test_it_may_be_completed_before_its_function_has_ended(env: WorkflowEnvironment) -> None:
    """Somebody very quick is heard; what the function does then does not matter."""

    @activity
    def quick() -> str:
        nbflow.get_activity(nbflow.activity_info().task_token).complete("quick")
        nbflow.complete_later()

    @workflow
    def asks_quick() -> str:
        return quick()

    assert asks_quick() == "quick"
    wait_until(lambda: env.client.engine.activities.under_way == 0)


@pytest.mark.parametrize("run_in", ["loop", "process"])
def test_wherever_it_runs(env: WorkflowEnvironment, run_in: str) -> None:
    """On the engine's loop and in a worker process too."""

    async def later_on_loop() -> None:
        nbflow.complete_later()

    def later_in_process() -> None:
        nbflow.complete_later()

    function: Any = later_on_loop if run_in == "loop" else later_in_process
    marked = activity(run_in=run_in)(function)

    @workflow
    def waits_wherever() -> str:
        return str(marked())

    handle = waits_wherever.options(id="w").start()
    wait_until(lambda: bool(env.client.rows("SELECT 1 FROM notes WHERE kind = 'CompleteLater'")))
    nbflow.get_activity(workflow_id="w", activity_id="1").complete(7)
    assert handle.result() == "7"


def test_a_transaction_can_not_wait(env: WorkflowEnvironment) -> None:
    """Its writes commit with its outcome, so there is nothing to leave open."""

    @nbflow.transaction
    def waits(db: Any) -> None:
        nbflow.complete_later()

    @workflow
    def has_waiting_transaction() -> None:
        waits()

    with pytest.raises(WorkflowFailedError, match="commit with its outcome"):
        has_waiting_transaction()


def test_what_is_over_can_not_be_completed(env: WorkflowEnvironment) -> None:
    """Twice, after the end, by a wrong token: each is told apart."""
    handle = asking.start()
    token = left_open(env)
    nbflow.get_activity(token).complete("once")
    handle.result()
    with pytest.raises(WorkflowClosedError):
        nbflow.get_activity(token).complete("twice")
    with pytest.raises(ClientError, match="no task token"):
        nbflow.get_activity("nonsense")
    with pytest.raises(ConfigurationError, match="needs a task token"):
        nbflow.get_activity(workflow_id="only")
    with pytest.raises(NotInActivityError):
        nbflow.complete_later()


def test_from_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`nbflow fail` and `nbflow complete` open the store, tell the outcome, and leave the rest to the notebook."""
    path = str(tmp_path / "store.duckdb")
    with WorkflowEnvironment(path) as env:
        asking.options(id="a").start()
        left_open(env)
    assert main(["fail", tokens[-1], "closed on Sundays", "--store", path]) == 0
    with WorkflowEnvironment(path) as env:
        left_open(env, 2)
    assert main(["complete", tokens[0], "x", "--store", path]) == 1
    assert "attempt 1 is over" in capsys.readouterr().err
    assert main(["complete", tokens[-1], '"open on Mondays"', "--store", path]) == 0
    with WorkflowEnvironment(path):
        assert nbflow.get("a").result() == "the answer is open on Mondays"
