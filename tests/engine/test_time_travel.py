"""Executions as they were at events of their past: variables, lines, what was pending, what queries would have said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.core.definitions import REGISTRY
from nbflow.exceptions import ClientError, NondeterminismError, QueryError, WorkflowFailedError, WorkflowNotFoundError
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types


@pytest.fixture(autouse=True)
def env() -> Iterator[WorkflowEnvironment]:
    """Return a store in memory on a skipping clock."""
    with WorkflowEnvironment() as environment:
        yield environment


@activity
def travel_step(x: Any) -> Any:
    """Give back what it got."""
    return x


def nap(text: str) -> str:
    """Sleep within a helper."""
    loud = text.upper()
    nbflow.sleep("1 hour", summary="nap")
    return loud


@workflow
def travel_plain(n: int) -> str:
    """Take steps, sleep, and return; or fail, given nothing to do."""
    got: list[int] = []

    @nbflow.query
    def count() -> int:
        return len(got)

    for i in range(n):
        got.append(travel_step(i))
    slept = nap("slept")
    return f"{slept} {6 // n}"


@workflow
async def travel_async(n: int) -> list[int]:
    """Do the same in another colour, with tasks on the side."""

    async def side(k: int) -> int:
        inner = k * 2
        await nbflow.sleep(k)
        return inner

    got: list[int] = [await travel_step(i) for i in range(n)]
    got += await asyncio.gather(*(side(k + 1) for k in range(n)))
    await nbflow.wait_for_signal("go")
    return got


def test_variables_and_lines_at_each_event_of_a_plain_workflow() -> None:
    """A greenlet's frames tell them; what is seen at one event does not change with the next."""
    handle = travel_plain.start(2)
    handle.result()
    seen = list(handle.replay())
    assert [(it.event_id, list(it.locals.get("travel_plain", {}).get("got", ()))) for it in seen] == [
        *((1, []), (2, []), (3, []), (4, [0]), (5, [0]), (6, [0]), (7, [0, 1]), (8, [0, 1])),
        *((9, []), (10, [])),
    ]
    assert seen[0].lines["travel_plain"].text.startswith("got.append(travel_step(i))")
    asleep = seen[7]
    assert asleep.lines["travel_plain"].text == 'nbflow.sleep("1 hour", summary="nap")'
    assert [(it.function, it.locals.get("loud")) for it in asleep.stacks["travel_plain"]] == [
        ("travel_plain", None),
        ("nap", "SLEPT"),
    ]
    assert [(it.status, it.result) for it in seen[-2:]] == [("Running", "SLEPT 3"), ("Completed", "SLEPT 3")]


def test_variables_and_lines_of_every_task_of_an_async_workflow(env: WorkflowEnvironment) -> None:
    """Each coroutine that waits has its own, under its own name."""
    handle = travel_async.start(2)
    env.sleep("1s")
    asleep = next(it for it in handle.replay() if len(it.locals) == 3)
    assert asleep.locals["side"] == {"k": 1, "inner": 2}
    assert asleep.locals["side #2"] == {"k": 2, "inner": 4}
    assert asleep.locals["travel_async"]["got"] == [0, 1]
    assert asleep.lines["side"].text == "await nbflow.sleep(k)"
    assert "gather" in asleep.lines["travel_async"].text


def test_what_is_pending(env: WorkflowEnvironment) -> None:
    """Activities, timers with their summaries and due times, and signals."""
    handle = travel_async.start(1)
    env.sleep("1 day")
    found = [[(it.kind, it.name, it.event_id) for it in moment.pending] for moment in handle.replay()]
    step, timer = ("activity", "travel_step", 2), ("timer", "1", 5)
    assert found == [[], [step], [step], [], [timer], [("signal", "go", None)]]
    due = handle.replay(5).pending[0].due
    assert due is not None
    assert due == handle.history()[4].event_time + 1_000_000


def test_commands_tell_which_event_moved_the_code_and_which_line_asked() -> None:
    """So the way from an event to its consequences can be followed."""
    handle = travel_plain.start(1)
    handle.result()
    found = [(it.event_id, it.command, it.place and it.place.text[:10]) for it in handle.replay().commands]
    assert found == [
        (1, "ScheduleActivityTask(travel_step)", "got.append"),
        (4, "StartTimer(1)", "nbflow.sle"),
        (6, "CompleteWorkflowExecution", None),
    ]
    assert len(handle.replay(5).commands) == 2


def test_a_failed_execution_shows_the_line_that_raised_and_its_variables() -> None:
    """They are there although the code is over."""
    handle = travel_plain.start(0)
    with pytest.raises(WorkflowFailedError):
        handle.result()
    end = nbflow.replay(handle)
    assert end.status == "Failed"
    assert end.failed_at is not None
    assert end.failed_at.text == 'return f"{slept} {6 // n}"'
    assert (end.locals["travel_plain"]["slept"], end.locals["travel_plain"]["n"]) == ("SLEPT", 0)
    assert "by zero" in str(end.failure)
    assert end.at(1).failure is None


