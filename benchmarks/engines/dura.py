"""dura: tasks with checkpoints in one SQLite file, and threads that poll it (every 5 ms here, by default 1 s)."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import dura
from dura.workers import run_worker

from benchmarks.measure import Run, check, gaps, large, milliseconds, rate, rss_mb, unlike, until

POLL = 0.005
STAMPS: list[float] = []


def noop(value: int = 0) -> int:
    STAMPS.append(time.perf_counter())
    return value


def blob(size: int, at: int) -> str:
    noop()
    return unlike(size, at)


def steps(engine: dura.DurableEngine, task: Any) -> int:
    for at in range(task.params["steps"]):
        engine.checkpoint(task_id=task.task_id, step_name=f"step-{at}", fn=functools.partial(noop, at))
    return int(task.params["steps"])


def large_steps(engine: dura.DurableEngine, task: Any) -> None:
    for at in range(task.params["steps"]):
        engine.checkpoint(
            task_id=task.task_id, step_name=f"step-{at}", fn=functools.partial(blob, task.params["bytes"], at)
        )


def sleeper(engine: dura.DurableEngine, task: Any) -> None:
    never = f"never-{task.task_id}"
    engine.wait_for_event(
        run_id=task.run_id, task_id=task.task_id, step_name="sleep", event_name=never, timeout_secs=3600
    )


def blocked(engine: dura.DurableEngine, task: Any) -> Any:
    steps(engine, task)
    return engine.wait_for_event(
        run_id=task.run_id, task_id=task.task_id, step_name="wait", event_name=f"go-{task.params['at']}"
    )


HANDLERS: dict[str, Callable[..., Any]] = {it.__name__: it for it in (steps, large_steps, sleeper, blocked)}


class Pool:
    """An engine and its workers; never stopped, because every run ends with a kill."""

    def __init__(self, run: Run, workers: int = 1) -> None:
        self.engine = dura.DurableEngine(run.store())
        for at in range(workers):
            options = {
                "handlers": HANDLERS,
                "worker_id": f"w{at}",
                "stop_event": threading.Event(),
                "poll_interval": POLL,
            }
            threading.Thread(target=run_worker, args=(self.engine,), kwargs=options, daemon=True).start()

    def spawn(self, name: str, **params: Any) -> str:
        return self.engine.spawn_task(name=name, params=params).task_id

    def wait(self, state: str, count: int, pause: float = 0.01) -> None:
        until(lambda: self.engine.task_counts_by_state().get(state, 0) >= count, pause=pause)


def w1(run: Run) -> dict[str, float]:
    pool = Pool(run)
    pool.spawn("steps", steps=run["steps"])
    pool.wait("completed", 1)
    return gaps(STAMPS)


def w3(run: Run) -> dict[str, float]:
    pool, before = Pool(run), time.perf_counter()
    for _ in range(run["workflows"]):
        pool.spawn("steps", steps=run["steps"])
    pool.wait("completed", run["workflows"])
    return rate(run["workflows"] * run["steps"], time.perf_counter() - before)


def w4(run: Run) -> dict[str, float]:
    pool, before = Pool(run), time.perf_counter()
    for _ in range(run["n"]):
        pool.spawn("sleeper")
    pool.wait("sleeping", run["n"])
    return {**rate(run["n"], time.perf_counter() - before, "starts_s"), "rss_mb": rss_mb()}


def w4_recover(run: Run) -> None:
    Pool(run).wait("sleeping", run["n"])


def w5(run: Run) -> None:
    pool = Pool(run)
    run.keep([pool.spawn("blocked", steps=run["steps"], at=at) for at in range(run["n"])])
    pool.wait("sleeping", run["n"])


def w5_recover(run: Run) -> None:
    pool = Pool(run)
    for at in range(run["n"]):
        pool.engine.emit_event(event_name=f"go-{at}", payload=at)
    pool.wait("completed", run["n"])
    check([pool.engine.get_task(task).result for task in run.kept()])


def w6(run: Run) -> dict[str, float]:
    pool = Pool(run)
    pool.spawn("large_steps", steps=run["steps"], bytes=run["bytes"])
    pool.wait("completed", 1)
    return large([*STAMPS, time.perf_counter()], run["bytes"])


def w7(run: Run) -> None:
    pool = Pool(run)
    pool.spawn("steps", steps=1)
    pool.wait("completed", 1, pause=0.001)


def w8(run: Run) -> dict[str, float]:
    pool, times = Pool(run), []
    for at in range(run["signals"]):
        task = pool.spawn("blocked", steps=0, at=at)
        pool.wait("sleeping", 1, pause=0.001)
        before = time.perf_counter()
        pool.engine.emit_event(event_name=f"go-{at}", payload=at)
        until(lambda task=task: pool.engine.get_task(task).state == "completed", pause=0.0005)
        times.append(time.perf_counter() - before)
    return milliseconds(times)
