"""Updates: accepted or rejected, answered once, and durable before anybody hears of it."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.exceptions import (
    ApplicationError,
    ClientError,
    ConfigurationError,
    TimeoutError,  # noqa: A004  Temporal's name for it
    UpdateLimitError,
    WorkflowClosedError,
    WorkflowSuspendedError,
    WorkflowUpdateFailedError,
)
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, wait_until

ACCEPTED, ANSWERED = "WorkflowExecutionUpdateAccepted", "WorkflowExecutionUpdateCompleted"
DONE_ACTIVITY = ["ActivityTaskScheduled", "ActivityTaskStarted", "ActivityTaskCompleted"]


@activity
def price_of(item: str) -> int:
    """Look it up."""
    return len(item)


@workflow
def basket() -> list[str]:
    """Take items until it is checked out."""
    items: list[str] = []
    closed: list[bool] = []

    @nbflow.update
    def add(item: str) -> int:
        items.append(item)
        return sum(map(price_of, items))

    @add.validator
    def known(item: str) -> None:
        if item == "snake":
            msg = "no snakes"
            raise ValueError(msg)

    @nbflow.update(name="checkout")
    async def on_checkout() -> str:
        closed.append(True)
        return "thanks"

    @nbflow.update(unfinished_policy="abandon")
    async def never() -> None:
        await nbflow.wait_condition(lambda: False)

    @nbflow.update
    def broken() -> None:
        msg = "out of order"
        raise ApplicationError(msg, 42, type="Broken")

    nbflow.wait_condition(lambda: closed)
    return items


@pytest.mark.usefixtures("env")
def test_an_update_changes_the_execution_and_answers() -> None:
    """The order of events is Temporal's: accepted, what the handler asks for, completed; then the end."""
    handle = basket.start()
    assert handle.update("add", "apple") == 5
    assert handle.update("checkout") == "thanks"
    assert handle.result(timeout=5) == ["apple"]
    assert event_types(handle) == ["Started", ACCEPTED, *DONE_ACTIVITY, ANSWERED, ACCEPTED, ANSWERED, "Completed"]


@pytest.mark.usefixtures("env")
@pytest.mark.parametrize(
    ("name", "args", "kind", "words"),
    [
        ("add", ("snake",), "ValueError", "no snakes"),
        ("add", (), "TypeError", "missing a required argument: 'item'"),
        ("ad", (), "UnknownUpdateError", "this execution has: add, broken, checkout, never"),
    ],
)
def test_a_rejected_update_leaves_nothing(name: str, args: tuple[Any, ...], kind: str, words: str) -> None:
    """By its validator, for its arguments, or for want of a handler: the history is what it was."""
    handle = basket.start()
    with pytest.raises(WorkflowUpdateFailedError, match="was rejected") as caught:
        handle.update(name, *args)
    cause = caught.value.__cause__
    assert caught.value.is_rejected
    assert isinstance(cause, ApplicationError)
    assert cause.type == kind
    assert words in str(cause)
    assert event_types(handle) == ["Started"]


@pytest.mark.usefixtures("env")
@pytest.mark.filterwarnings("ignore::nbflow.DeterminismWarning")
def test_a_validator_may_only_read() -> None:
    """It can't run activities, wake what waits, or use up random numbers; its IO rejects the update."""

    @workflow
    def watched() -> float:
        opened: list[int] = []

        @nbflow.update
        def go(what: str) -> None:
            opened.append(1)

        @go.validator
        def look(what: str) -> None:
            nbflow.random().random()
            if what == "activity":
                price_of("x")
            if what == "file":
                open("/etc/hostname").close()  # noqa: PTH123

        nbflow.wait_condition(lambda: opened)
        return nbflow.random().random()

    handle = watched.start()
    for what, error in (("activity", "ReadOnlyContextError"), ("file", "NondeterminismError")):
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            handle.update("go", what)
        assert caught.value.__cause__.type == error  # type: ignore[union-attr]
    handle.update("go", "on")
    drawn = handle.result(timeout=5)
    assert drawn == random.Random(handle.history()[0].random_seed).random()  # type: ignore[attr-defined]
    assert event_types(handle) == ["Started", ACCEPTED, ANSWERED, "Completed"]


@pytest.mark.usefixtures("env")
def test_a_failing_handler_fails_the_update_alone() -> None:
    """The execution lives on; the caller gets the cause with its details."""
    handle = basket.start()
    with pytest.raises(WorkflowUpdateFailedError, match="failed: Broken: out of order") as caught:
        handle.update("broken")
    assert not caught.value.is_rejected
    assert caught.value.__cause__.details == (42,)  # type: ignore[union-attr]
    assert handle.status == "Running"
    assert event_types(handle) == ["Started", ACCEPTED, ANSWERED]


