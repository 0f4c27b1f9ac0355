"""The replay check: which recorded executions today's code fits, and what is told of those it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.core.definitions import REGISTRY
from nbflow.exceptions import ConfigurationError, ReplayMismatchError
from nbflow.testing import WorkflowEnvironment, replay_check, save_histories


@activity
def replayed_step(x: int) -> int:
    """Add one."""
    return x + 1


@activity
def replayed_large() -> str:
    """Return what is stored apart."""
    return "x" * 300_000


def define_first() -> None:
    """Define the workflow as it was."""

    @workflow
    def replayed() -> int:
        first = replayed_step(1)
        nbflow.wait_for_signal("go")
        return replayed_step(first) + len(replayed_large())


def define_changed() -> None:
    """Define it as it is after an edit that matters."""

    @workflow
    def replayed() -> int:
        nbflow.sleep(5)
        return replayed_step(1)


def define_compatible() -> None:
    """Define it as it is after an edit that does not."""

    @workflow
    def replayed() -> int:
        first = replayed_step(1)
        nbflow.wait_for_signal("go")
        return len(replayed_large() if False else "") + replayed_step(first) + len(replayed_large()) + 100 - 100


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a closed, a waiting and an unrelated execution."""

    @workflow
    def replayed_other() -> int:
        return 1

    path = tmp_path / "s.duckdb"
    define_first()
    first = REGISTRY.current("workflow", "replayed")
    with WorkflowEnvironment(path) as env:
        handles = [env.client.start(first, [((), {}, _options(name))])[0] for name in ("closed", "open")]
        replayed_other()
        handles[0].signal("go")
        assert handles[0].result() == 300_003
        assert save_histories(tmp_path / "histories.json", where="workflow_type = 'replayed'") == 2
    return path


def _options(name: str) -> object:
    from nbflow.core.options import WorkflowOptions

    return WorkflowOptions.read({"id": name})


@pytest.mark.parametrize("source", ["s.duckdb", "histories.json"])
def test_code_that_fits(source: str, store: Path) -> None:
    """The same code, and compatible code, fit all that is recorded: in a store, and in a file of JSON."""
    path = store.parent / source
    assert replay_check(path, "replayed").replayed == {"replayed": 2}
    define_compatible()
    assert replay_check(path, "replayed").replayed == {"replayed": 2}


@pytest.mark.parametrize("source", ["s.duckdb", "histories.json"])
def test_code_that_does_not_fit(source: str, store: Path) -> None:
    """Every mismatch is told with the event, the command and the line, as an AssertionError."""
    define_changed()
    with pytest.raises(AssertionError, match="2 of 2 executions don't fit") as caught:
        replay_check(store.parent / source, "replayed")
    assert isinstance(caught.value, ReplayMismatchError)
    for mismatch in caught.value.report.mismatches:
        assert "ActivityTaskScheduled" in mismatch.event
        assert "StartTimer" in mismatch.command
        assert "test_replays.py" in mismatch.line
    assert "recorded: " in str(caught.value)


def test_some_of_them(store: Path) -> None:
    """A condition chooses; the open store is the default; what fits is counted by workflow."""
    assert replay_check(store, where="status = 'Running'", workflow="replayed").replayed.total() == 1
    with WorkflowEnvironment(store):
        assert replay_check().replayed == {"replayed": 2, "replayed_other": 1}
        assert replay_check(store, where="status = 'Completed'").replayed.total() == 2


def test_a_check_of_nothing_does_not_pass(store: Path) -> None:
    """No executions, no such workflow, no such store, a condition where none can be: all are told."""
    with pytest.raises(ConfigurationError, match="no execution"):
        replay_check(store, where="status = 'Failed'")
    with pytest.raises(ConfigurationError, match="no workflow 'replayed_never'"):
        replay_check(store, "replayed_never")
    with pytest.raises(ConfigurationError, match="no store"):
        replay_check(store.parent / "nothing.duckdb")
    with pytest.raises(ConfigurationError, match="where="):
        replay_check(store.parent / "histories.json", where="true")
    (store.parent / "other.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="no histories"):
        replay_check(store.parent / "other.json")
    with REGISTRY.preserved():
        REGISTRY._current = {}
        with pytest.raises(ConfigurationError, match="not defined here"):
            replay_check(store)
