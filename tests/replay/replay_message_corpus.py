"""Bodies that take signals, queries and updates, and say of themselves how things stand."""

from __future__ import annotations

import asyncio
import contextlib
import random

from replay_corpus import add, body, broken, double, flaky

import nbflow
from nbflow.exceptions import ApplicationError

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
