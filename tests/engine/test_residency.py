"""Executions that wait leave memory, and come back when something happens to them."""

from __future__ import annotations

import gc
import warnings
from concurrent.futures import Future

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.engine.engine import EngineOptions
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import wait_until

FEW = EngineOptions(resident_executions=5)


@activity
def square(x: int) -> int:
    """Square."""
    return x * x


@workflow
def sleeping(x: int) -> int:
    """Sleep between two steps."""
    first = square(x)
    nbflow.sleep("1 hour")
    return first + square(x)


@workflow
async def listening(x: int) -> int:
    """Wait for a number."""
    try:
        return x + await nbflow.wait_for_signal("number")
    finally:
        print("cleaning up")


def test_sleepers_leave_memory_and_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Of many that wait only a few stay, and all complete."""
    with WorkflowEnvironment(options=FEW) as env:
        handles = sleeping.start_many(range(50))
        wait_until(lambda: len(nbflow.sql("FROM timers")) == 50)
        wait_until(lambda: len(env.client.engine.residency.executions) <= 5)

        assert [handle.result(timeout=20) for handle in handles] == [2 * x * x for x in range(50)]
    assert capsys.readouterr().err == ""


def test_a_signal_brings_an_execution_back(capsys: pytest.CaptureFixture[str]) -> None:
    """What leaves memory runs no cleanup that anybody sees, and misses no signal."""
    with WorkflowEnvironment(options=FEW) as env:
        handles = listening.start_many(range(20))
        wait_until(lambda: len(env.client.engine.residency.executions) <= 5)
        for number, handle in enumerate(handles):
            handle.signal("number", 100 * number)

        assert [handle.result(timeout=10) for handle in handles] == [101 * x for x in range(20)]
    assert capsys.readouterr().out.count("cleaning up") == 20


def test_leaving_memory_leaves_no_warning() -> None:
    """Coroutines are taken down, not dropped: Python has nothing to complain about."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with WorkflowEnvironment(options=EngineOptions(resident_executions=0)) as env:
            listening.start_many(range(10))
            wait_until(lambda: not env.client.engine.residency.executions)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_queries_of_waiting_and_closed_executions() -> None:
    """A query rebuilds an execution that is not in memory, open or closed."""

    @workflow
    def asked() -> str:
        steps = ["begun"]
        nbflow.query(name="steps")(lambda: list(steps))
        steps.append(nbflow.wait_for_signal("word"))
        return "done"

    with WorkflowEnvironment(options=EngineOptions(resident_executions=0)) as env:
        handle = asked.start()
        wait_until(lambda: not env.client.engine.residency.executions)
        assert handle.query("steps") == ["begun"]
        handle.signal("word", "hello")
        assert handle.result(timeout=5) == "done"
        assert handle.query("steps") == ["begun", "hello"]
        with pytest.raises(nbflow.exceptions.QueryError, match="this execution has: steps"):
            handle.query("nothing")


def test_start_delay_and_expiration_survive_absence() -> None:
    """Deadlines of executions that are not in memory are met."""

    @workflow(start_delay="2 hours")
    def late() -> str:
        return str(nbflow.now())

    @workflow(execution_timeout="1 hour")
    def endless() -> None:
        nbflow.wait_for_signal("never")

    with WorkflowEnvironment(options=EngineOptions(resident_executions=0, look_ahead=60 * 86400.0)) as env:
        begin = env.now()
        handles = [late.start(), endless.start()]
        assert handles[0].result(timeout=10) > str(begin)
        assert handles[1].status == "TimedOut"
        assert (env.now() - begin).total_seconds() >= 7200


def test_many_wanted_after_a_start_bring_the_others(tmp_path) -> None:
    """Who signals eight after a restart signals the rest next: they are read with them, up to the capacity."""
    path, options = tmp_path / "s.duckdb", EngineOptions(resident_executions=30)
    with WorkflowEnvironment(path, options=options):
        ids = [handle.workflow_id for handle in listening.start_many(range(40))]
    with WorkflowEnvironment(path, options=options) as env:
        engine = env.client.engine
        assert not engine.residency.executions
        number = env.client.codec.encode([1])

        def signal_all(answer: Future[None]) -> None:
            for workflow_id in ids[:8]:
                engine.requests.signal(workflow_id, None, "number", number, Future())
            answer.set_result(None)

        engine.call(signal_all)  # in one turn
        wait_until(lambda: len(engine.residency.executions) + 8 == 30)
        assert [nbflow.get(workflow_id).result(timeout=10) for workflow_id in ids[:8]] == [x + 1 for x in range(8)]
