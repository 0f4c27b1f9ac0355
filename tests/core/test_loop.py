"""The deterministic loop: order by rule, time by the owner, and no way out."""

from __future__ import annotations

import asyncio
import contextvars
import math

import pytest
from replay_corpus import double
from replay_player import START, Player

import nbflow
from nbflow.core.loop import DeterministicLoop, OrderedFuture
from nbflow.exceptions import NondeterminismError


class Owner:
    """Takes down what the loop asks of an execution."""

    def __init__(self):
        self.timers, self.complaints = [], []

    def start_timer(self, seconds, callback):
        self.timers.append((seconds, callback))

    def on_loop_exception(self, context):
        self.complaints.append(context)

    def check_may_change(self, what):
        pass


@pytest.fixture
def loop():
    """A loop by itself."""
    return DeterministicLoop(Owner(), "run-1")


def test_callbacks_run_first_in_first_out(loop):
    """Also those that callbacks add."""
    seen = []
    loop.call_soon(lambda: (seen.append(1), loop.call_soon(seen.append, 3)))
    loop.call_soon(seen.append, 2)
    loop.drain()
    assert seen == [1, 2, 3]


def test_a_cancelled_callback_does_not_run(loop):
    """call_soon returns a handle, as asyncio's does."""
    handle = loop.call_soon(print, "no")
    handle.cancel()
    assert handle.cancelled()
    loop.drain()


def test_callbacks_run_in_their_context(loop):
    """The one given, or the one they were added in."""
    variable, seen = contextvars.ContextVar("variable", default=0), []
    context = contextvars.copy_context()
    context.run(variable.set, 5)
    loop.call_soon(lambda: seen.append(variable.get()), context=context)
    loop.call_soon(lambda: seen.append(variable.get()))
    loop.drain()
    assert seen == [5, 0]


def test_a_callback_that_raises_is_told_and_the_rest_runs(loop):
    """asyncio's contract."""
    seen = []
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(seen.append, 1)
    loop.drain()
    assert seen == [1]
    assert isinstance(loop._owner.complaints[0]["exception"], ZeroDivisionError)


def test_time_stands_still(loop):
    """call_later asks the owner; what is due already needs no timer."""
    seen = []
    loop.now = 100.0
    loop.call_later(5, seen.append, "later")
    loop.call_at(107.5, seen.append, "at")
    past = loop.call_later(-1, seen.append, "past")
    assert [seconds for seconds, _ in loop._owner.timers] == [5, 7.5]
    assert (loop.time(), past.when()) == (100.0, 100.0)
    loop.drain()
    loop._owner.timers[1][1]()
    loop.drain()
    assert seen == ["past", "at"]


def test_futures_are_ordered_by_creation(loop):
    """A set of them iterates the same way in every process."""
    futures = [OrderedFuture(loop=loop) for _ in range(100)]
    assert [hash(future) for future in futures] == sorted(hash(future) for future in futures)
    again = DeterministicLoop(Owner(), "run-1")
    assert [hash(OrderedFuture(loop=again)) for _ in range(3)] == [hash(future) for future in futures[:3]]
    assert hash(OrderedFuture(loop=DeterministicLoop(Owner(), "run-2"))) != hash(futures[0])
    assert len({futures[0], futures[0], futures[1]}) == 2


UNABLE = (
    "run_forever run_until_complete create_connection add_reader add_signal_handler sock_recv subprocess_exec "
    "getaddrinfo run_in_executor call_soon_threadsafe"
)


@pytest.mark.parametrize("name", UNABLE.split())
def test_what_the_loop_can_not_do_it_says(loop, name):
    """Each names itself and what to do."""
    with pytest.raises(NondeterminismError, match="move it into an activity"):
        getattr(loop, name)(None, None)


def outcome(function):
    """Run a workflow to its end and return the player."""
    player = Player(function).start()
    while player.timers or player.activities:
        if player.activities:
            player.run()
        else:
            player.fire()
    player.close()
    return player


async def asks_the_loop():
    loop = asyncio.get_running_loop()
    return [loop.is_running(), loop.is_closed(), loop.get_debug(), loop.time(), loop.get_exception_handler() is None]


