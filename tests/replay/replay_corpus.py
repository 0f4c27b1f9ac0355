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


# Messages.


@body(signals=(("put", (1,)), ("put", (2,)), ("stop", ())), has_query=True)
async def handles_signals():
    items, stopped = [], []

    @nbflow.signal
    async def put(item):
        items.append(await double(item))

    @nbflow.signal(name="stop")
    def on_stop():
        stopped.append(nbflow.now().timestamp())

    @nbflow.query
    def state():
        return {"items": items, "stopped": len(stopped)}

    await nbflow.wait_condition(lambda: stopped and len(items) == 2)
    return items


@body(signals=(("put", (1,)), ("put", (2, 3)), ("put", ())), has_query=True)
def waits_for_signals():
    seen = []

    @nbflow.query
    def state():
        return list(seen)

    for _ in range(2):
        seen.append(nbflow.wait_for_signal("put"))
    double(0)
    seen.append(nbflow.wait_for_signal("put"))
    return seen


@body(signals=(("go", (1,)), ("go", (2,))))
async def waits_for_a_signal_with_timeout():
    answers = []
    for _ in range(3):
        try:
            answers.append(await nbflow.wait_for_signal("go", timeout="1 min"))
        except TimeoutError as error:
            answers.append(str(error))
    return answers


@body(signals=(("go", (1,)), ("go", (2,)), ("go", (3,))))
async def waiters_compete_for_signals():
    async def waiter(timeout):
        with contextlib.suppress(TimeoutError):
            return await nbflow.wait_for_signal("go", timeout=timeout)

    return await asyncio.gather(waiter(10), waiter(None), waiter(20), waiter(None))


@body(signals=(("approve", ("Ada",)),), has_query=True)
def approval():
    approved_by = []

    @nbflow.signal
    def approve(name):
        approved_by.append(name)

    @nbflow.query
    def state():
        return approved_by

    try:
        nbflow.wait_condition(lambda: approved_by, timeout="3 days")
    except TimeoutError:
        return "nobody approved"
    return add(approved_by[0], "!")


@body(signals=(("bump", ()), ("bump", ())), has_query=True)
async def conditions_in_order():
    count, order = [0], []

    @nbflow.signal
    def bump():
        count[0] += 1

    @nbflow.query
    def state():
        return count[0], order

    async def when(n):
        await nbflow.wait_condition(lambda: count[0] >= n)
        order.append(n)
        count[0] += n == 2

    await asyncio.gather(when(3), when(2), when(1))
    return order


# Updates.


@body(signals=(("close", ()),), updates=(("put", (1,)), ("put", (-1,)), ("put", (2,)), ("total", ())), has_query=True)
async def handles_updates():
    items, closed = [], []

    @nbflow.update
    async def put(item):
        random.random()
        items.append(await double(item))
        await asyncio.sleep(item)
        return len(items)

    @put.validator
    def positive(item):
        random.random()
        if item < 0:
            raise ValueError(item)

    @nbflow.update
    def total():
        return sum(items)

    @nbflow.signal
    def close():
        closed.append(random.random())

    @nbflow.query
    def state():
        return items, closed

    await nbflow.wait_condition(lambda: closed and nbflow.all_handlers_finished())
    return items, random.random()


@body(updates=(("charge", (1,)), ("charge", (2,)), ("charge", (3,))))
def handles_updates_that_fail():
    charged = []

    @nbflow.update
    def charge(amount):
        if amount == 2:
            raise ApplicationError("too much", amount, type="TooMuch")
        charged.append(flaky(amount))
        broken(amount)

    nbflow.wait_condition(lambda: len(charged) == 2, timeout="1 hour")
    return charged


@body(updates=(("finish", (1,)), ("finish", (2,))))
async def ends_by_an_update():
    ended, answered = asyncio.Event(), []

    @nbflow.update
    async def finish(x):
        ended.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await nbflow.wait_condition(lambda: answered)
        return x

    await ended.wait()
    answered.append(1)
    return "ended"


@body(updates=(("slow", (1,)),))
async def leaves_an_update_behind():
    started = []

    @nbflow.update(unfinished_policy="abandon")
    async def slow(x):
        started.append(x)
        await nbflow.sleep("1 day")

    await nbflow.wait_condition(lambda: started, timeout=10)


# What an execution says of itself.


@body(signals=(("move", ("Rome",)),), has_query=True)
async def says_where_it_is():
    @nbflow.query
    def state():
        return nbflow.info().memo, nbflow.info().search_attributes

    nbflow.upsert_search_attributes({"city": "Oslo", "stops": 1, "tags": ["a", "b"], "old": None})
    nbflow.upsert_memo({"note": {"deep": [1]}, "gone": 1})
    nbflow.set_details("**moving**")
    await double(1)
    city = await nbflow.wait_for_signal("move", timeout="1 day", summary="the next city")
    nbflow.upsert_search_attributes({"city": city, "tags": None})
    nbflow.upsert_memo({"gone": None})
    await double(2)
    return nbflow.info().search_attributes, nbflow.info().memo


@body()
def takes_patches():
    taken = [nbflow.patched("one")]
    double(1)
    nbflow.deprecate_patch("two")
    taken += [nbflow.patched("one"), nbflow.patched("three")]
    double(2)
    return taken, nbflow.info().search_attributes


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


# Failure and cancellation.


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


import replay_child_corpus  # noqa: E402, F401  puts its bodies into the corpus
