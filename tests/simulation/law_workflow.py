"""The workflow that runs random programs: a program is a tree of JSON, given as its input.

``evaluate`` says, without any engine, what a calm program returns: one that nothing but crashes can touch.
"""

from __future__ import annotations

import asyncio
from typing import Any

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.exceptions import ApplicationError

Op = list[Any]


@activity(name="law_act")
def act(x: int, tag: str = "") -> int:
    """Compute; the simulated runner decides whether and when it gets that far."""
    return 2 * x + 1


QUICK = RetryPolicy(initial_interval=1.0, maximum_interval=20.0)
ACTS = {
    "plain": act.options(retry=QUICK),
    "few": act.options(retry=RetryPolicy(initial_interval=2.0, maximum_attempts=3)),
    "once": act.options(retry=1),
    "short": act.options(retry=RetryPolicy(maximum_attempts=4), start_to_close_timeout=30),
    "close": act.options(retry=QUICK, schedule_to_close_timeout=90),
    "queue": act.options(retry=QUICK, schedule_to_start_timeout=25),
    "beat": act.options(retry=RetryPolicy(maximum_attempts=4), heartbeat_timeout=15),
    "wait": act.options(retry=QUICK, cancellation_type="WAIT_CANCELLATION_COMPLETED", schedule_to_close_timeout=500),
    "abandon": act.options(retry=QUICK, cancellation_type="ABANDON"),
}
"""Activities by kind of options."""


class State:
    """What one execution remembers; its query tells it."""

    def __init__(self) -> None:
        self.trace: list[Any] = []
        self.heard: list[Any] = []
        self.total = 0

    def note(self, value: Any) -> Any:
        """Remember a step."""
        self.trace.append(value)
        return value


async def run_all(ops: list[Op], state: State) -> list[Any]:
    """Run ops one after the other."""
    return [await run(op, state) for op in ops]


async def run_beside(op: Op, state: State) -> Any:
    """Run an op in a task of its own."""
    return await run(op, state)


async def run(op: Op, state: State) -> Any:
    """Run one op."""
    kind, *rest = op
    return state.note(await OPS[kind](state, *rest))


async def do_act(state: State, kind: str, x: int) -> int:
    return await ACTS[kind](x)


async def do_sleep(state: State, seconds: float) -> str:
    await nbflow.sleep(seconds)
    return "slept"


async def do_gather(state: State, *ops: Op) -> list[Any]:
    return list(await asyncio.gather(*(run_beside(op, state) for op in ops)))


async def do_group(state: State, *ops: Op) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run_beside(op, state)) for op in ops]
    return [task.result() for task in tasks]


async def do_race(state: State, *ops: Op) -> Any:
    tasks = [asyncio.ensure_future(run_beside(op, state)) for op in ops]
    try:
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert len(done) + len(pending) == len(results)
    return [it if not isinstance(it, BaseException) else type(it).__name__ for it in results]


async def do_timeout(state: State, seconds: float, *ops: Op) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await run_all(list(ops), state)
    except TimeoutError:
        return "timeout"


async def do_signal(state: State, seconds: float) -> Any:
    try:
        return await nbflow.wait_for_signal("go", timeout=seconds)
    except TimeoutError:
        return "no signal"


async def do_condition(state: State, count: int, seconds: float) -> Any:
    try:
        await nbflow.wait_condition(lambda: len(state.heard) >= count, timeout=seconds)
    except TimeoutError:
        return "not heard"
    return list(state.heard[:count])


async def do_try(state: State, body: list[Op], final: list[Op]) -> Any:
    try:
        return await run_all(body, state)
    except Exception as error:
        return f"caught {type(error).__name__}"
    finally:
        await run_all(final, state)


async def do_shield(state: State, *ops: Op) -> Any:
    task = asyncio.ensure_future(run_all(list(ops), state))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        state.note("shielded")
        await task
        raise


async def do_effect(state: State, value: Any) -> Any:
    return nbflow.side_effect(lambda: value)


async def do_chance(state: State) -> Any:
    drawn = nbflow.random().randrange(1000)
    await ACTS["plain"](drawn, str(nbflow.uuid4()))
    return "drawn"


async def do_repeat(state: State, count: int, *ops: Op) -> list[Any]:
    return [await run_all(list(ops), state) for _ in range(count)]


async def do_fail(state: State, message: str) -> None:
    raise ApplicationError(message)


