"""nbflow.check: the code defined here, tried on what stores and files have recorded, without moving anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.core.definitions import REGISTRY
from nbflow.exceptions import ConfigurationError, WorkflowFailedError
from nbflow.testing import WorkflowEnvironment


@activity
def checked_step(x: Any) -> Any:
    """Give back what it got."""
    return x


def define(*, fits: bool) -> Any:
    """Define a workflow, or one that does not fit its executions."""

    @workflow(name="checked", on_edit="keep")
    def checked(x: int) -> float:
        if not fits:
            nbflow.sleep(7)
        got = checked_step(x)
        if x < 0:
            nbflow.wait_for_signal("go")
        return 6 / got

    return checked


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Return a store with an execution that waits, one that completed and one that failed."""
    file = tmp_path / "store.duckdb"
    with WorkflowEnvironment(file):
        made = define(fits=True)
        made.options(id="open").start(-1)
        made.options(id="done")(2)
        with pytest.raises(WorkflowFailedError):
            made.options(id="failed")(0)
    yield file
    REGISTRY._current.pop(("workflow", "checked"), None)


def test_open_executions_are_what_is_checked_and_closed_ones_if_asked_for(path: Path) -> None:
    """Code that fits fits the ends that were recorded, too: results and failures."""
    assert nbflow.check("checked", path).headline() == "the code fits 1 of 1 execution of checked"
    found = nbflow.check(["checked"], path, where="true")
    assert (found.ok, sorted(it.workflow_id for it in found.fits)) == (True, ["done", "failed", "open"])


def test_misfits_are_told_and_nothing_is_moved(path: Path) -> None:
    """The store stays as it is, and each execution is told with event, command and line."""
    changed = define(fits=False)
    found = nbflow.check(changed, path, where="workflow_id <> 'failed'")
    assert (found.ok, len(found), found.moved) == (False, 2, False)
    for row in found.rows():
        assert (row["event_id"], row["command"], row["text"]) == (2, "StartTimer(1)", "nbflow.sleep(7)")
    define(fits=True)
    with WorkflowEnvironment(path):
        assert nbflow.check().ok
        assert nbflow.code_check() is None


def test_exported_histories_take_the_place_of_a_store(path: Path, tmp_path: Path) -> None:
    """Kept beside the tests, in nbflow's form or Temporal's, they tell whether old executions still fit."""
    with WorkflowEnvironment(path):
        handle = nbflow.get("done")
        files = [tmp_path / f"{form}.json" for form in ("json", "temporal")]
        for file in files:
            nbflow.export_history(handle.workflow_id, file, format=file.stem)
    assert len(nbflow.check("checked", histories=files).fits) == 2
    define(fits=False)
    assert len(nbflow.check("checked", histories=files[0]).misfits) == 1


def test_executions_of_workflows_that_are_not_defined_here_are_counted(path: Path) -> None:
    """They are no misfits, but nobody should think that they fit."""
    REGISTRY._current.pop(("workflow", "checked"))
    found = nbflow.check(None, path)
    assert (found.ok, len(found), found.skipped) == (True, 0, {"checked": 1})
    assert "checked not defined here" in repr(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workflow": "nobody_defined_this"}, "no workflow 'nobody_defined_this' is defined here"),
        ({"store": "missing.duckdb"}, "there is no store"),
        ({"store": "a", "histories": "b"}, "in place of a store"),
    ],
)
def test_what_can_not_be_checked_is_an_error(arguments: dict[str, Any], message: str) -> None:
    """A gate that checks nothing must not be open."""
    with pytest.raises(ConfigurationError, match=message):
        nbflow.check(**arguments)
