"""Starting with a message: both or neither, one activation with a signal, and the one that runs if one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import workflow
from nbflow.exceptions import (
    ClientError,
    ConfigurationError,
    DefinitionError,
    WorkflowAlreadyStartedError,
    WorkflowClosedError,
    WorkflowUpdateFailedError,
)
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types

ACCEPTED, ANSWERED = "WorkflowExecutionUpdateAccepted", "WorkflowExecutionUpdateCompleted"


@workflow
def greeter(name: str = "nobody") -> list[Any]:
    """Collect words until the end."""
    words: list[Any] = [name]
    done: list[bool] = []

    @nbflow.signal
    def say(*told: str) -> None:
        words.append([*told, nbflow.now().timestamp()])

    @nbflow.update
    def ask(word: str) -> str:
        words.append(word)
        return f"{word}, {name}"

    @nbflow.signal
    def end() -> None:
        done.append(True)

    words.append("begun")
    nbflow.wait_condition(lambda: done)
    return words


@workflow
async def waits_first() -> Any:
    """Wait for a word, but not long."""
    return await nbflow.wait_for_signal("word", timeout="1 min")


@pytest.mark.usefixtures("env")
def test_signal_with_start_is_one_activation() -> None:
    """The signal stands behind the start; the code finds it where it begins, so that no timer is started."""
    handle = waits_first.signal_with_start("word", "hello")
    assert handle.result(timeout=5) == "hello"
    assert event_types(handle) == ["Started", "Signaled", "Completed"]


@pytest.mark.usefixtures("env")
def test_signal_with_start_signals_the_one_that_runs() -> None:
    """Its arguments do not matter then; the answer is its handle."""
    greet = greeter.options(id="g")
    first = greet.signal_with_start("say", "a", "b", start_args=("Ada",))
    second = greet.signal_with_start("say", "c", start_kwargs={"name": "Bob"})
    assert second.run_id == first.run_id
    second.signal("end")
    words = first.result(timeout=5)
    assert [word[:-1] if isinstance(word, list) else word for word in words] == ["Ada", "begun", ["a", "b"], ["c"]]
    with pytest.raises(WorkflowClosedError):
        greet.signal_with_start("say", "too late")
    assert greeter.options(id="g", id_reuse="allow").signal_with_start("end").result(timeout=5) == ["nobody", "begun"]
    with pytest.raises(WorkflowAlreadyStartedError):
        greeter.options(id="g", id_reuse="reject").signal_with_start("end")


def test_signal_with_start_replays_and_waits_for_the_delay(tmp_path: Path) -> None:
    """It does not end a start delay, as a later signal does; after a restart it is still one activation."""
    path = tmp_path / "s.duckdb"
    with WorkflowEnvironment(path) as env:
        began = env.now().timestamp()
        greeter.options(id="g", start_delay="1 hour").signal_with_start("say", "soon", start_args=("Ada",))
        waits_first.options(id="w").signal_with_start("nothing")
        env.sleep("1 min")
        assert env.client.rows("SELECT count(*) AS n FROM events WHERE event_type = 'TimerStarted'") == [{"n": 1}]
    with WorkflowEnvironment(path) as env:
        env.sleep("2 hours")
        handle = nbflow.get("g")
        assert event_types(handle) == ["Started", "Signaled"]
        then = env.now()
    with WorkflowEnvironment(path, start=then):
        nbflow.get("g").signal("end")
        name, begun, said = nbflow.get("g").result(timeout=5)
        assert (name, said[0], begun) == ("Ada", "soon", "begun")
        assert said[1] == pytest.approx(began + 3600, abs=30)


@pytest.mark.usefixtures("env")
def test_update_with_start() -> None:
    """The code begins, then the update is handled; if one runs it is updated, and the same id is one update."""
    greet = greeter.options(id="g")
    update = greet.update_with_start("ask", "hi", start_args=("Ada",), id="u")
    assert update.result(timeout=5) == "hi, Ada"
    assert event_types(update.workflow) == ["Started", ACCEPTED, ANSWERED]
    again = greet.update_with_start("ask", "hi", start_args=("Bob",), id="u", wait_for="completed")
    assert (again.result(), again.workflow.run_id) == ("hi, Ada", update.workflow.run_id)
    update.workflow.signal("end")
    assert update.workflow.result(timeout=5) == ["Ada", "begun", "hi"]
    assert greet.update_with_start("ask", "hi", id="u").result() == "hi, Ada"
    with pytest.raises(WorkflowClosedError):
        greet.update_with_start("ask", "hi")


@pytest.mark.usefixtures("env")
def test_a_rejected_update_leaves_the_execution_that_was_started_for_it() -> None:
    """The start counts; the update left nothing."""
    with pytest.raises(WorkflowUpdateFailedError, match="was rejected"):
        greeter.options(id="g").update_with_start("ask")
    assert event_types(nbflow.get("g")) == ["Started"]


@pytest.mark.usefixtures("env")
def test_what_can_not_be_sent_with_a_start() -> None:
    """An update with a delayed start, names that are no text, and anything from inside a workflow."""
    with pytest.raises(ConfigurationError, match="delayed"):
        greeter.options(start_delay=5).update_with_start("ask", "x")
    with pytest.raises(ClientError, match="must be text"):
        greeter.signal_with_start(5)  # type: ignore[arg-type]

    @workflow
    def starts_another() -> str:
        try:
            greeter.signal_with_start("say")
        except DefinitionError as error:
            return str(error)
        return ""

    assert "inside a workflow" in starts_another()


@pytest.mark.parametrize("point", [1, 2])
def test_a_reset_of_what_was_started_with_a_signal(point: int, tmp_path: Path) -> None:
    """The new run gets the signal, with its start or behind it, and can be brought back."""
    with WorkflowEnvironment(tmp_path / "s.duckdb") as env:
        handle = greeter.options(id="g").signal_with_start("say", "hello", start_args=("Ada",))
        again = handle.reset(point)
        assert event_types(again)[:2] == ["Started", "Signaled"]
        env.restart()
        handle = nbflow.get("g")
        handle.signal("end")
        name, begun, said = handle.result(timeout=5)
        assert (name, begun, said[0]) == ("Ada", "begun", "hello")