async def do_now(state: State) -> str:
    state.note(nbflow.now().isoformat())
    return "now"


async def do_child(state: State, policy: str, *ops: Op) -> Any:
    return await CHILDREN[policy](list(ops))


async def do_beside(state: State, policy: str, *ops: Op) -> str:
    CHILDREN[policy].start(list(ops))
    await nbflow.sleep(1)
    return "begun"


async def do_inform(state: State, whom: str, word: str) -> str:
    try:
        await nbflow.get_handle(whom).signal("tell", word)
    except Exception as error:
        return type(error).__name__
    return "informed"


async def do_stop(state: State, whom: str) -> str:
    try:
        await nbflow.get_handle(whom).cancel("by another")
    except Exception as error:
        return type(error).__name__
    return "stopped"


async def do_again(state: State, *ops: Op) -> None:
    nbflow.continue_as_new(list(ops))


async def do_patched(state: State, name: str, *ops: Op) -> Any:
    return await run_all(list(ops), state) if nbflow.patched(name) else "as before"


OPS = {
    "child": do_child,
    "beside": do_beside,
    "inform": do_inform,
    "stop": do_stop,
    "again": do_again,
    "patched": do_patched,
    "act": do_act,
    "sleep": do_sleep,
    "gather": do_gather,
    "group": do_group,
    "race": do_race,
    "timeout": do_timeout,
    "signal": do_signal,
    "cond": do_condition,
    "try": do_try,
    "shield": do_shield,
    "effect": do_effect,
    "chance": do_chance,
    "repeat": do_repeat,
    "fail": do_fail,
    "now": do_now,
}


def listen(state: State) -> None:
    """Answer signals, queries and updates."""

    @nbflow.signal(unfinished_policy="abandon")
    def tell(what: Any) -> None:
        state.heard.append(what)

    @nbflow.signal(unfinished_policy="abandon")
    async def work(what: Any) -> None:
        state.heard.append([what, await ACTS["plain"](7)])

    @nbflow.query
    def look() -> list[Any]:
        return [list(state.trace), list(state.heard), state.total]

    @nbflow.update(unfinished_policy="abandon")
    async def add(n: int, slow: bool) -> int:
        state.total += n
        if slow:
            await ACTS["plain"](n)
        return state.total

    @add.validator
    def positive(n: int, slow: bool) -> None:
        if n < 0:
            msg = "only what is positive"
            raise ApplicationError(msg)


@workflow(name="law")
async def law(program: list[Op]) -> list[Any]:
    """Run a program."""
    state = State()
    listen(state)
    return await run_all(program, state)


@workflow(name="law")
async def law_renamed(ops: list[Op]) -> list[Any]:
    """Run a program; edited so that it asks for the same."""
    memory = State()
    listen(memory)
    results = []
    for op in ops:
        results.append(await run(op, memory))
    return results


@workflow(name="law")
async def law_other(program: list[Op]) -> list[Any]:
    """Run a program; edited so that it asks for something else first."""
    state = State()
    listen(state)
    await nbflow.sleep(3)
    return await run_all(program, state)


POLICIES = ("TERMINATE", "REQUEST_CANCEL", "ABANDON")
CHILDREN = {policy: law.options(parent_close_policy=policy) for policy in POLICIES}
VERSIONS = [law.definition(), law_renamed.definition(), law_other.definition()]


def evaluate_all(ops: list[Op]) -> list[Any]:
    """Say what a calm program returns."""
    if ops and ops[-1][0] == "again":
        return evaluate_all(ops[-1][1:])
    return [evaluate(op) for op in ops]


def evaluate(op: Op) -> Any:
    """Say what an op of a calm program gives."""
    kind, *rest = op
    match kind:
        case "act":
            return 2 * rest[1] + 1
        case "sleep":
            return "slept"
        case "gather" | "group" | "shield":
            return [evaluate(inner) for inner in rest]
        case "try":
            return [evaluate(inner) for inner in rest[0]]
        case "child":
            return evaluate_all(rest[1:])
        case "patched":
            return [evaluate(inner) for inner in rest[1:]]
        case "effect":
            return rest[0]
        case "chance":
            return "drawn"
        case "now":
            return "now"
        case "repeat":
            return [[evaluate(inner) for inner in rest[1:]] for _ in range(rest[0])]
    raise AssertionError(kind)