@pytest.mark.usefixtures("env")
def test_the_same_id_is_one_update() -> None:
    """Asking again gives the same answer, while it runs, when it has ended, and when the execution has closed."""
    handle = basket.start()
    first = handle.start_update("add", "pear", id="u1")
    assert (first.id, first.name) == ("u1", "add")
    assert handle.update("add", "another", id="u1") == first.result() == 4
    handle.update("checkout", id="end")
    assert handle.result(timeout=5) == ["pear"]
    assert handle.update("add", "pear", id="u1") == 4
    assert handle.start_update("checkout", id="end", wait_for="completed").result() == "thanks"
    with pytest.raises(WorkflowClosedError):
        handle.update("add", "pear")
    with pytest.raises(WorkflowClosedError):
        handle.update("add", "pear", id="u2")


@pytest.mark.usefixtures("env")
def test_an_update_that_the_execution_left_unfinished() -> None:
    """Who waits for it hears of it, and so does who asks later."""
    handle = basket.start()
    update = handle.start_update("never", id="u")
    with pytest.raises(TimeoutError, match="it goes on"):
        update.result(timeout=0.01)
    handle.update("checkout")
    for ask in (update.result, lambda: handle.update("never", id="u")):
        with pytest.raises(WorkflowUpdateFailedError, match="closed as Completed before") as caught:
            ask()
        assert caught.value.__cause__.type == "AcceptedUpdateCompletedWorkflow"  # type: ignore[union-attr]
    row = nbflow.sql("SELECT status, failure_type FROM updates WHERE update_id = 'u'")
    assert row.values.tolist() == [["Failed", "AcceptedUpdateCompletedWorkflow"]]


@pytest.mark.usefixtures("env")
def test_at_most_ten_at_once() -> None:
    """The eleventh is refused, and leaves nothing."""
    handle = basket.start()
    for _ in range(10):
        handle.start_update("never")
    with pytest.raises(UpdateLimitError, match="10 updates under way"):
        handle.start_update("never")
    assert event_types(handle) == ["Started", *[ACCEPTED] * 10]


@pytest.mark.usefixtures("env")
def test_an_update_waits_for_the_end_of_a_start_delay() -> None:
    """Only then it is known who handles it; a rejected one leaves nothing there either."""
    handle = basket.options(start_delay="1 hour").start()
    refused: list[BaseException] = []

    def ask() -> None:
        try:
            handle.update("add", "snake")
        except WorkflowUpdateFailedError as error:
            refused.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert handle.update("add", "fig") == 3
    asking.join(5)
    assert len(refused) == 1
    assert event_types(handle) == ["Started", ACCEPTED, *DONE_ACTIVITY, ANSWERED]


def test_an_accepted_update_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Its handler goes on where it was, and the same id gets its answer."""
    release = threading.Event()

    @activity
    def held(x: int) -> int:
        release.wait(10)
        return x

    @workflow
    def counting() -> int:
        total = [0]

        @nbflow.update
        async def count(x: int) -> int:
            total[0] += await held(x)
            await nbflow.sleep("1 hour")
            return total[0]

        nbflow.wait_condition(lambda: total[0] and nbflow.all_handlers_finished())
        return total[0]

    with WorkflowEnvironment(tmp_path / "s.duckdb") as env:
        handle = counting.options(id="c").start()
        handle.start_update("count", 3, id="u")
        wait_until(lambda: bool(env.client.engine.activities.under_way))
        release.set()
    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        handle = nbflow.get("c")
        assert handle.start_update("count", 99, id="u").result(timeout=5) == 3
        assert handle.result(timeout=5) == 3
        assert event_types(handle).count(ACCEPTED) == 1


@pytest.mark.usefixtures("env")
def test_what_makes_no_sense_is_refused() -> None:
    """Names that are no text, unknown stages, ids that nothing has."""
    handle = basket.start()
    with pytest.raises(ClientError, match="name of an update must be text"):
        handle.update(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="wait_for must be"):
        handle.start_update("add", "x", wait_for="done")  # type: ignore[arg-type]
    with pytest.raises(ClientError, match="accepted no update with the id 'u9'"):
        handle.get_update("u9").result()


@pytest.mark.usefixtures("env")
def test_a_terminated_execution_answers_no_update() -> None:
    """Those who wait are told, not left waiting."""
    handle = basket.start()
    update = handle.start_update("never")
    handle.terminate()
    with pytest.raises(WorkflowUpdateFailedError, match="closed as Terminated"):
        update.result(timeout=5)


@pytest.mark.usefixtures("env")
def test_the_view_of_updates() -> None:
    """A row an accepted update, with what it was asked and what it answered."""
    handle = basket.start()
    handle.update("add", "kiwi", id="a")
    handle.start_update("never", id="b")
    with pytest.raises(WorkflowUpdateFailedError):
        handle.update("broken", id="c")
    rows = nbflow.sql("SELECT update_id, update_name, status, input, result, failure_message FROM updates ORDER BY 1")
    assert rows.astype(object).where(rows.notna(), None).values.tolist() == [
        ["a", "add", "Completed", '["kiwi"]', "4", None],
        ["b", "never", "Accepted", "[]", None, None],
        ["c", "broken", "Failed", "[]", None, "out of order"],
    ]


_KILLED = """
import os, sys, nbflow
from nbflow import activity, workflow

