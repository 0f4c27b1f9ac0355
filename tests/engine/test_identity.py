"""Running a cell twice is safe: what a start does when its id is taken."""

from __future__ import annotations

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.engine.engine import EngineOptions
from nbflow.exceptions import (
    ConfigurationError,
    WorkflowAlreadyStartedError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)
from nbflow.testing import WorkflowEnvironment

runs: list[int] = []


@activity
def count(x: int) -> int:
    """Note that it ran."""
    runs.append(x)
    return len(runs)


@workflow
def counted(x: int) -> int:
    """Run once."""
    return count(x)


@workflow
def patient() -> str:
    """Wait for a word."""
    return nbflow.wait_for_signal("word")


@workflow
def failing_first() -> int:
    """Fail the first time."""
    if count(0) == 1:
        msg = "not yet"
        raise RuntimeError(msg)
    return len(runs)


@pytest.fixture(autouse=True)
def _fresh(env: WorkflowEnvironment) -> None:
    runs.clear()


def test_a_completed_id_gives_its_recorded_result() -> None:
    """Starting a completed execution again runs nothing."""
    first = counted.options(id="report").start(1)
    assert first.result() == 1

    again = counted.options(id="report").start(1)

    assert again.result() == 1
    assert again.run_id == first.run_id
    assert runs == [1]


def test_an_open_id_is_attached_to() -> None:
    """Starting an open execution again waits for the same one."""
    first = patient.options(id="p").start()
    second = patient.options(id="p").start()

    assert first.run_id == second.run_id
    first.signal("word", "hello")
    assert second.result() == "hello"


def test_a_failed_id_runs_again() -> None:
    """Starting a failed execution again is a new run of the same id."""
    first = failing_first.options(id="f").start()
    with pytest.raises(WorkflowFailedError):
        first.result()

    second = failing_first.options(id="f").start()

    assert second.run_id != first.run_id
    assert second.result() == 2
    assert nbflow.get("f").run_id == second.run_id


def test_conflict_policies() -> None:
    """An open id can also be refused, or terminated and taken over."""
    first = patient.options(id="p").start()
    with pytest.raises(WorkflowAlreadyStartedError, match="already exists"):
        patient.options(id="p", id_conflict="fail").start()

    second = patient.options(id="p", id_conflict="terminate").start()

    assert first.status == "Terminated"
    assert second.status == "Running"


def test_reuse_policies() -> None:
    """A completed id can also be run again, or be refused."""
    assert counted.options(id="c").start(1).result() == 1
    assert counted.options(id="c", id_reuse="allow").start(1).result() == 2

    with pytest.raises(WorkflowAlreadyStartedError):
        counted.options(id="c", id_reuse="reject").start(1)


def test_an_unknown_id_is_an_error() -> None:
    """Asking for an execution that never was says so."""
    with pytest.raises(WorkflowNotFoundError, match="no workflow execution 'nobody'"):
        nbflow.get("nobody")


def test_an_unknown_option_is_named() -> None:
    """A misspelt option is refused, with the nearest right one."""
    with pytest.raises(ConfigurationError, match="did you mean 'id_reuse'"):
        counted.options(id_resue="allow")


def test_a_run_key_derives_ids(tmp_path: object) -> None:
    """Inside a headless run, the same calls in the same order have the same ids."""

    def run() -> list[str]:
        with WorkflowEnvironment(f"{tmp_path}/s.duckdb", options=EngineOptions(run_key="nightly")):
            handles = [counted.start(1), counted.start(1), counted.start(2)]
            assert all(handle.result() for handle in handles)
            return [handle.workflow_id for handle in handles]

    first = run()
    assert len(set(first)) == 3
    assert all(workflow_id.startswith("nightly/counted/") for workflow_id in first)
    assert run() == first
    assert runs == [1, 1, 2]
