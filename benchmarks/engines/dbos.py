"""DBOS Transact on SQLite: as it ships, and `tuned` (write-ahead log, notifications and results polled every 10 ms)."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Any

from dbos import DBOS, SetWorkflowID

from benchmarks.measure import Run, check, gaps, large, milliseconds, rate, rss_mb, unlike, until, until_async

STAMPS: list[float] = []
ENTERED: list[str] = []


@DBOS.step()
def noop() -> int:
    STAMPS.append(time.perf_counter())
    return 1


@DBOS.step()
async def noop_async() -> int:
    return 1


@DBOS.step()
def blob(size: int, at: int) -> str:
    STAMPS.append(time.perf_counter())
    return unlike(size, at)


@DBOS.workflow()
def chain(count: int) -> int:
    return sum(noop() for _ in range(count))


@DBOS.workflow()
async def fan(count: int) -> int:
    return sum(await asyncio.gather(*(noop_async() for _ in range(count))))


@DBOS.workflow()
def large_chain(count: int, size: int) -> None:
    for at in range(count):
        blob(size, at)


@DBOS.workflow()
async def sleeper() -> None:
    ENTERED.append("")
    await DBOS.sleep_async(3600)


@DBOS.workflow()
async def blocked(count: int) -> Any:
    for _ in range(count):
        await noop_async()
    return await DBOS.recv_async("go", timeout_seconds=3600)


def launch(run: Run) -> float:
    """Open the store; return how often to ask for results, in seconds."""
    url = f"sqlite:///{run.store()}"
    config: dict[str, Any] = {"name": "benchmark", "system_database_url": url, "log_level": "ERROR"}
    if run.variant == "tuned":
        sqlite3.connect(run.store()).execute("pragma journal_mode = wal").close()
        config["notification_listener_polling_interval_sec"] = 0.01
    DBOS(config=config)
    DBOS.launch()
    return 0.01 if run.variant == "tuned" else 1.0


def operations(run: Run, name: str) -> int:
    """Count recorded operations from outside: DBOS has no question for it that costs less than a row each."""
    with sqlite3.connect(run.store(), timeout=30) as connection:
        query = "select count(*) from operation_outputs where function_name = ?"
        return int(connection.execute(query, (name,)).fetchone()[0])


async def recorded(run: Run, name: str, count: int) -> bool:
    return await asyncio.to_thread(operations, run, name) >= count


def w1(run: Run) -> dict[str, float]:
    launch(run)
    DBOS.start_workflow(chain, run["steps"]).get_result()
    return gaps(STAMPS)


def w2(run: Run) -> dict[str, float]:
    launch(run)

    async def main() -> dict[str, float]:
        before = time.perf_counter()
        await fan(run["steps"])
        return rate(run["steps"], time.perf_counter() - before)

    return asyncio.run(main())


def w3(run: Run) -> dict[str, float]:
    pause, before = launch(run), time.perf_counter()
    handles = [DBOS.start_workflow(chain, run["steps"]) for _ in range(run["workflows"])]
    for handle in handles:
        handle.get_result(polling_interval_sec=pause)
    return rate(run["workflows"] * run["steps"], time.perf_counter() - before)


def w4(run: Run) -> dict[str, float]:
    launch(run)

    async def main() -> dict[str, float]:
        before = time.perf_counter()
        for _ in range(run["n"]):
            await DBOS.start_workflow_async(sleeper)
        await until_async(lambda: recorded(run, "DBOS.sleep", run["n"]))
        return {**rate(run["n"], time.perf_counter() - before, "starts_s"), "rss_mb": rss_mb()}

    return asyncio.run(main())


def w4_recover(run: Run) -> None:
    launch(run)
    until(lambda: len(ENTERED) >= run["n"])


def w5(run: Run) -> None:
    launch(run)

    async def main() -> None:
        for at in range(run["n"]):
            with SetWorkflowID(f"blocked-{at}"):
                await DBOS.start_workflow_async(blocked, run["steps"])
        await until_async(lambda: recorded(run, "noop_async", run["n"] * run["steps"]))

    asyncio.run(main())


def w5_recover(run: Run) -> None:
    pause = launch(run)

    async def main() -> None:
        for at in range(run["n"]):
            await DBOS.send_async(f"blocked-{at}", at, "go")
        handles = [await DBOS.retrieve_workflow_async(f"blocked-{at}") for at in range(run["n"])]
        check(await asyncio.gather(*(it.get_result(polling_interval_sec=pause) for it in handles)))

    asyncio.run(main())


def w6(run: Run) -> dict[str, float]:
    launch(run)
    DBOS.start_workflow(large_chain, run["steps"], run["bytes"]).get_result()
    return large([*STAMPS, time.perf_counter()], run["bytes"])


def w7(run: Run) -> None:
    launch(run)
    chain(1)


@DBOS.workflow()
def answering() -> Any:
    noop()
    return DBOS.recv("go", timeout_seconds=60)


def w8(run: Run) -> dict[str, float]:
    pause, times = launch(run), []
    for at in range(run["signals"]):
        handle = DBOS.start_workflow(answering)
        until(lambda at=at: len(STAMPS) > at)
        time.sleep(0.05)  # it is in recv by now; there is nothing to ask
        before = time.perf_counter()
        DBOS.send(handle.workflow_id, at, "go")
        handle.get_result(polling_interval_sec=pause)
        times.append(time.perf_counter() - before)
    return milliseconds(times)
