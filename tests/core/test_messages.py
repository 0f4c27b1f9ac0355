"""Signals and queries: who gets what, in which order, and what a query may not do."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from replay_corpus import double
from replay_player import Player

import nbflow
from nbflow.exceptions import NondeterminismError, QueryError, ReadOnlyContextError

# Signals.


async def collects(n):
    return [await nbflow.wait_for_signal("item") for _ in range(n)]


def test_what_a_signal_carries(play):
    """One argument is the value, several are a tuple, none is None."""
    assert play(collects, 3).signal("item", 1).signal("item", 2, 3).signal("item").result == [1, [2, 3], None]


async def comes_late():
    await nbflow.sleep(60)
    return [await nbflow.wait_for_signal("item"), await nbflow.wait_for_signal("item")]


def test_signals_wait_for_those_who_come_late(play):
    """What came before anybody waited is kept, in order."""
    assert play(comes_late).signal("item", 1).signal("other").signal("item", 2).fire().result == [1, 2]


async def handles_late():
    got = []
    await nbflow.sleep(60)

    @nbflow.signal
    def item(value):
        got.append(value)

    await nbflow.sleep(1)
    return got


def test_a_handler_gets_what_came_before_it(play):
    """In the order in which it came."""
    assert play(handles_late).signal("item", 1).signal("item", 2).fire().fire().result == [1, 2]


async def two_waiters():
    async def wait(name):
        return name, await nbflow.wait_for_signal("item")

    first, second = asyncio.create_task(wait("first")), asyncio.create_task(wait("second"))
    await double(1)
    first.cancel()
    await asyncio.wait([first, second])
    return second.result()


def test_a_signal_whose_taker_is_cancelled_goes_to_the_next(play):
    """Taken and cancelled in one activation: the second waiter gets it."""
    player = play(two_waiters)
    player.run()
    assert player.signal("item", 5).result == ["second", 5]


async def cancelled_taker():
    async def wait():
        return await nbflow.wait_for_signal("item")

    task = asyncio.create_task(wait())

    @nbflow.signal
    def stop():
        task.cancel()

    with contextlib.suppress(asyncio.CancelledError):
        return await task
    return "cancelled", await nbflow.wait_for_signal("item", timeout=5)


def test_a_signal_is_not_lost_when_its_taker_is_cancelled_in_the_same_activation():
    """A batch that delivers a signal and cancels its taker leaves the signal for the next one."""
    player = Player(cancelled_taker).start()
    encode = player.encode
    signaled = type(player.signal("unheard").history[-1])
    stop = {"signal_name": "stop", "input": encode([])}
    player.deliver((signaled, stop), (signaled, {"signal_name": "item", "input": encode([7])}))
    assert player.result == ["cancelled", 7]
    player.close()


async def times_out():
    seen = []
    for _ in range(50):
        with contextlib.suppress(TimeoutError):
            seen.append(await nbflow.wait_for_signal("item", timeout=1))
    return seen


def test_waiters_that_gave_up_are_forgotten(play):
    """A loop with a timeout does not pile up waiters, nor do they take signals."""
    player = play(times_out)
    for _ in range(49):
        player.fire()
    assert player.instance.messages.awaited == ["item"]
    assert len(player.instance.messages._waiters["item"]) == 1
    assert player.signal("item", 1).result == [1]


async def fails_in_handler():
    @nbflow.signal
    async def item(value):
        await double(value)
        raise ValueError(f"bad {value}")

    await nbflow.sleep(60)


def test_an_error_in_a_handler_fails_the_execution(play):
    """It is the workflow's code like any other."""
    player = play(fails_in_handler).signal("item", 3).run()
    assert player.types[-1] == "Failed"
    assert player.failure.headline() == "ValueError: bad 3"


def test_arguments_that_do_not_fit_a_handler_fail_the_execution(play):
    """A TypeError names the handler."""
    player = play(fails_in_handler).signal("item")
    assert "item() missing 1 required positional argument" in player.failure.message


def handles_in_def():
    got = []

    @nbflow.signal
    def item(value):
        got.append(double(value))

    nbflow.wait_condition(lambda: len(got) == 2)
    return got


def test_a_def_handler_may_block(play):
    """Each has a greenlet of its own; they wait beside each other."""
    player = play(handles_in_def).signal("item", 1).signal("item", 2)
    assert len(player.activities) == 2
    assert player.run(1).run(0).result == [4, 2]


# Queries.


