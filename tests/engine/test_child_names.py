"""Children that nobody named: a replay finds each by its place among the children, whatever else was withdrawn."""

from __future__ import annotations

import asyncio

from nbflow import workflow
from nbflow.testing import WorkflowEnvironment, replay_check


@workflow
def nameless_child(x: int) -> int:
    """Do next to nothing."""
    return 2 * x


@workflow
async def parent_of_nameless() -> list[int]:
    """Withdraw a timer in the activation that asks for the first child."""
    async with asyncio.timeout(60):
        pass
    return [await nameless_child(1), await nameless_child(2)]


def test_a_withdrawn_timer_does_not_shift_the_children() -> None:
    """The history replays, and the execution goes on after a restart."""
    with WorkflowEnvironment() as env:
        assert parent_of_nameless.start().result(timeout=10) == [2, 4]
        assert replay_check(env.client, "parent_of_nameless").replayed.total() == 1
