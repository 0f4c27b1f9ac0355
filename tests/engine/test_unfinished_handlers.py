"""Handlers that an end leaves half done: somebody hears of them, unless they may be abandoned."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import nbflow
from nbflow import workflow
from nbflow.exceptions import WorkflowFailedError
from nbflow.testing import WorkflowEnvironment


@workflow
async def ends_early(policy: str, how: str) -> None:
    """Begin handlers that never end, then end."""
    begun: list[int] = []

    @nbflow.signal(unfinished_policy=policy)  # type: ignore[arg-type]
    async def note(x: int) -> None:
        begun.append(x)
        await nbflow.sleep("1 day")

    @nbflow.update(name="set", unfinished_policy=policy)  # type: ignore[arg-type]
    async def on_set(x: int) -> None:
        begun.append(x)
        await nbflow.sleep("1 day")

    await nbflow.wait_condition(lambda: len(begun) == 2)
    if how == "fail":
        msg = "no more"
        raise RuntimeError(msg)
    if how == "wait":
        await nbflow.wait_condition(nbflow.all_handlers_finished)


def _begun(policy: str, how: str) -> nbflow.WorkflowHandle:
    handle = ends_early.start(policy, how)
    handle.signal("note", 1)
    handle.start_update("set", 2)
    return handle  # type: ignore[no-any-return]


def _wait(handle: nbflow.WorkflowHandle, how: str) -> None:
    try:
        handle.result(timeout=5)
    except WorkflowFailedError:
        assert how == "fail"


def _warnings_in_log() -> list[str]:
    return nbflow.sql("SELECT message FROM logs WHERE level = 'WARNING'")["message"].tolist()  # type: ignore[no-any-return]


@pytest.mark.usefixtures("env")
@pytest.mark.parametrize("how", ["return", "fail"])
def test_who_asks_for_the_result_is_warned_and_the_log_says_it(how: str) -> None:
    """Both name the handlers and what to do; the warning comes once."""
    handle = _begun("warn", how)
    with pytest.warns(nbflow.UnfinishedHandlersWarning, match=r"signal 'note', update 'set'.*all_handlers_finished"):
        _wait(handle, how)
    assert len(_warnings_in_log()) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _wait(handle, how)


@pytest.mark.usefixtures("env")
@pytest.mark.parametrize(("policy", "how"), [("abandon", "return"), ("warn", "wait")])
def test_handlers_that_may_be_abandoned_or_have_finished(policy: str, how: str) -> None:
    """Nothing is said of them."""
    _begun(policy, how).result(timeout=5)
    assert _warnings_in_log() == []


def test_nothing_is_said_of_a_terminated_execution(tmp_path: Path) -> None:
    """Its code did not come to its end; nor does a replay say anything again."""
    path = tmp_path / "s.duckdb"
    with WorkflowEnvironment(path):
        terminated, returned = _begun("warn", "wait"), _begun("warn", "return")
        terminated.terminate()
        with pytest.warns(nbflow.UnfinishedHandlersWarning):
            returned.result(timeout=5)
    with WorkflowEnvironment(path):
        assert "task 'update: set' waits" in nbflow.get(returned.workflow_id).stack_trace()
        assert len(_warnings_in_log()) == 1


def test_an_impossible_policy_is_refused() -> None:
    """Before there is a handler."""
    with pytest.raises(nbflow.exceptions.ConfigurationError, match="unfinished_policy must be"):
        nbflow.update(unfinished_policy="shrug")  # type: ignore[call-overload]