def test_a_query_about_the_past_is_answered_as_it_was_then(env: WorkflowEnvironment) -> None:
    """The answer that was given live, after each event, is the answer that the replay gives at it."""

    @workflow
    async def travel_counter() -> None:
        heard: list[Any] = []
        nbflow.query(lambda: list(heard), name="heard")
        while True:
            heard.append(await nbflow.wait_for_signal("say"))

    handle = travel_counter.start()
    live = {len(handle.history()): handle.query("heard")}
    for word in ("one", "two", "three"):
        handle.signal("say", word)
        live[len(handle.history())] = handle.query("heard")
    handle.cancel()
    assert event_types(handle)[-1] == "Canceled"
    assert live == {1: [], 2: ["one"], 3: ["one", "two"], 4: ["one", "two", "three"]}
    assert {at: handle.query("heard", at=at) for at in live} == live
    with pytest.raises(QueryError, match="no query handler"):
        handle.query("nothing", at=1)


def test_going_from_event_to_event() -> None:
    """at() and step() give new objects; the history's ends are errors that name them."""
    handle = travel_plain.start(1)
    handle.result()
    first = handle.replay(1)
    assert (len(first), first.step().event_id, first.step(2).step(-1).event_id, first.event_id) == (7, 2, 2, 1)
    assert [type(event).__name__ for event in first.step().events][-1] == "ActivityTaskScheduled"
    assert first.step().time - first.time < timedelta(seconds=5)
    for wrong in (lambda: first.step(-1), lambda: first.at(9), lambda: handle.replay(0)):
        with pytest.raises(ClientError, match="has events 1 to 7"):
            wrong()
    with pytest.raises(WorkflowNotFoundError):
        nbflow.replay("nobody")


def test_a_replay_touches_nothing(env: WorkflowEnvironment) -> None:
    """Neither the history nor the execution: it goes on as if nobody had looked."""
    handle = travel_async.start(1)
    env.sleep("1 day")
    before = len(handle.history())
    copied = handle.replay().locals["travel_async"]["got"]
    copied.append("mine")
    handle.signal("go")
    assert handle.result() == [0, 2]
    assert (before, len(handle.history())) == (6, 8)


def test_other_code_can_be_tried_on_the_past() -> None:
    """What it does differently is told by event, command and line."""

    @workflow(name="travel_plain")
    def other(n: int) -> str:
        travel_step(n)
        nbflow.sleep(1)
        return "other"

    REGISTRY.register("workflow", "travel_plain", travel_plain.definition)
    handle = travel_plain.start(1)
    handle.result()
    assert handle.replay(code=other).result == "other"
    handle = travel_plain.start(2)
    handle.result()
    with pytest.raises(NondeterminismError) as caught:
        handle.replay(code=other)
    assert (caught.value.event_id, caught.value.command) == (5, "StartTimer(1)")
    assert handle.replay(4, code=other).lines["travel_plain"].text == "nbflow.sleep(1)"


def test_values_that_can_not_be_copied_are_told(env: WorkflowEnvironment) -> None:
    """A lock of threads, or of the execution itself, does not keep the rest from being seen."""

    class Shy:
        def __deepcopy__(self, memo: Any) -> Any:
            raise RuntimeError

        def __repr__(self) -> str:
            raise RuntimeError

    @workflow
    async def travel_values() -> None:
        thread_lock, shy, here = threading.Lock(), Shy(), asyncio.get_running_loop()  # noqa: F841  looked at
        plain = {"a": [1]}  # noqa: F841  looked at
        await asyncio.Event().wait()

    found = travel_values.start().replay().locals["travel_values"]
    assert (found["plain"], found["shy"]) == ({"a": [1]}, "<Shy>")
    assert found["thread_lock"].startswith("<unlocked _thread.lock")


def test_an_execution_that_has_not_begun_has_a_past_too() -> None:
    """During its start delay nothing waits and nothing is pending."""
    moment = travel_plain.options(start_delay="1 day").start(1).replay()
    assert (moment.status, moment.locals, moment.pending, moment.commands) == ("Running", {}, [], [])


def test_the_text_of_a_replay_tells_all_of_it_shortly() -> None:
    """As the last line of a cell it answers where the execution stood."""
    handle = travel_plain.options(id="told").start(1)
    handle.result()
    lines = repr(handle.replay(2)).split("\n")
    assert lines[0] == "told at event 2 of 7, ActivityTaskScheduled(travel_step): Running"
    assert lines[1].startswith("  travel_plain waits at line ")
    assert "    n = 1" in lines
    assert lines[-1] == "  pending: activity travel_step"
