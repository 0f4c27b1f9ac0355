"""The workflows of temporal_programs once more, as nbflow writes them."""

from __future__ import annotations

import asyncio

import nbflow
from nbflow.exceptions import ActivityError


@nbflow.activity(name="t_add_up")
def add_up(a, b):
    return a + b


@nbflow.activity(name="t_moody", start_to_close_timeout="10s")
def moody(x):
    return x


@nbflow.activity(name="t_hopeless")
def hopeless():
    raise ValueError


@nbflow.activity(name="t_nap")
def nap(seconds):
    return seconds


async def t_retries(n):
    first = await moody(n)
    second = await add_up(first, n)
    try:
        await hopeless()
    except ActivityError:
        await nbflow.sleep(0.01)
    return [first, second]


async def t_crowd(n):
    heard = []

    @nbflow.signal
    def hear(x):
        heard.append(x)

    async def one(i):
        got = await add_up(i, 0)
        await asyncio.sleep(0.02)
        return await add_up(got, i)

    found = await asyncio.gather(*(one(i) for i in range(n)))
    await nbflow.wait_condition(lambda: len(heard) >= 3)
    return [*found, *heard, nbflow.random().random()]


async def t_cancelled():
    try:
        await nbflow.sleep(3600)
    except asyncio.CancelledError:
        await add_up(1, 1)
        raise


async def t_failing():
    await hopeless()


async def t_updated():
    items = []

    @nbflow.update
    async def put(x):
        items.append(await add_up(x, 1))
        return len(items)

    await nbflow.wait_condition(lambda: len(items) == 2 and nbflow.all_handlers_finished())
    return items


async def t_waiting():
    late = nap(60.0)
    await asyncio.gather(nbflow.sleep("30 days"), late)


@nbflow.workflow(name="t_child")
async def child(x):
    await nbflow.sleep(0.01)
    return x + 1


async def t_parent(x):
    return await child.options(id=f"{nbflow.info().workflow_id}-child")(x)


async def t_family(n):
    name = nbflow.info().workflow_id

    async def one(i):
        got = await child.options(id=f"{name}-{i}")(i)
        await asyncio.sleep(0.02)
        return await add_up(got, i)

    async def other(i):
        await add_up(i, 0)
        await nbflow.sleep(0.03)
        handle = await child.options(id=f"{name}-other-{i}").start(i).started()
        await add_up(i, i)
        return await handle

    return await asyncio.gather(*(one(i) for i in range(n)), *(other(i) for i in range(n)))


async def t_again(left):
    if left:
        nbflow.continue_as_new(left - 1)
    return "enough"


TWINS = {
    it.__name__: it
    for it in (t_parent, t_family, t_again, t_retries, t_crowd, t_cancelled, t_failing, t_updated, t_waiting)
}
