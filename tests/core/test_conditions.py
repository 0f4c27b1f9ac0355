"""Wait conditions: looked at in order, whenever the execution moves, and only reading."""

from __future__ import annotations

import asyncio

import pytest
from replay_player import Player

import nbflow
from nbflow.core.replay import replay


def finished(player: Player) -> Player:
    """Check that the history replays, and let the execution leave memory."""
    again = player.fresh()
    assert replay(again, player.history) == []
    again.evict()
    player.close()
    return player


@pytest.mark.parametrize("colour", ["async", "def"])
@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize(
    ("error", "type_name"),
    [
        (ValueError("bad"), "ValueError"),
        (StopIteration(1), "RuntimeError"),
        (SystemExit(3), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
)
def test_an_error_in_a_condition_reaches_who_waits(colour, later, error, type_name):
    """At once or later, in both colours: the execution fails for it, and the engine lives."""
    ready = []

    def predicate():
        if later and not ready:
            return False
        raise error

    async def flow():
        nbflow.signal(go)
        await nbflow.wait_condition(predicate)

    def flow_def():
        nbflow.signal(go)
        nbflow.wait_condition(predicate)

    def go():
        ready.append(1)

    player = Player(flow if colour == "async" else flow_def).start()
    if later:
        player.signal("go")
    ready.clear()
    assert player.types[-1] == "Failed"
    assert player.failure.type_name == type_name
    player.close()


def test_an_error_in_a_condition_can_be_handled():
    """It is raised where the code waits."""

    async def flow():
        seen = []

        @nbflow.signal
        def go():
            seen.append(1)

        try:
            await nbflow.wait_condition(lambda: 1 / (1 - len(seen)) == 2)
        except ZeroDivisionError:
            return "handled"

    assert finished(Player(flow).start().signal("go")).result == "handled"


def test_a_condition_may_not_change_anything():
    """It is a question that is asked at moments of nbflow's choice."""

    async def flow():
        await nbflow.wait_condition(lambda: nbflow.sleep(1))

    assert "a wait condition may only read: it can't start a timer" in finished(Player(flow).start()).failure.message


def test_a_condition_that_wakes_somebody_is_told():
    """Also what needs no command is a change."""

    async def flow():
        event = asyncio.Event()
        waiting = asyncio.create_task(event.wait())
        await asyncio.sleep(1)
        await nbflow.wait_condition(lambda: event.set() or True)
        await waiting

    assert "it woke something that waits" in finished(Player(flow).start().fire()).failure.message


def test_conditions_are_looked_at_in_the_order_of_registration():
    """All that hold go on, the earliest first; what they change is seen by the later ones only in the next round."""

    async def flow():
        n, order = [0], []

        @nbflow.signal
        def go():
            n[0] += 1

        async def when(name):
            await nbflow.wait_condition(lambda: n[0])
            order.append(name)

        await asyncio.gather(*(when(name) for name in "cab"))
        return order

    assert finished(Player(flow).start().signal("go")).result == ["c", "a", "b"]


def test_many_conditions_are_no_burden():
    """A thousand waiting tasks wake in one activation."""

    async def flow():
        opened = []

        @nbflow.signal
        def go():
            opened.append(1)

        async def visitor(i):
            await nbflow.wait_condition(lambda: opened)
            return i

        return sum(await asyncio.gather(*(visitor(i) for i in range(1000))))

    player = Player(flow).start().signal("go")
    assert player.result == 499500
    player.close()


def test_a_cancellation_goes_before_a_condition_that_holds():
    """Both in one activation: the code is cancelled, as on Temporal."""
    from nbflow.core.events import WorkflowExecutionCancelRequested, WorkflowExecutionSignaled

    async def flow():
        seen = []

        @nbflow.signal
        def go():
            seen.append(1)

        await nbflow.wait_condition(lambda: seen)

    player = Player(flow).start()
    player.deliver(
        (WorkflowExecutionCancelRequested, {}),
        (WorkflowExecutionSignaled, {"signal_name": "go", "input": player.encode([])}),
    )
    assert player.types[-1] == "Canceled"
    player.close()


def test_a_cancelled_waiter_is_forgotten():
    """Its condition is not looked at any more."""
    looked = []

    async def flow():
        task = asyncio.create_task(_waits(looked))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        looked.clear()
        await asyncio.sleep(1)

    player = Player(flow).start().fire().fire().fire()
    assert player.types[-1] == "Completed"
    assert looked == []
    player.close()


async def _waits(looked):
    await nbflow.wait_condition(lambda: looked.append(1))
