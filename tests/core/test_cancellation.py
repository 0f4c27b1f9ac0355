"""Cancelling an execution: how far it reaches, what holds it off, and how the execution ends. Both colours."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from replay_corpus import add, double, flaky
from replay_player import Player

import nbflow
from nbflow.core.events import (
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
)
from nbflow.core.replay import replay
from nbflow.exceptions import ActivityError, ApplicationError, CancelledError

SCHEDULED, ASKED = "ActivityTaskScheduled", "ActivityTaskCancelRequested"
DONE = ["ActivityTaskStarted", "ActivityTaskCompleted"]


def both(plain, coroutine):
    """Try a plain ``def`` and an ``async def``."""
    return pytest.mark.parametrize("function", [plain, coroutine], ids=["def", "async"])


# How far it reaches.


def gathers_def():
    nbflow.gather(double.start(1), double.start(2))


async def gathers():
    await asyncio.gather(double(1), double(2))


@both(gathers_def, gathers)
def test_it_reaches_all_that_is_gathered(play, function):
    """Each activity is asked to cancel, in order, then the execution is cancelled."""
    player = play(function).cancel()
    assert player.types[3:] == ["CancelRequested", ASKED, ASKED, "Canceled"]


async def groups():
    async def member(x):
        try:
            await double(x)
        finally:
            await add(x, x)

    async with asyncio.TaskGroup() as group:
        for x in (1, 2):
            group.create_task(member(x))


def test_it_reaches_the_members_of_a_task_group(play):
    """They clean up, with activities, before the execution is cancelled."""
    player = play(groups).cancel()
    assert player.types[3:] == ["CancelRequested", ASKED, ASKED, SCHEDULED, SCHEDULED]
    player.complete("add").complete("add")
    assert player.status == "Canceled"


async def waits_at_most():
    await asyncio.wait_for(double(1), 60)


async def within_a_timeout():
    async with asyncio.timeout(60):
        await double(1)


@both(waits_at_most, within_a_timeout)
def test_it_goes_through_timeouts_as_itself(play, function):
    """It does not turn into TimeoutError; activity and timer are cancelled."""
    player = play(function).cancel()
    assert player.status == "Canceled"
    assert sorted(player.types[4:-1]) == [ASKED, "TimerCanceled"]


def waits_for_a_condition_def():
    nbflow.wait_condition(lambda: False, timeout=60)


async def waits_for_a_condition():
    await nbflow.wait_condition(lambda: False, timeout=60)


def waits_for_a_word_def():
    nbflow.wait_for_signal("word", timeout=60)


@pytest.mark.parametrize("function", [waits_for_a_condition_def, waits_for_a_condition, waits_for_a_word_def])
def test_it_ends_waiting_and_its_timer(play, function):
    """Conditions and signals are waited for no longer."""
    assert play(function).cancel().types == ["Started", "TimerStarted", "CancelRequested", "TimerCanceled", "Canceled"]


# What holds it off.


async def shields():
    work = asyncio.ensure_future(_work())
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        return "late", await work


async def _work():
    first = await double(1)
    return await add(first, 1)


def test_what_is_shielded_goes_on(play):
    """The workflow hears of the cancellation, waits for the rest, and completes."""
    player = play(shields).cancel()
    assert player.types[2:] == ["CancelRequested"]
    player.run().run()
    assert player.result == ["late", 3]


def cleans_up_def():
    try:
        double(1)
    except asyncio.CancelledError:
        nbflow.sleep(60)
        return add(1, 1)
    finally:
        add(2, 2)


async def cleans_up():
    try:
        await double(1)
    except asyncio.CancelledError:
        await nbflow.sleep(60)
        return await add(1, 1)
    finally:
        await add(2, 2)


@both(cleans_up_def, cleans_up)
def test_cleanup_may_wait_and_swallow(play, function):
    """Timers and activities of cleanup code run; a workflow that returns has completed."""
    player = play(function).cancel().fire().run("add").run("add")
    assert player.types[2:] == [
        *("CancelRequested", ASKED, "TimerStarted", "TimerFired"), *(SCHEDULED, *DONE) * 2, "Completed",
    ]  # fmt: skip
    assert player.result == 2


@both(cleans_up_def, cleans_up)
def test_cleanup_is_not_cancelled_again(play, function):
    """A second request, should one be recorded, is not heard."""
    player = play(function).cancel().cancel()
    assert player.types[2:] == ["CancelRequested", ASKED, "TimerStarted", "CancelRequested"]


async def has_handlers():
    got = []

    @nbflow.signal
    async def note(x):
        got.append(await double(x))

    @nbflow.update
    async def put(x):
        got.append(await double(x))
        return got

    with contextlib.suppress(asyncio.CancelledError):
        await nbflow.sleep("1 day")
    await nbflow.wait_condition(nbflow.all_handlers_finished)
    return got


def test_it_does_not_reach_handlers(play):
    """Only the main function is cancelled: what signals and updates began goes on."""
    player = play(has_handlers).signal("note", 1).update("put", 2).cancel()
    assert player.status == "Running"
    assert ASKED not in player.types
    assert player.run().run().result == [2, 4]


# When it comes together with something else.


async def waits_for_a_condition_that_holds():
    words = []
    nbflow.signal(name="word")(words.append)
    await nbflow.wait_condition(lambda: words)


@pytest.mark.parametrize("order", [1, -1])
@both(waits_for_a_word_def, waits_for_a_condition_that_holds)
def test_it_goes_before_what_comes_with_it(function, order):
    """A signal that would end the waiting, in the same activation, does not save the execution."""
    player = Player(function).start()
    made = [
        (WorkflowExecutionSignaled, {"signal_name": "word", "input": player.encode([1])}),
        (WorkflowExecutionCancelRequested, {"cause": ""}),
    ]
    player.deliver(*made[::order])
    assert player.status == "Canceled"
    player.close()


def begins_def():
    done = [1]
    try:
        double(1)
    finally:
        done.append(add(2, 2))


async def begins():
    done = [1]
    try:
        await double(1)
    finally:
        done.append(await add(2, 2))


@both(begins_def, begins)
def test_before_the_first_activation_the_code_still_begins(function):
    """Cancelled during its start delay, it comes to its first wait, and cleans up."""
    player = Player(function)
    started = {
        "workflow_type": player.definition.name,
        "workflow_id": "wf-1",
        "input": player.encode([]),
        "first_workflow_task_backoff": 60.0,
    }
    player.deliver((WorkflowExecutionStarted, started), (WorkflowExecutionCancelRequested, {"cause": ""}))
    assert player.types == ["Started", "CancelRequested", SCHEDULED]
    player.run()
    assert player.status == "Canceled"
    again = player.fresh()
    assert replay(again, player.history) == []
    again.evict()
    player.close()


# How the execution ends.


def lets_an_activity_error_pass_def():
    flaky(1)


async def lets_an_activity_error_pass():
    await flaky(1)


async def survives_once():
    with contextlib.suppress(asyncio.CancelledError):
        await nbflow.sleep(60)
    await flaky(1)


@both(lets_an_activity_error_pass_def, lets_an_activity_error_pass)
def test_an_activity_that_says_it_was_cancelled_fails_the_execution_if_nobody_asked(play, function):
    """Without a request, its ActivityError is a failure like any other."""
    player = play(function).fail(0, CancelledError("by hand"))
    assert player.status == "Failed"
    assert player.failure.cause.kind == "canceled"


def test_an_activity_error_for_a_cancellation_cancels_the_execution_that_was_asked_to(play):
    """Once cancellation was requested, it lets that pass."""
    player = play(survives_once).cancel().fail(0, CancelledError("by hand"))
    assert player.types[-2:] == ["ActivityTaskFailed", "Canceled"]


async def turns_it_into_another():
    try:
        await double(1)
    except asyncio.CancelledError as error:
        msg = "stopped half way"
        raise ApplicationError(msg) from error


async def raises_one_of_its_own():
    raise asyncio.CancelledError


def test_another_exception_fails_the_execution(play):
    """Whatever its cause is."""
    assert play(turns_it_into_another).cancel().status == "Failed"


def test_a_cancellation_of_its_own_fails_the_execution(play):
    """Nobody asked for it."""
    assert play(raises_one_of_its_own).status == "Failed"


async def catches_in_a_retry_loop():
    for _ in range(3):
        with contextlib.suppress(ActivityError):
            await flaky(1)
        await nbflow.sleep(60)


def test_between_the_rounds_of_a_loop(play):
    """It ends a loop that goes on after failures, as those do not include it."""
    player = play(catches_in_a_retry_loop).fail(0, ApplicationError("no")).cancel()
    assert player.types[-3:] == ["CancelRequested", "TimerCanceled", "Canceled"]
