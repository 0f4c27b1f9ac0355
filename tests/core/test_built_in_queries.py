"""The stack-trace query: where each task of an execution waits, in user code."""

from __future__ import annotations

import asyncio

import pytest
from replay_corpus import double
from replay_player import Player

import nbflow


def helper_def():
    nbflow.sleep(60)


def waits_def():
    @nbflow.signal
    def go():
        nbflow.wait_condition(lambda: False)

    helper_def()


async def helper(x):
    await asyncio.sleep(60)
    return x


async def waits():
    @nbflow.signal
    async def go():
        await nbflow.wait_condition(lambda: False)

    await asyncio.gather(helper(1), asyncio.create_task(helper(2), name="second"))


def functions_of(player):
    """Names of the functions in each task's stack."""
    answer = player.instance.query("__enhanced_stack_trace", [])
    return {it["task"]: [place["function_name"] for place in it["locations"]] for it in answer["stacks"]}


def test_plain_code_waits_on_a_greenlet():
    """Its frames are found there, those of nbflow left out; a handler has a stack of its own."""
    player = Player(waits_def).start().signal("go")
    assert functions_of(player) == {"waits_def": ["waits_def", "helper_def"], "signal: go": ["go"]}
    player.close()


def test_coroutines_wait_in_each_other():
    """Each task is listed with the coroutines that wait in it."""
    player = Player(waits).start().signal("go")
    assert functions_of(player) == {
        "waits": ["waits"],
        "workflow task": ["helper"],
        "second": ["helper"],
        "signal: go": ["go"],
    }
    player.close()


@pytest.mark.parametrize(("function", "line"), [(waits_def, "nbflow.sleep(60)"), (waits, "await asyncio.sleep(60)")])
def test_the_text_reads_as_python_prints_stacks(function, line):
    """File, line and source of each frame; the query changes nothing, and can be asked after a replay."""
    player = Player(function).start()
    text = player.instance.query("__stack_trace", [])
    assert text.startswith(f"task '{function.__name__}' waits (most recent call last):\n  File ")
    assert f'{__file__}", line ' in text
    assert line in text
    again = player.replayed()
    assert again.query("__stack_trace", []) == text
    again.evict()
    player.close()


def test_an_execution_that_waits_for_an_activity():
    """The frame that called it is the last one."""

    async def calls():
        return await double(1)

    player = Player(calls).start()
    assert functions_of(player) == {"calls": ["calls"]}
    player.run()
    player.close()