async def answers():
    state = {"n": 0}
    opened, timer = asyncio.Event(), nbflow.sleep(60)
    drawn = []

    async def visitor():
        await opened.wait()

    visiting = asyncio.create_task(visitor())
    handle = double(1)

    @nbflow.query
    def get(key="n"):
        return state[key]

    asks = {
        "activity": lambda: double(1),
        "sleep": lambda: nbflow.sleep(1),
        "asyncio.sleep": lambda: asyncio.get_running_loop().call_later(1, print),
        "task": lambda: asyncio.create_task(visitor()),
        "wake": opened.set,
        "condition": lambda: nbflow.wait_condition(lambda: True),
        "signal": lambda: nbflow.wait_for_signal("go"),
        "handler": lambda: nbflow.signal(get),
        "side_effect": lambda: nbflow.side_effect(lambda: 1),
        "cancel": handle.cancel,
        "cancel timer": timer.cancel,
        "random": lambda: nbflow.random().random(),
        "uuid": lambda: str(nbflow.uuid4()),
    }

    @nbflow.query(name="do")
    def do_something(what):
        return asks[what]()

    await nbflow.wait_for_signal("go")
    drawn.append(nbflow.random().random())
    state["n"] = await double(len(drawn))
    visiting.cancel()
    await timer
    return drawn


def test_a_query_sees_the_variables(play):
    """It answers from the moment at which the execution stands, as often as it is asked."""
    player = play(answers)
    ask = player.instance.query
    assert (ask("get", []), ask("get", ["n"])) == (0, 0)
    player.signal("go").run(1)
    assert ask("get", []) == 2
    assert player.types.count("ActivityTaskScheduled") == 2
    player.cancel()


CHANGES = "activity,sleep,asyncio.sleep,task,wake,condition,signal,handler,side_effect,cancel,cancel timer"


@pytest.mark.parametrize("what", CHANGES.split(","))
def test_a_query_changes_nothing(play, what):
    """Whatever it asks for is refused, and the ids, orders and waits of the execution stay what they were."""
    player = play(answers)
    with pytest.raises(ReadOnlyContextError, match="query 'do' may only read"):
        player.instance.query("do", [what])
    assert player.instance.outstanding == []
    player.signal("go").run(1)
    assert player.history[-1].scheduled_event_id == player.history[-2].scheduled_event_id
    untouched = play(answers).signal("go").run(1)
    assert player.types == untouched.types
    assert [getattr(event, "activity_id", None) for event in player.history] == [
        getattr(event, "activity_id", None) for event in untouched.history
    ]
    for it in (player, untouched):
        it.cancel()


@pytest.mark.parametrize("what", ["random", "uuid"])
def test_a_query_may_draw_without_consequence(play, what):
    """The code's next random number is what it would have been."""
    player = play(answers)
    first = player.instance.query("do", [what])
    assert player.instance.query("do", [what]) == first
    player.signal("go")
    player.instance.query("do", [what])
    player.run(1).fire()
    untouched = play(answers).signal("go").run(1).fire()
    assert player.result == untouched.result


def test_a_query_without_handler_lists_what_there_is(play):
    """Names, sorted."""
    player = play(answers)
    with pytest.raises(QueryError, match=r"no query handler 'status'; this execution has: do, get"):
        player.instance.query("status", [])
    player.cancel()


def test_a_query_that_fails_is_told_with_its_error(play):
    """The execution goes on."""
    player = play(answers)
    with pytest.raises(QueryError, match="query handler 'get' failed: KeyError: 'x'"):
        player.instance.query("get", ["x"])
    assert player.signal("go").status == "Running"
    player.cancel()


def test_a_query_before_the_first_line_has_no_handler():
    """During a start delay nothing has run yet."""
    instance = Player(answers).instance
    with pytest.raises(QueryError, match="has: none"):
        instance.query("get", [])
    instance.evict()


def test_an_async_query_handler_is_refused(play):
    """A query answers at once."""

    async def flow():
        @nbflow.query
        async def state():
            return 1

    assert play(flow).failure.type_name == "DefinitionError"


def test_a_query_handler_may_not_sleep_by_time_sleep(play):
    """Nor may it block."""

    def flow():
        import time

        @nbflow.query
        def state():
            time.sleep(1)

        nbflow.wait_for_signal("go")

    player = play(flow)
    with pytest.raises(NondeterminismError, match=r"time\.sleep"):
        player.instance.query("state", [])