def test_what_asyncios_own_code_asks():
    """The loop answers like one that runs."""
    assert outcome(asks_the_loop).result == [True, False, False, (START + 1000) / 1e6, True]


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 1e15])
def test_endless_timers_are_refused(seconds):
    """asyncio.sleep(inf) would be a timer that no calendar has."""

    async def flow():
        await asyncio.sleep(seconds)

    assert "a timer can't wait" in outcome(flow).failure.message


def test_short_timers_are_kept_exactly():
    """Deadlines given as loop time lose no microsecond to floating point."""

    async def flow():
        async with asyncio.timeout(0.1):
            await asyncio.Event().wait()

    player = Player(flow).start()
    assert player.history[1].start_to_fire_timeout == 0.1
    player.close()


def test_the_callers_context_does_not_leak_in():
    """Context variables of whoever drives the execution are not there, so a replay elsewhere sees the same."""
    variable = contextvars.ContextVar("variable", default="unset")

    async def flow():
        seen = [variable.get()]

        @nbflow.signal
        def go():
            seen.append(variable.get())

        @nbflow.query
        def state():
            return variable.get()

        await nbflow.wait_condition(lambda: seen.append(variable.get()) or len(seen) > 4)
        return seen

    variable.set("the engine's")
    player = Player(flow).start().signal("go")
    assert player.instance.is_closed or player.instance.query("state", []) == "unset"
    while not player.instance.is_closed:
        player.signal("other")
    assert set(player.result) == {"unset"}
    player.close()


def def_contexts():
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(1)
    double(1)
    seen = [variable.get()]

    @nbflow.signal
    def go():
        seen.append(variable.get())
        variable.set(5)

    nbflow.wait_for_signal("end")
    return [*seen, variable.get()]


def test_context_variables_of_a_def_workflow_survive_its_waits():
    """A greenlet has a context of its own; a handler starts from the execution's empty one."""
    player = Player(def_contexts).start().run().signal("go").signal("end")
    assert player.result == [1, 0, 1]
    player.close()


def test_tasks_take_their_creators_context():
    """As everywhere in asyncio."""
    variable = contextvars.ContextVar("variable", default=0)

    async def flow():
        async def read():
            await asyncio.sleep(1)
            return variable.get()

        variable.set(1)
        first = asyncio.create_task(read())
        variable.set(2)
        second = asyncio.create_task(read())
        variable.set(3)
        return [await first, await second, variable.get()]

    assert outcome(flow).result == [1, 2, 3]


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt(), GeneratorExit(), BaseException("odd")])
@pytest.mark.parametrize("colour", ["async", "def"])
def test_exits_of_workflow_code_fail_the_execution(error, colour):
    """sys.exit() in a workflow ends the workflow, not the engine."""

    async def flow():
        raise error

    def flow_def():
        raise error

    player = outcome(flow if colour == "async" else flow_def)
    assert player.failure.type_name == type(error).__name__


def test_exits_in_a_task_reach_who_awaits_it():
    """The engine lives; the main code decides."""

    async def flow():
        async def leave():
            raise SystemExit(1)

        try:
            await asyncio.create_task(leave())
        except SystemExit:
            return "stayed"

    assert outcome(flow).result == "stayed"


def test_a_foreign_future_is_refused_by_the_task():
    """A future of another loop would never wake this one; the failure names it."""
    other = asyncio.new_event_loop()
    future = other.create_future()

    async def flow():
        await future

    player = outcome(flow)
    assert player.failure.type_name == "RuntimeError"
    assert "attached to a different loop" in player.failure.message
    other.close()


def test_what_is_ready_when_the_end_is_asked_for_does_not_run():
    """A task that would spin for ever does not hold the execution that has returned."""

    async def flow():
        async def spin():
            while True:
                await asyncio.sleep(0)

        task = asyncio.create_task(spin())
        await asyncio.sleep(0)
        return task.done()

    assert outcome(flow).types == ["Started", "Completed"]


def test_a_task_that_fails_unseen_is_logged_once():
    """Nobody retrieved its exception: a line in the log, nothing on the console."""

    class Odd(Exception):
        def __repr__(self):
            raise RuntimeError("no text")

    async def flow():
        async def fail():
            raise Odd

        asyncio.create_task(fail(), name="leaf")  # noqa: RUF006  that is the mistake
        await double(1)
        await double(2)

    player = outcome(flow)
    assert [(level, message) for level, message in player.logs] == [
        (40, "task 'leaf' failed and nobody asked for its result: Odd")
    ]
