"""gravtory: workflows as classes of numbered steps on SQLite; it has no sleep of its own and no cheap many-at-once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import gravtory

from benchmarks.measure import Run, gaps, large, rate, unlike

STAMPS: list[float] = []


def chain(grav: gravtory.Gravtory, count: int, size: int = 0) -> Any:
    """Make a workflow class of `count` steps, one after another."""

    def one(number: int) -> Any:
        @gravtory.step(number, depends_on=number - 1 or None, name=f"step_{number}")
        async def body(self: Any) -> Any:  # noqa: ARG001
            STAMPS.append(time.perf_counter())
            return unlike(size, number) if size else number

        return body

    members = {f"step_{number}": one(number) for number in range(1, count + 1)}
    return grav.workflow(id="chain-{name}")(type("Chain", (), members))


async def _run_chain(run: Run, count: int, size: int = 0) -> None:
    grav = gravtory.Gravtory(f"sqlite:///{run.store()}")
    proxy = chain(grav, count, size)
    await grav.start()
    await grav.run(proxy, name="one")


def w1(run: Run) -> dict[str, float]:
    asyncio.run(_run_chain(run, run["steps"]))
    return gaps(STAMPS)


def w2(run: Run) -> dict[str, float]:
    return asyncio.run(_gathered(run))


async def _gathered(run: Run) -> dict[str, float]:
    grav = gravtory.Gravtory(f"sqlite:///{run.store()}")

    class Fan:
        @gravtory.step(1)
        async def items(self) -> list[int]:
            return list(range(run["steps"]))

        @gravtory.parallel(max_concurrency=1000)
        @gravtory.step(2, depends_on=1)
        async def each(self, item: int) -> int:
            return item

    proxy = grav.workflow(id="fan-{name}")(Fan)
    await grav.start()
    before = time.perf_counter()
    await grav.run(proxy, name="one")
    return rate(run["steps"], time.perf_counter() - before)


def w6(run: Run) -> dict[str, float]:
    asyncio.run(_run_chain(run, run["steps"], run["bytes"]))
    return large([*STAMPS, time.perf_counter()], run["bytes"])


def w7(run: Run) -> None:
    asyncio.run(_run_chain(run, 1))
