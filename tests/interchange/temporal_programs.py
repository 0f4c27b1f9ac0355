"""Plain Temporal workflows, one for each thing a history can tell, and a way to record their histories.

``python tests/interchange/temporal_programs.py FOLDER`` records all of them from a real server; those in ``histories``
came about like that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

QUEUE = "interchange"
_NO_FOLDERS = re.compile(r'File \\"[^"]*/')
SECONDS = {"start_to_close_timeout": timedelta(seconds=10)}
BINARY = shutil.which("temporal") or shutil.which("temporal", path=Path(sys.executable).parent)


@activity.defn(name="t_add_up")
async def add_up(a: int, b: int) -> int:
    return a + b


@activity.defn(name="t_moody")
async def moody(x: int) -> int:
    if activity.info().attempt < 3:
        raise ApplicationError("not today", {"attempt": activity.info().attempt}, type="Moody")
    return x


@activity.defn(name="t_hopeless")
async def hopeless() -> None:
    raise ApplicationError("never", type="Hopeless", non_retryable=True)


@activity.defn(name="t_nap")
async def nap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@workflow.defn(name="t_retries")
class Retries:
    @workflow.run
    async def run(self, n: int) -> list[int]:
        policy = RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_attempts=5)
        first = await workflow.execute_activity(moody, n, **SECONDS, retry_policy=policy, summary="at the third try")
        second = await workflow.execute_activity(add_up, args=[first, n], **SECONDS)
        try:
            await workflow.execute_activity(hopeless, **SECONDS)
        except Exception:
            await workflow.sleep(0.01)
        return [first, second]


@workflow.defn(name="t_crowd")
class Crowd:
    """Many things at once, so that several events share a workflow task."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    @workflow.run
    async def run(self, n: int) -> list[float]:
        async def one(i: int) -> int:
            got = await workflow.execute_activity(add_up, args=[i, 0], **SECONDS)
            await asyncio.sleep(0.02)
            return await workflow.execute_activity(add_up, args=[got, i], **SECONDS)

        found = await asyncio.gather(*(one(i) for i in range(n)))
        await workflow.wait_condition(lambda: len(self.heard) >= 3)
        return [*found, *self.heard, workflow.random().random()]

    @workflow.signal
    def hear(self, x: int) -> None:
        self.heard.append(x)


@workflow.defn(name="t_cancelled")
class Cancelled:
    @workflow.run
    async def run(self) -> None:
        try:
            await workflow.sleep(3600)
        except asyncio.CancelledError:
            await workflow.execute_activity(add_up, args=[1, 1], **SECONDS)
            raise


@workflow.defn(name="t_failing")
class Failing:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(hopeless, **SECONDS)


@workflow.defn(name="t_child")
class Child:
    @workflow.run
    async def run(self, x: int) -> int:
        await workflow.sleep(0.01)
        return x + 1


@workflow.defn(name="t_parent")
class Parent:
    @workflow.run
    async def run(self, x: int) -> int:
        return await workflow.execute_child_workflow(Child.run, x, id=f"{workflow.info().workflow_id}-child")


@workflow.defn(name="t_family")
class Family:
    """Children, timers and activities race, so that their outcomes share workflow tasks."""

    @workflow.run
    async def run(self, n: int) -> list[int]:
        async def one(i: int) -> int:
            got = await workflow.execute_child_workflow(Child.run, i, id=f"{workflow.info().workflow_id}-{i}")
            await asyncio.sleep(0.02)
            return await workflow.execute_activity(add_up, args=[got, i], **SECONDS)

        async def other(i: int) -> int:
            await workflow.execute_activity(add_up, args=[i, 0], **SECONDS)
            await workflow.sleep(0.03)
            handle = await workflow.start_child_workflow(Child.run, i, id=f"{workflow.info().workflow_id}-other-{i}")
            await workflow.execute_activity(add_up, args=[i, i], **SECONDS)
            return await handle

        return list(await asyncio.gather(*(one(i) for i in range(n)), *(other(i) for i in range(n))))


@workflow.defn(name="t_updated")
class Updated:
    def __init__(self) -> None:
        self.items: list[int] = []

    @workflow.run
    async def run(self) -> list[int]:
        await workflow.wait_condition(lambda: len(self.items) == 2 and workflow.all_handlers_finished())
        return self.items

    @workflow.update
    async def put(self, x: int) -> int:
        self.items.append(await workflow.execute_activity(add_up, args=[x, 1], **SECONDS))
        return len(self.items)

    @put.validator
    def check(self, x: int) -> None:
        if x < 0:
            raise ValueError("no")


