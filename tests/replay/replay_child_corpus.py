"""Bodies that start children, reach other executions, and continue as new."""

from __future__ import annotations

import asyncio

from replay_corpus import body, double

import nbflow
from nbflow.exceptions import ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError


@nbflow.workflow
async def replayed_child(x):
    return x


@nbflow.workflow(cancellation_type="TRY_CANCEL")
def replayed_hasty_child(x):
    return x


NO_CHILD = (ChildWorkflowError, WorkflowAlreadyStartedError)


@body()
async def calls_a_child():
    return await replayed_child(await double(1))


@body()
def calls_a_child_def():
    first = replayed_child(1)
    nbflow.sleep(5)
    return [first, replayed_child.options(id="named")(2)]


@body(4)
async def maps_children_a_few_at_a_time(n):
    found = await replayed_child.map(range(n), max_concurrency=2, return_exceptions=True)
    return [value if isinstance(value, int) else type(value).__name__ for value in found]


@body(signals=[("more", (1,)), ("more", (2,))])
async def starts_and_signals_a_child():
    child = replayed_child.start(0)
    try:
        await child.started()
        await child.signal("hello", child.workflow_id)
        await nbflow.wait_for_signal("more", timeout=60)
        child.signal("again")
        return await child, child.run_id
    except (ApplicationError, TimeoutError, *NO_CHILD) as error:
        return type(error).__name__


def cancels_by(kind):
    async def cancelling():
        child = replayed_child.options(cancellation_type=kind).start(0)
        try:
            async with asyncio.timeout(10):
                return await child
        except TimeoutError:
            return await double(2)
        except NO_CHILD as error:
            return type(error).__name__

    cancelling.__name__ = f"cancels_a_child_by_{kind.lower()}"
    return cancelling


for kind in ("TRY_CANCEL", "ABANDON", "WAIT_CANCELLATION_REQUESTED", "WAIT_CANCELLATION_COMPLETED"):
    body()(cancels_by(kind))


@body()
async def takes_a_child_back():
    first, second = replayed_hasty_child.start(1), replayed_hasty_child.start(2)
    first.cancel()
    try:
        return await second
    finally:
        await nbflow.sleep(1)


@body()
async def reaches_others():
    other = nbflow.get_handle("other")
    seen = []
    for request in (other.signal("told", 1), other.cancel("enough"), nbflow.get_handle("third", "run-3").signal("x")):
        try:
            seen.append(await request)
        except ApplicationError as error:
            seen.append(error.type)
    return seen


@body()
def reaches_others_def():
    other = nbflow.get_handle("other")
    try:
        other.signal("told", {"a": 1})
        nbflow.sleep(1)
        other.cancel()
    except ApplicationError as error:
        return error.type
    return "told"


@body()
async def reaches_others_and_does_not_wait():
    nbflow.get_handle("other").signal("told")
    nbflow.get_handle("other").cancel()
    return await double(1)


@body(2)
async def continues_as_new(n):
    await double(n)
    nbflow.continue_as_new(n - 1)


@body(2)
def continues_as_new_def(n):
    try:
        double(n)
        replayed_child.options(memo={"left": n}, run_timeout="1 h").continue_as_new(n - 1)
    except Exception:
        return "swallowed"
    finally:
        double(0)


@body(signals=[("next", (5,))])
async def continues_from_a_signal_handler():
    @nbflow.signal
    async def next(page):  # noqa: A001
        await double(page)
        nbflow.continue_as_new()

    await replayed_child(1)
    await nbflow.sleep("1 day")


@body()
async def continues_from_a_task_group():
    async def page(number):
        await double(number)
        if number:
            nbflow.continue_as_new()

    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(page(number))


@body()
async def looks_at_its_size():
    sizes = [nbflow.info().history_size]
    await double(1)
    await replayed_child(1)
    info = nbflow.info()
    return [
        *sizes,
        info.history_size,
        info.history_length,
        info.is_continue_as_new_suggested,
        info.first_execution_run_id,
    ]


@body()
async def takes_a_timer_back_before_children():
    nbflow.sleep(5).cancel()
    first, second = replayed_child.start(1), replayed_child.start(2)
    second.signal("hello")
    return [await first, await second]
