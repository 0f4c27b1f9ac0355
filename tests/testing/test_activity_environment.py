"""An activity alone: what it sees, its heartbeats, its log, and its cancellation."""

from __future__ import annotations

import asyncio
import threading

import pytest

import nbflow
from nbflow import activity
from nbflow.exceptions import ActivityCancelled, PayloadError
from nbflow.testing import ActivityEnvironment


@activity
def alone_counts(n: int) -> int:
    """Go through numbers."""
    nbflow.logger.info("up to %d", n)
    return sum(nbflow.track(range(n)))


@activity
async def alone_waits() -> None:
    """Wait for ever."""
    nbflow.heartbeat("here")
    await asyncio.sleep(3600)


def test_heartbeats_and_log_are_captured() -> None:
    """The test sees every heartbeat and log line."""
    env = ActivityEnvironment()
    assert env.run(alone_counts, 3) == 3
    assert [beat["done"] for beat in env.heartbeats] == [1, 2, 3]
    assert env.logs == ["up to 3"]


def test_a_later_attempt_goes_on_where_the_last_one_stopped() -> None:
    """The attempt's description can be chosen."""
    env = ActivityEnvironment(attempt=2)
    assert env.run(lambda: nbflow.activity_info().attempt) == 2
    details = {"kind": "nbflow.track", "done": 2, "total": 4}
    assert ActivityEnvironment(heartbeat_details=details).run(alone_counts, 4) == 2 + 3


def test_cancellation_reaches_a_heartbeat() -> None:
    """The next heartbeat of a cancelled activity raises, and it may clean up."""
    env = ActivityEnvironment(on_heartbeat=lambda details: env.cancel())
    with pytest.raises(ActivityCancelled):
        env.run(alone_counts, 3)
    assert len(env.heartbeats) == 1


def test_cancellation_reaches_a_busy_thread() -> None:
    """Cancelled from elsewhere, code that does not beat is stopped at its next instruction."""
    env, begun = ActivityEnvironment(), threading.Event()

    def busy() -> None:
        begun.set()
        while True:
            pass

    threading.Thread(target=lambda: (begun.wait(10), env.cancel())).start()
    with pytest.raises(ActivityCancelled):
        env.run(busy)


def test_cancellation_reaches_an_async_activity() -> None:
    """It is raised where the activity awaits."""

    async def main() -> None:
        env = ActivityEnvironment(on_heartbeat=lambda details: asyncio.get_running_loop().call_soon(env.cancel))
        with pytest.raises(asyncio.CancelledError):
            await env.run(alone_waits)
        assert env.heartbeats == ["here"]

    asyncio.run(main())


def test_a_heartbeat_that_cannot_be_stored_fails() -> None:
    """As it would in an engine."""
    with pytest.raises(PayloadError):
        ActivityEnvironment().run(lambda: nbflow.heartbeat(threading.Lock()))