@activity
def slow_step(x):
    os.kill(os.getpid(), 9) if sys.argv[1:] else None
    return x

@workflow
def survivor():
    total = []

    @nbflow.update
    def put(x):
        total.append(slow_step(x))
        nbflow.sleep(0.01)
        return sum(total)

    nbflow.wait_condition(lambda: total and nbflow.all_handlers_finished())
    return total

nbflow.open("s.duckdb")
handle = survivor.options(id="k").start()
print(handle.update("put", 3 if sys.argv[1:] else 99, id="u"), handle.result(timeout=30))
"""


def test_an_accepted_update_goes_on_after_a_kill(tmp_path: Path) -> None:
    """The process dies in the handler's activity; the next one, which asks with the same id, gets the answer."""
    script = tmp_path / "main.py"
    script.write_text(_KILLED)
    outputs = []
    for arguments in (["die"], []):
        command = [sys.executable, str(script), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        outputs.append((done.returncode, done.stdout))
    assert outputs == [(-9, ""), (0, "3 [3]\n")]


@pytest.mark.usefixtures("env")
def test_updates_follow_an_execution_that_continues_as_new() -> None:
    """Requests go to the newest run; the handle of an update stays with its run."""

    @workflow
    def turning(turn: int = 0) -> None:
        told: list[int] = []

        @nbflow.update
        def tell(x: int) -> int:
            told.append(x)
            return turn * 10 + x

        nbflow.wait_condition(lambda: told)
        if turn < 2:
            nbflow.continue_as_new(turn + 1)

    handle = turning.start()
    updates = [handle.start_update("tell", x, id=f"u{x}") for x in (1, 2, 3)]
    assert [update.result(timeout=5) for update in updates] == [1, 12, 23]
    assert handle.result(timeout=5) is None


@pytest.mark.usefixtures("env")
def test_an_update_of_a_suspended_execution() -> None:
    """Who waits is told why it does not end, and so is who asks later; a new one is refused."""

    @workflow(on_error="suspend")
    async def stops() -> None:
        begun: list[int] = []

        @nbflow.update(unfinished_policy="abandon")
        async def begin() -> None:
            begun.append(1)
            await nbflow.sleep("1 day")

        await nbflow.wait_condition(lambda: begun)
        await nbflow.sleep("1 hour")
        msg = "stop"
        raise RuntimeError(msg)

    handle = stops.start()
    update = handle.start_update("begin", id="u")
    for ask in (update.result, lambda: handle.get_update("u").result()):
        with pytest.raises(WorkflowSuspendedError, match="stop"):
            ask()
    with pytest.raises(ClientError, match="takes no updates"):
        handle.update("begin")


@pytest.mark.usefixtures("env")
def test_an_update_can_be_awaited() -> None:
    """From a notebook's own loop, without blocking it."""
    handle = basket.start()

    async def ask() -> Any:
        return await handle.start_update("add", "plum")

    assert asyncio.run(ask()) == 4


@pytest.mark.usefixtures("env")
def test_a_handler_can_not_continue_as_new() -> None:
    """The update fails for it; the execution lives on."""

    @workflow
    def stays() -> None:
        @nbflow.update
        def leave() -> None:
            nbflow.continue_as_new()

        nbflow.wait_condition(lambda: False)

    handle = stays.start()
    with pytest.raises(WorkflowUpdateFailedError, match="can't continue as new"):
        handle.update("leave")
    assert handle.status == "Running"
