"""The workloads on nbflow, for any colour of its functions: `nbflow_async` and `nbflow_threads` hand theirs in."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import nbflow
from benchmarks.measure import Run, check, gaps, large, milliseconds, rate, rss_mb, until

STAMPS: list[float] = []
"""When each activity ran: activities leave it here, because a workflow's own clock stands still."""


def stamp() -> None:
    STAMPS.append(time.perf_counter())


def recorded(client: Any, event_type: str) -> int:
    """Count the events of a type that are durable."""
    query = "SELECT count(*) AS count FROM event_log.events WHERE event_type = ?"
    return int(client.rows(query, [event_type])[0]["count"])


def pending_timers(client: Any) -> int:
    return int(client.rows("SELECT count(*) AS count FROM timers WHERE status = 'Pending'")[0]["count"])


def unblock(workflow_id: str, value: int) -> nbflow.WorkflowHandle:
    handle = nbflow.get(workflow_id)
    handle.signal("go", value)
    return handle


@dataclass(frozen=True)
class Plays:
    """The functions of an adapter, made from workflows of one colour.

    Parameters
    ----------
    chain
        `(steps)`: one activity after another.
    fan
        `(steps)`: all activities at once.
    sleeper
        `()`: sleeps an hour.
    blocked
        `(steps)`: a chain, then waits for the signal `go` and returns its value.
    large_chain
        `(steps, size)`: activities that return so many bytes.
    """

    chain: Any
    fan: Any
    sleeper: Any
    blocked: Any
    large_chain: Any

    def functions(self) -> dict[str, Callable[[Run], Any]]:
        """Return the workloads by the names that the harness looks for."""
        names = ("w1", "w2", "w3", "w4", "w4_recover", "w5", "w5_recover", "w6", "w7", "w8")
        return {name: getattr(self, name) for name in names}

    def w1(self, run: Run) -> dict[str, float]:
        nbflow.open(run.store("duckdb"))
        self.chain.start(run["steps"]).result()
        return gaps(STAMPS)

    def w2(self, run: Run) -> dict[str, float]:
        nbflow.open(run.store("duckdb"))
        before = time.perf_counter()
        self.fan.start(run["steps"]).result()
        return rate(run["steps"], time.perf_counter() - before)

    def w3(self, run: Run) -> dict[str, float]:
        nbflow.open(run.store("duckdb"))
        before = time.perf_counter()
        for handle in self.chain.start_many([run["steps"]] * run["workflows"]):
            handle.result()
        return rate(run["workflows"] * run["steps"], time.perf_counter() - before)

    def w4(self, run: Run) -> dict[str, float]:
        client = nbflow.open(run.store("duckdb"))
        before = time.perf_counter()
        self.sleeper.start_many([()] * run["n"])
        until(lambda: recorded(client, "TimerStarted") >= run["n"])
        return {**rate(run["n"], time.perf_counter() - before, "starts_s"), "rss_mb": rss_mb()}

    def w4_recover(self, run: Run) -> dict[str, float]:
        client = nbflow.open(run.store("duckdb"))
        until(lambda: pending_timers(client) >= run["n"])
        return {"rss_recovered_mb": rss_mb()}

    def w5(self, run: Run) -> None:
        client = nbflow.open(run.store("duckdb"))
        ids = [f"blocked-{at}" for at in range(run["n"])]
        self.blocked.start_many([run["steps"]] * run["n"], ids=ids)
        until(lambda: recorded(client, "ActivityTaskCompleted") >= run["n"] * run["steps"])
        run.keep(ids)

    def w5_recover(self, run: Run) -> dict[str, float]:
        nbflow.open(run.store("duckdb"))
        opened = run.since_spawn()
        ids = run.kept()
        with ThreadPoolExecutor(32) as pool:  # a signal returns when it is durable, so several are under way at once
            handles = list(pool.map(unblock, ids, range(len(ids))))
        signalled = run.since_spawn()
        check([handle.result() for handle in handles])
        return {"opened_s": opened, "signalled_s": signalled}

    def w6(self, run: Run) -> dict[str, float]:
        nbflow.open(run.store("duckdb"))
        self.large_chain.start(run["steps"], run["bytes"]).result()
        return large([*STAMPS, time.perf_counter()], run["bytes"])

    def w7(self, run: Run) -> None:
        nbflow.open(run.store("duckdb"))
        self.chain.start(1).result()

    def w8(self, run: Run) -> dict[str, float]:
        nbflow.open(run.store("duckdb"))
        times = []
        for at in range(run["signals"]):
            handle = self.blocked.start(1)
            until(lambda at=at: len(STAMPS) > at, pause=0.001)
            time.sleep(0.02)  # it waits for the signal by now; there is nothing to ask
            before = time.perf_counter()
            handle.signal("go", at)
            handle.result()
            times.append(time.perf_counter() - before)
        return milliseconds(times)
