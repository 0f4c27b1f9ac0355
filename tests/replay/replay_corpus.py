"""Small workflow bodies, one for each way of waiting, failing and ending. The laws hold for each of them.

An activity whose name begins with ``flaky`` may fail, time out or be cancelled as the schedule has it; all others
do what their function says.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import nbflow
from nbflow.exceptions import ActivityError, ApplicationError, MapError


@nbflow.activity
def double(x):
    return 2 * x


@nbflow.activity
async def add(a, b):
    return a + b


@nbflow.activity
def flaky(x):
    return x + 1


@nbflow.activity(cancellation_type="WAIT_CANCELLATION_COMPLETED")
def flaky_wait(x):
    return x + 1


@nbflow.activity(cancellation_type="ABANDON")
def flaky_abandon(x):
    return x + 1


@nbflow.activity
def broken(x):
    raise ApplicationError(f"broken {x}", {"x": x}, type="Broken", non_retryable=True)


@dataclass
class Body:
    """One workflow and what the world sends it."""

    function: Any
    args: tuple = ()
    signals: tuple = ()
    """(name, args), sent in this order, at any time."""
    updates: tuple = ()
    """(name, args), asked for in this order, at any time; a ValueError rejects one."""
    may_cancel: bool = False
    has_query: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__


CORPUS: list[Body] = []


def body(*args, signals=(), updates=(), may_cancel=True, has_query=False):
    """Put a function into the corpus."""

    def add_to_corpus(function):
        CORPUS.append(Body(function, args, signals, updates, may_cancel, has_query))
        return function

    return add_to_corpus


# One after the other.


@body(3)
async def sequential(n):
    total = 0
    for i in range(n):
        total = await add(total, await double(i))
    return total


@body(3)
def sequential_def(n):
    total = 0
    for i in range(n):
        total = add(total, double(i))
    return total


@body()
async def returns_at_once():
    return "nothing to wait for"


@body()
async def fails_at_once():
    raise ApplicationError("no way", 1, 2, type="NoWay")


@body()
def fails_in_a_chain():
    try:
        broken(1)
    except ActivityError as error:
        raise ValueError("wrapped") from error


# At the same time.


@body(4)
async def gathers(n):
    return await asyncio.gather(*(double(i) for i in range(n)))


@body(4)
def maps(n):
    return double.map(range(n))


@body(3)
async def maps_async(n):
    return await add.map(range(n), range(n))


@body(5)
def maps_two_at_a_time(n):
    return double.map(range(n), max_concurrency=2)


@body(5)
async def maps_until_one_fails(n):
    try:
        return await flaky.map(range(n), max_concurrency=2)
    except ActivityError:
        return await double(n)


@body(5)
async def maps_until_three_succeed(n):
    try:
        found = await flaky.map(range(n), min_successful=3, max_concurrency=4)
    except MapError as error:
        return [error.result.results, list(error.result.failed), list(error.result.cancelled)]
    return [found.results, list(found.failed), list(found.cancelled)]


@body(4)
def maps_with_tolerance(n):
    found = flaky_wait.map(range(n), tolerated_failures=1, return_exceptions=True)
    return [found.results, list(found.failed), list(found.cancelled)]


@body(3)
async def gathers_exceptions(n):
    found = await asyncio.gather(*(flaky(i) for i in range(n)), return_exceptions=True)
    return [value if isinstance(value, int) else type(value).__name__ for value in found]


@body(4)
async def as_completed(n):
    seen = []
    for future in asyncio.as_completed([double(i) for i in range(n)]):
        seen.append(await future)
    return seen


@body(4)
async def waits_in_rounds(n):
    pending, rounds = {asyncio.create_task(_twice(i)) for i in range(n)}, []
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        rounds.append([task.result() for task in done])
    return rounds


async def _twice(x):
    return await double(await double(x))


@body()
async def task_group():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_twice(i)) for i in range(3)]
        group.create_task(asyncio.sleep(5))
    return [task.result() for task in tasks]


@body()
async def task_group_that_fails():
    cleaned, causes = [], []

    async def careful(x):
        try:
            await double(x)
            await asyncio.sleep(3600)
        finally:
            cleaned.append(x)
            await add(x, 1)

    try:
        async with asyncio.TaskGroup() as group:
            for i in range(3):
                group.create_task(careful(i))
            group.create_task(_failing())
    except* ActivityError as failed:
        causes = [str(error.__cause__) for error in failed.exceptions]
    return causes, cleaned


async def _failing():
    await double(0)
    await broken(7)


@body()
def handles_of_def():
    handles = [double.start(i) for i in range(3)]
    nbflow.sleep("1 min")
    return [handle.result() for handle in reversed(handles)]


@body()
async def nested_tasks():
    async def leaf(x):
        await asyncio.sleep(x)
        return await double(x)

    async def branch(x):
        return sum(await asyncio.gather(leaf(x), leaf(x + 1)))

    first = asyncio.create_task(branch(1), name="first")
    second = asyncio.create_task(branch(2), name="second")
    return [await second, await first]


# Time.


@body()
async def sleeps():
    began = nbflow.now()
    await nbflow.sleep("30 days", summary="a month")
    await asyncio.sleep(0)
    await asyncio.sleep(1.5)
    return (nbflow.now() - began).total_seconds()


@body()
def sleeps_def():
    began = time.time()
    time.sleep(60)
    nbflow.sleep(0.25)
    return time.time() - began, datetime.now().year


@body()
async def wait_for_in_time():
    try:
        return await asyncio.wait_for(flaky(1), 3600)
    except (TimeoutError, ActivityError) as error:
        return type(error).__name__


@body()
async def wait_for_too_late():
    try:
        await asyncio.wait_for(asyncio.sleep(7200), 1)
    except TimeoutError:
        return await double(1)


@body()
async def timeout_block():
    rounds = []
    for seconds in (10, 20):
        try:
            async with asyncio.timeout(seconds):
                rounds.append(await flaky(seconds))
        except TimeoutError:
            rounds.append("late")
        except ActivityError:
            rounds.append("failed")
    return rounds


@body()
async def race():
    fetch, clock = flaky(1), nbflow.sleep(30)
    done, pending = await asyncio.wait([fetch, clock], return_when=asyncio.FIRST_COMPLETED)
    for loser in pending:
        loser.cancel()
    with contextlib.suppress(ActivityError):
        return [future.result() for future in done]


@body()
async def race_that_waits_for_the_cancelled():
    try:
        async with asyncio.timeout(30):
            return await flaky_wait(1)
    except (TimeoutError, ActivityError) as error:
        return type(error).__name__


@body()
async def race_that_abandons():
    try:
        async with asyncio.timeout(30):
            return await flaky_abandon(1)
    except (TimeoutError, ActivityError) as error:
        await double(1)
        return type(error).__name__


@body()
async def cancels_what_it_has_just_asked_for():
    handles = [double(i) for i in range(3)]
    handles[1].cancel()
    timer = asyncio.get_running_loop().call_later(5, print)
    timer.cancel()
    return await asyncio.gather(*handles, return_exceptions=True) == [0, None, 4]


# Coordination inside.


@body()
async def locks():
    lock, order = asyncio.Lock(), []

    async def worker(name):
        async with lock:
            order.append(name)
            await double(name)

    await asyncio.gather(*(worker(i) for i in range(3)))
    return order


@body()
async def semaphores():
    semaphore, order = asyncio.Semaphore(2), []

    async def worker(name):
        async with semaphore:
            await flaky(name)
            order.append(name)

    await asyncio.gather(*(worker(i) for i in range(4)), return_exceptions=True)
    return order


@body()
async def queues():
    queue, results = asyncio.Queue(2), []

    async def consume():
        while (item := await queue.get()) is not None:
            results.append(await double(item))

    consumer = asyncio.create_task(consume())
    for item in (1, 2, 3, None):
        await queue.put(item)
    await consumer
    return results


@body()
async def events():
    opened, seen = asyncio.Event(), []

    async def visitor(name):
        await opened.wait()
        seen.append(name)

    visitors = [asyncio.create_task(visitor(i)) for i in range(3)]
    await double(1)
    opened.set()
    await asyncio.gather(*visitors)
    return seen


@body()
async def shields():
    inner = asyncio.ensure_future(_twice(5))
    try:
        return await asyncio.wait_for(asyncio.shield(inner), 10)
    except TimeoutError:
        return "late", await inner


@body()
async def async_generators():
    async def numbers():
        try:
            for i in range(10):
                yield await double(i)
        finally:
            await add(100, 1)

    async for number in numbers():
        if number >= 4:
            break
    await asyncio.sleep(1)
    return number


# Values.


@body()
async def side_effects():
    first = nbflow.side_effect(lambda: {"answer": 42})
    await double(first["answer"])
    return first, nbflow.side_effect(lambda: [1, 2])


@body()
def deterministic_values():
    drawn = [random.random(), random.randint(1, 6), str(uuid.uuid4()), time.time(), datetime.now().isoformat()]
    double(1)
    drawn += [nbflow.random().random(), str(nbflow.uuid4()), random.sample(range(100), 3), time.monotonic()]
    time.sleep(random.uniform(1, 2))
    return drawn


@body()
async def logs_and_prints():
    nbflow.logger.info("began")
    await double(1)
    nbflow.logger.warning("half %s", "way")
    await asyncio.sleep(1)
    return nbflow.info().workflow_id


import replay_child_corpus  # noqa: E402, F401  puts its bodies into the corpus
import replay_failure_corpus  # noqa: E402, F401  as above
import replay_message_corpus  # noqa: E402, F401  as above
