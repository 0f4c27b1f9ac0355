"""Which version of its code an execution runs, before and after it was moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import workflow
from nbflow.core.definitions import REGISTRY, Definition
from nbflow.testing import WorkflowEnvironment


def define(answer: str) -> nbflow.Workflow[[], str]:
    """Define a version of one workflow: it waits for a signal and gives its answer."""

    @workflow(name="pinned_answer")
    def pinned_answer() -> str:
        nbflow.wait_for_signal("go")
        return answer

    return pinned_answer


def move(env: WorkflowEnvironment, handle: Any, definition: Definition) -> None:
    """Have an execution rebuilt from another version from now on."""
    engine = env.client.engine

    def act(answer: Any) -> None:
        engine.definitions.store(REGISTRY.remember(definition))
        engine.residency.pins.pin(handle.run_id, handle.workflow_id, definition.hash, 1)
        engine.residency.remove(engine.residency.executions[handle.run_id])
        engine.journal.answer(answer)

    engine.call(act)


def finish(handle: Any) -> tuple[str, str]:
    """Let it end, and tell its result and the version that the view tells."""
    handle.signal("go")
    return handle.result(), handle.describe()["definition_hash"]


@pytest.mark.parametrize("is_reopened", [False, True])
def test_a_moved_execution_is_rebuilt_with_the_code_it_was_moved_to(
    tmp_path: Path, is_reopened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The move holds in this process, and in one without cells; all that tells of the execution tells the version."""
    path = tmp_path / "store.duckdb"
    new = define("new").definition()
    with WorkflowEnvironment(path) as env:
        handle = define("old").options(id="w").start()
        move(env, handle, new)
        if not is_reopened:
            assert finish(handle) == ("new", new.hash)
    if is_reopened:
        monkeypatch.delitem(REGISTRY._current, ("workflow", "pinned_answer"))
        with WorkflowEnvironment(path):
            assert finish(nbflow.get("w")) == ("new", new.hash)
