"""Families of executions after a restart, in a process whose cells have not run, and when their code is missing."""

from __future__ import annotations

from typing import Any

import pytest

import nbflow
from nbflow import workflow
from nbflow.core.definitions import REGISTRY
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, events_of, wait_until

CELL = "<ipython-input-family>"
SOURCE = """
from nbflow import activity, workflow, wait_for_signal, continue_as_new
from nbflow import RetryPolicy

@activity
def restored_step(x):
    return x + 1

@workflow(retry=RetryPolicy(initial_interval=5, maximum_attempts=4), parent_close_policy="ABANDON")
def restored_child(x):
    return restored_step(x)

@workflow
def restored_parent(round):
    wait_for_signal("go")
    found = restored_child(round)
    if round == 0:
        continue_as_new(found)
    return found
"""


def cell() -> dict[str, Any]:
    """Run the cell of a notebook."""
    import linecache

    linecache.cache[CELL] = (len(SOURCE), None, SOURCE.splitlines(keepends=True), CELL)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SOURCE, CELL, "exec"), namespace)
    return namespace


def test_families_come_from_the_store(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children start, with the options of their decorator, and runs follow, before any cell has run again."""
    path = str(tmp_path / "s.duckdb")
    with WorkflowEnvironment(path):
        cell()["restored_parent"].options(id="r").start(0)
    monkeypatch.setattr(REGISTRY, "_current", {})
    monkeypatch.setattr(REGISTRY, "_by_hash", {})
    with WorkflowEnvironment(path):
        first = nbflow.get("r")
        first.signal("go")
        wait_until(lambda: first.status == "ContinuedAsNew")
        nbflow.get("r").signal("go")
        assert first.result(timeout=10) == 2
        (initiated,) = events_of(first, "StartChildWorkflowExecutionInitiated")
        assert initiated.parent_close_policy == "ABANDON"
        assert initiated.retry_policy["maximum_attempts"] == 4
        assert nbflow.get(initiated.workflow_id).describe()["definition_hash"] != ""


def test_a_child_closes_while_its_parent_can_not_come_back(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent whose code is missing hears of its child when the code is there again."""
    path = str(tmp_path / "s.duckdb")

    @workflow
    def lone_child() -> Any:
        return nbflow.wait_for_signal("go")

    def define() -> Any:
        @workflow
        def missing_parent() -> Any:
            return lone_child.options(id="lone")()

        return missing_parent

    with WorkflowEnvironment(path):
        handle = define().options(id="m").start()
        wait_until(lambda: "ChildWorkflowExecutionStarted" in event_types(handle))
    current, by_hash = dict(REGISTRY._current), dict(REGISTRY._by_hash)
    for registered in (REGISTRY._current, REGISTRY._by_hash):
        for key in [key for key, it in registered.items() if "missing_parent" in (*key, getattr(it, "name", ""))]:
            del registered[key]
    monkeypatch.setattr("nbflow.engine.definitions.restore_definition", _refuse)
    with WorkflowEnvironment(path):
        nbflow.get("lone").signal("go", 7)
        assert nbflow.get("lone").result(timeout=10) == 7
        wait_until(lambda: len(nbflow.sql("FROM logs WHERE message LIKE '%parked%'")) > 0)
        assert nbflow.get("m").status == "Running"
        REGISTRY._current.update(current)
        REGISTRY._by_hash.update(by_hash)
        define()
        assert nbflow.get("m").result(timeout=10) == 7
        assert event_types(nbflow.get("m")).count("ChildWorkflowExecutionCompleted") == 1


def _refuse(*_: Any) -> Any:
    from nbflow.exceptions import MissingDefinitionError

    msg = "it can't be rebuilt here"
    raise MissingDefinitionError(msg)
