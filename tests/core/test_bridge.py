"""Plain def workflows: a greenlet each, that hands over to the loop whenever it must wait."""

from __future__ import annotations

import asyncio

import pytest
from replay_corpus import add, double, flaky
from replay_player import Player

import nbflow
from nbflow.core.bridge import in_workflow_greenlet
from nbflow.exceptions import ActivityError


def finish(player: Player) -> Player:
    """Let every activity and timer come about, in order."""
    while player.activities or player.timers:
        if player.activities:
            player.run()
        else:
            player.fire()
    player.close()
    return player


def outcome(function, *args):
    return finish(Player(function, *args).start()).result


def test_a_def_workflow_blocks_anywhere_in_its_call_stack():
    """Helpers, comprehensions, sorted keys, with blocks: the whole stack waits."""

    class Manager:
        def __enter__(self):
            return double(1)

        def __exit__(self, *exception):
            double(100)

    def helper(x):
        return double(x) + 1

    def flow():
        with Manager() as entered:
            rows = [helper(x) for x in range(3)]
        return [entered, rows, sorted([1, 2, 3], key=lambda x: -double(x)), list(map(helper, [5]))]

    assert outcome(flow) == [2, [1, 3, 5], [3, 2, 1], [11]]


def test_errors_come_out_where_the_code_waits():
    """With the tracebacks of a plain call."""

    def flow():
        try:
            flaky(1)
        except ActivityError as error:
            return f"{error.activity_type}: {error.__cause__}"

    player = Player(flow).start().fail(0, ValueError("bad"))
    assert player.result == "flaky: ValueError: bad"
    player.close()


def test_a_generator_may_wait():
    """Its frame is part of the stack."""

    def flow():
        def numbers():
            for i in range(3):
                yield double(i)

        return list(numbers())

    assert outcome(flow) == [0, 2, 4]


def test_both_colours_meet_in_one_execution():
    """A def workflow gathers handles; an async def one starts def handlers."""

    def flow():
        first, second = nbflow.gather(double.start(1), add.start(1, 2))
        return [first, second, add.map([1, 2], [3, 4])]

    assert outcome(flow) == [2, 3, [4, 6]]


def test_a_def_workflow_may_return_something_to_wait_for():
    """A handle, or what an async def helper returns."""

    def handle():
        return double.start(4)

    def coroutine():
        async def helper():
            await asyncio.sleep(1)
            return await double(5)

        return helper()

    assert (outcome(handle), outcome(coroutine)) == (8, 10)


def test_where_code_may_block():
    """Inside a def workflow and its handlers; not outside, and not in async def."""
    seen = []

    def flow():
        seen.append(in_workflow_greenlet())

    async def flow_async():
        seen.append(in_workflow_greenlet())

    outcome(flow)
    outcome(flow_async)
    assert seen == [True, False]
    assert not in_workflow_greenlet()


def test_a_thousand_blocked_stacks():
    """Each execution has its own; they end in any order."""

    def flow(i):
        nbflow.wait_for_signal("go")
        return i

    players = [Player(flow, i, run_id=f"run-{i}").start() for i in range(1000)]
    for player in reversed(players):
        player.signal("go")
    assert [player.result for player in players] == list(range(1000))
    for player in players:
        player.close()


@pytest.mark.parametrize("colour", ["async", "def"])
def test_exceptions_do_not_mix_between_stacks(colour):
    """What one execution handles at the moment is not another's context."""

    def flow():
        try:
            raise ValueError("mine")
        except ValueError:
            nbflow.sleep(1)
            raise

    async def flow_async():
        try:
            raise ValueError("mine")
        except ValueError:
            await nbflow.sleep(1)
            raise

    function = flow if colour == "def" else flow_async
    first, second = Player(function).start(), Player(function, run_id="run-2").start()
    second.fire()
    first.fire()
    for player in (first, second):
        assert player.failure.headline() == "ValueError: mine"
        assert player.failure.cause is None
        player.close()
