"""unhinged: Absurd's task queue on one SQLite file, polled every 5 ms here (its default is 250 ms).

W2 and W3 use its asyncio half (gather inside a task, a hundred tasks at once); the others its plain half.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from typing import Any

import unhinged
from unhinged.aio import AsyncUnhinged

from benchmarks.measure import Run, check, gaps, large, milliseconds, rate, rss_mb, unlike, until

POLL = 0.005
STAMPS: list[float] = []


def noop() -> int:
    STAMPS.append(time.perf_counter())
    return 1


def blob(size: int, at: int) -> str:
    noop()
    return unlike(size, at)


def application(run: Run) -> unhinged.Unhinged:
    """Open the store, register the tasks and start a worker thread."""
    app = unhinged.Unhinged(run.store())

    @app.register_task("steps")
    def steps(params: Any, ctx: Any) -> None:
        for at in range(params["steps"]):
            ctx.step(f"step-{at}", noop)

    @app.register_task("large_steps")
    def large_steps(params: Any, ctx: Any) -> None:
        for at in range(params["steps"]):
            ctx.step(f"step-{at}", functools.partial(blob, params["bytes"], at))

    @app.register_task("sleeper")
    def sleeper(_params: Any, ctx: Any) -> None:
        ctx.sleep_for("sleep", 3600)

    @app.register_task("blocked")
    def blocked(params: Any, ctx: Any) -> Any:
        for at in range(params["steps"]):
            ctx.step(f"step-{at}", noop)
        return ctx.await_event(f"go-{params['at']}")

    threading.Thread(target=app.start_worker, kwargs={"poll_interval": POLL, "batch_size": 20}, daemon=True).start()
    return app


def wait(app: unhinged.Unhinged, state: str, count: int, pause: float = 0.01) -> None:
    query = f"select count(*) from t_{app.queue_name} where state = ?"
    until(lambda: app.engine.connection.execute(query, (state,)).fetchone()[0] >= count, pause=pause)


def w1(run: Run) -> dict[str, float]:
    app = application(run)
    app.spawn("steps", {"steps": run["steps"]})
    wait(app, "completed", 1)
    return gaps(STAMPS)


def w2(run: Run) -> dict[str, float]:
    app = AsyncUnhinged(run.store())

    @app.register_task("fan")
    async def fan(params: Any, ctx: Any) -> int:
        return len(await asyncio.gather(*(ctx.step(f"step-{at}", noop) for at in range(params["steps"]))))

    before = time.perf_counter()
    app.spawn("fan", {"steps": run["steps"]})
    asyncio.run(app.start_worker(poll_interval=POLL, stop_when_idle=True))
    return rate(run["steps"], time.perf_counter() - before)


def w3(run: Run) -> dict[str, float]:
    app = AsyncUnhinged(run.store())

    @app.register_task("steps")
    async def steps(params: Any, ctx: Any) -> None:
        for at in range(params["steps"]):
            await ctx.step(f"step-{at}", noop)

    before = time.perf_counter()
    for _ in range(run["workflows"]):
        app.spawn("steps", {"steps": run["steps"]})
    asyncio.run(app.start_worker(concurrency=100, poll_interval=POLL, stop_when_idle=True))
    return rate(run["workflows"] * run["steps"], time.perf_counter() - before)


def w4(run: Run) -> dict[str, float]:
    app, before = application(run), time.perf_counter()
    for _ in range(run["n"]):
        app.spawn("sleeper")
    wait(app, "sleeping", run["n"])
    return {**rate(run["n"], time.perf_counter() - before, "starts_s"), "rss_mb": rss_mb()}


def w4_recover(run: Run) -> None:
    wait(application(run), "sleeping", run["n"])


def w5(run: Run) -> None:
    app = application(run)
    run.keep([app.spawn("blocked", {"steps": run["steps"], "at": at})["task_id"] for at in range(run["n"])])
    wait(app, "sleeping", run["n"])


def w5_recover(run: Run) -> None:
    app = application(run)
    for at in range(run["n"]):
        app.emit_event(f"go-{at}", at)
    check([app.await_task_result(task).result for task in run.kept()])


def w6(run: Run) -> dict[str, float]:
    app = application(run)
    app.spawn("large_steps", {"steps": run["steps"], "bytes": run["bytes"]})
    wait(app, "completed", 1)
    return large([*STAMPS, time.perf_counter()], run["bytes"])


def w7(run: Run) -> None:
    app = application(run)
    app.spawn("steps", {"steps": 1})
    wait(app, "completed", 1, pause=0.001)


def w8(run: Run) -> dict[str, float]:
    app, times = application(run), []
    for at in range(run["signals"]):
        app.spawn("blocked", {"steps": 0, "at": at})
        wait(app, "sleeping", 1, pause=0.001)
        before = time.perf_counter()
        app.emit_event(f"go-{at}", at)
        wait(app, "completed", at + 1, pause=0.0005)
        times.append(time.perf_counter() - before)
    return milliseconds(times)
