"""Temporal: its dev server with a SQLite file, as it ships, and a worker in the measured process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks.measure import Run, check, gaps, large, milliseconds, rate, rss_mb, unlike, until_async

QUEUE = "benchmark"
STAMPS: list[float] = []
TIMEOUT = timedelta(minutes=1)


@activity.defn
async def noop() -> int:
    STAMPS.append(time.perf_counter())
    return 1


@activity.defn
async def blob(size: int, at: int) -> str:
    STAMPS.append(time.perf_counter())
    return unlike(size, at)


def step() -> Awaitable[int]:
    return workflow.execute_activity(noop, start_to_close_timeout=TIMEOUT)


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, count: int) -> int:
        return sum([await step() for _ in range(count)])


@workflow.defn
class Fan:
    @workflow.run
    async def run(self, count: int) -> int:
        return sum(await asyncio.gather(*(step() for _ in range(count))))


@workflow.defn
class LargeChain:
    @workflow.run
    async def run(self, count: int, size: int) -> None:
        for at in range(count):
            await workflow.execute_activity(blob, args=[size, at], start_to_close_timeout=TIMEOUT)


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(3600)


@workflow.defn
class Blocked:
    def __init__(self) -> None:
        self.value: Any = None
        self.ready = False

    @workflow.signal
    def go(self, value: int) -> None:
        self.value, self.ready = value, True

    @workflow.query
    def waiting(self) -> bool:
        return not self.ready

    @workflow.run
    async def run(self, count: int) -> Any:
        for _ in range(count):
            await step()
        await workflow.wait_condition(lambda: self.ready)
        return self.value


WORKFLOWS = [Chain, Fan, LargeChain, Sleeper, Blocked]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_server(run: Run) -> int:
    """Start a server that dies with this process group; return its port."""
    port, binary = _free_port(), Path(sys.executable).with_name("temporal")
    subprocess.Popen(
        [
            binary,
            "server",
            "start-dev",
            "--headless",
            "--ip",
            "127.0.0.1",
            "--log-level",
            "error",
            "--port",
            str(port),
            "--metrics-port",
            str(_free_port()),
            "--db-filename",
            run.store(),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(run.folder)},
    )
    return port


async def connect(port: int) -> Client:
    """Connect to a server that is just starting."""
    for _ in range(1000):
        try:
            return await Client.connect(f"127.0.0.1:{port}")
        except RuntimeError:
            await asyncio.sleep(0.02)
    raise TimeoutError("the server did not come up")


def measured(run: Run, body: Callable[[Client], Awaitable[Any]]) -> Any:
    """Run a body beside a worker; return what it returns, and leave everything to the kill."""

    async def main() -> Any:
        client = await connect(start_server(run))
        worker = Worker(
            client,
            task_queue=QUEUE,
            workflows=WORKFLOWS,
            activities=[noop, blob],
            workflow_runner=UnsandboxedWorkflowRunner(),
            build_id="benchmark",
        )
        working = asyncio.create_task(worker.run())
        answer = await body(client)
        assert not working.done()
        return answer

    loop = asyncio.new_event_loop()  # never closed: closing waits for the worker
    return loop.run_until_complete(main())


async def _gather(count: int, one: Callable[[int], Awaitable[Any]], at_once: int = 50) -> list[Any]:
    limit = asyncio.Semaphore(at_once)

    async def limited(at: int) -> Any:
        async with limit:
            return await one(at)

    return await asyncio.gather(*(limited(at) for at in range(count)))


def w1(run: Run) -> dict[str, float]:
    async def body(client: Client) -> None:
        await client.execute_workflow(Chain.run, run["steps"], id="chain", task_queue=QUEUE)

    measured(run, body)
    return gaps(STAMPS)


def w2(run: Run) -> dict[str, float]:
    async def body(client: Client) -> dict[str, float]:
        before = time.perf_counter()
        await client.execute_workflow(Fan.run, run["steps"], id="fan", task_queue=QUEUE)
        return rate(run["steps"], time.perf_counter() - before)

    return measured(run, body)


def w3(run: Run) -> dict[str, float]:
    async def body(client: Client) -> dict[str, float]:
        async def one(at: int) -> None:
            await client.execute_workflow(Chain.run, run["steps"], id=f"chain-{at}", task_queue=QUEUE)

        before = time.perf_counter()
        await _gather(run["workflows"], one, at_once=500)
        return rate(run["workflows"] * run["steps"], time.perf_counter() - before)

    return measured(run, body)


async def _all_running(client: Client, kind: str, count: int) -> bool:
    query = f"WorkflowType = '{kind}' and ExecutionStatus = 'Running'"
    return (await client.count_workflows(query)).count >= count


async def _grown(client: Client, name: str, length: int) -> None:
    """Wait until a history has that many events."""
    handle = client.get_workflow_handle(name)

    async def grown() -> bool:
        return (await handle.describe()).raw_description.workflow_execution_info.history_length >= length

    await until_async(grown)


def w4(run: Run) -> dict[str, float]:
    async def body(client: Client) -> dict[str, float]:
        async def asleep(at: int) -> None:
            await _grown(client, f"sleeper-{at}", 5)  # its first task is over, its timer started

        async def one(at: int) -> None:
            await client.start_workflow(Sleeper.run, id=f"sleeper-{at}", task_queue=QUEUE)

        before = time.perf_counter()
        await _gather(run["n"], one)
        await _gather(run["n"], asleep)
        return {**rate(run["n"], time.perf_counter() - before, "starts_s"), "rss_mb": rss_mb()}

    return measured(run, body)


def w4_recover(run: Run) -> None:
    async def body(client: Client) -> None:
        await until_async(lambda: _all_running(client, "Sleeper", run["n"]), pause=0.01)

    measured(run, body)


async def _is_waiting(client: Client, name: str, steps: int) -> None:
    await _grown(client, name, 4 + 6 * steps)  # started, three task events, and six a step: the last task is over


def w5(run: Run) -> None:
    async def body(client: Client) -> None:
        async def one(at: int) -> None:
            await client.start_workflow(Blocked.run, run["steps"], id=f"blocked-{at}", task_queue=QUEUE)
            await _is_waiting(client, f"blocked-{at}", run["steps"])

        await _gather(run["n"], one)

    measured(run, body)


def w5_recover(run: Run) -> None:
    async def body(client: Client) -> None:
        async def one(at: int) -> Any:
            handle = client.get_workflow_handle(f"blocked-{at}")
            await handle.signal("go", at)
            return await handle.result()

        check(await _gather(run["n"], one, at_once=1000))

    measured(run, body)


def w6(run: Run) -> dict[str, float]:
    async def body(client: Client) -> None:
        await client.execute_workflow(LargeChain.run, args=[run["steps"], run["bytes"]], id="large", task_queue=QUEUE)

    measured(run, body)
    return large([*STAMPS, time.perf_counter()], run["bytes"])


def w7(run: Run) -> None:
    async def body(client: Client) -> None:
        await client.execute_workflow(Chain.run, 1, id="chain", task_queue=QUEUE)

    measured(run, body)


def w8(run: Run) -> dict[str, float]:
    async def body(client: Client) -> list[float]:
        times = []
        for at in range(run["signals"]):
            handle = await client.start_workflow(Blocked.run, 0, id=f"blocked-{at}", task_queue=QUEUE)
            await _is_waiting(client, f"blocked-{at}", 0)
            before = time.perf_counter()
            await handle.signal("go", at)
            await handle.result()
            times.append(time.perf_counter() - before)
        return times

    return milliseconds(measured(run, body))
