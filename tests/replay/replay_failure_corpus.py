"""Bodies that fail, clean up, and are cancelled or cancel what they began."""

from __future__ import annotations

import asyncio
import contextlib

from replay_corpus import add, body, double, flaky, flaky_abandon, flaky_wait

import nbflow
from nbflow.exceptions import ActivityError


@body()
async def handles_failures():
    outcomes = []
    for i in range(3):
        try:
            outcomes.append(await flaky(i))
        except ActivityError as error:
            outcomes.append(type(error.__cause__).__name__)
    return outcomes


@body()
def cleans_up():
    done = []
    try:
        double(1)
        nbflow.sleep(3600)
        flaky(1)
    except asyncio.CancelledError:
        done.append(double(2))
        raise
    finally:
        done.append(double(3))
    return done


@body()
async def swallows_cancellation():
    swallowed = 0
    for _ in range(3):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            swallowed += 1
    return swallowed


@body()
async def waits_for_the_cancelled():
    try:
        return await asyncio.gather(flaky_wait(1), flaky_abandon(2), flaky(3))
    except asyncio.CancelledError:
        await double(1)
        raise


@body()
async def cancels_a_task():
    async def background():
        try:
            await flaky(1)
            await asyncio.sleep(100)
        finally:
            await add(1, 1)

    task = asyncio.create_task(background())
    await double(1)
    task.cancel("enough")
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"
    except ActivityError:
        return "failed"


@body()
async def leaves_tasks_behind():
    async def heartbeat():
        while True:
            await asyncio.sleep(10)

    task = asyncio.create_task(heartbeat())
    await asyncio.gather(double(1), double(2))
    return task.done()


@body(signals=(("late", (1,)), ("late", (2,))))
async def gives_signals_back():
    async def taker():
        return await nbflow.wait_for_signal("late")

    task = asyncio.create_task(taker())
    await double(1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    return "cancelled", await nbflow.wait_for_signal("late", timeout=100)