@workflow.defn(name="t_again")
class Again:
    @workflow.run
    async def run(self, left: int) -> str:
        if left:
            workflow.continue_as_new(left - 1)
        return "enough"


@workflow.defn(name="t_told")
class Told:
    @workflow.run
    async def run(self, note: dict[str, str]) -> None:
        workflow.patched("my-patch")
        workflow.upsert_search_attributes([SearchAttributeKey.for_keyword("CustomKeywordField").value_set("yes")])
        workflow.upsert_memo({"note": note})
        await workflow.execute_local_activity(add_up, args=[2, 3], **SECONDS)


@workflow.defn(name="t_waiting")
class Waiting:
    @workflow.run
    async def run(self) -> None:
        late = workflow.start_activity(nap, 60.0, start_to_close_timeout=timedelta(hours=1))
        await asyncio.gather(workflow.sleep(timedelta(days=30)), late)


WORKFLOWS = [Retries, Crowd, Cancelled, Failing, Child, Parent, Family, Updated, Again, Told, Waiting]
ACTIVITIES = [add_up, moody, hopeless, nap]


async def _crowd(client: Client) -> WorkflowHandle:
    handle = await client.start_workflow(Crowd.run, 6, id="t-crowd", task_queue=QUEUE)
    for x in (1, 2, 3):
        await asyncio.sleep(0.02)
        await handle.signal(Crowd.hear, x)
    return handle


async def _cancelled(client: Client) -> WorkflowHandle:
    handle = await client.start_workflow(Cancelled.run, id="t-cancelled", task_queue=QUEUE)
    await asyncio.sleep(0.3)
    await handle.cancel()
    return handle


async def _updated(client: Client) -> WorkflowHandle:
    handle = await client.start_workflow(Updated.run, id="t-updated", task_queue=QUEUE)
    await handle.execute_update(Updated.put, 1)
    with contextlib.suppress(Exception):
        await handle.execute_update(Updated.put, -1)
    await handle.execute_update(Updated.put, 5)
    return handle


async def _waiting(client: Client) -> WorkflowHandle:
    handle = await client.start_workflow(Waiting.run, id="t-waiting", task_queue=QUEUE)
    await asyncio.sleep(0.5)
    return handle


def _plain(program, *args):
    async def start(client: Client) -> WorkflowHandle:
        id_ = f"t-{program.__name__.lower()}"
        return await client.start_workflow(program.run, args=list(args), id=id_, task_queue=QUEUE, memo={"of": id_})

    return start


SCENARIOS = {
    "retries": _plain(Retries, 3),
    "crowd": _crowd,
    "cancelled": _cancelled,
    "failing": _plain(Failing),
    "parent": _plain(Parent, 1),
    "family": _plain(Family, 4),
    "updated": _updated,
    "again": _plain(Again, 1),
    "told": _plain(Told, {"by": "me"}),
    "waiting": _waiting,
}


@contextlib.contextmanager
def server():
    """Run a real server, in memory, on a port of its own; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(BINARY), "server", "start-dev", "--headless", "--port", str(port), "--http-port", "0"]
    command += ["--log-level", "error", "--search-attribute", "CustomKeywordField=Keyword"]
    command += ["--dynamic-config-value", 'history.timerProcessorMaxTimeShift="10ms"']
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def connected(address: str) -> Client:
    """Connect, as soon as the server is there."""
    for _ in range(200):
        try:
            return await Client.connect(address, identity="worker")
        except RuntimeError:
            time.sleep(0.05)
    raise TimeoutError(address)


async def record(client: Client) -> dict[str, dict]:
    """Run every scenario and return the histories as the SDK writes them."""
    histories = {}
    known = {"workflows": WORKFLOWS, "activities": ACTIVITIES}
    async with Worker(client, task_queue=QUEUE, **known, workflow_runner=UnsandboxedWorkflowRunner()):
        handles = {}
        for name, start in SCENARIOS.items():
            handles[name] = handle = await start(client)
            if name != "waiting":
                with contextlib.suppress(Exception):
                    await handle.result()
        for name, handle in handles.items():
            first = client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id or handle.result_run_id)
            histories[name] = json.loads(_NO_FOLDERS.sub('File \\\\"', (await first.fetch_history()).to_json()))
    return histories


def main(folder: Path) -> None:
    with server() as address:

        async def all_of_it() -> dict[str, dict]:
            return await record(await connected(address))

        for name, history in asyncio.run(all_of_it()).items():
            folder.joinpath(f"{name}.json").write_text(json.dumps(history, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
