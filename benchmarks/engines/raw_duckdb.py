"""The floor below nbflow: bare DuckDB commits of the rows that a step leaves in an event log.

Two variants: an INSERT with many VALUES, and DuckDB 2.0's appender. A step is three rows (started,
completed, next one scheduled), as in nbflow's own log; groups commit a hundred steps at once.
"""

from __future__ import annotations

import os
import time

import duckdb

from benchmarks.measure import Run, gaps, large, rate

TABLE = """
create table events (
    run_id varchar, event_id integer, event_time bigint, event_type varchar, name varchar,
    initiated_event_id integer, attributes varchar, payload blob)
"""
ROWS = 3
GROUP = 100
RUN_ID = "01934e6b-7d5c-7a44-9c11-3f4f0a6b1c2d"
ATTRIBUTES = '{"activity_id": "17", "activity_type": "step", "retry_policy": null, "attempt": 1}'


class Log:
    def __init__(self, run: Run) -> None:
        self.connection = duckdb.connect(run.store("duckdb"))
        self.connection.execute(TABLE)
        self.connection.execute("checkpoint")
        self.appender = self.connection.appender("events") if run.variant == "appender" else None
        self.event_id = 0

    def rows(self, steps: int) -> list[tuple[object, ...]]:
        first = self.event_id + 1
        self.event_id += steps * ROWS
        now = time.time_ns() // 1000
        return [
            (RUN_ID, event_id, now, "ActivityTaskCompleted", "step", first, ATTRIBUTES, None)
            for event_id in range(first, self.event_id + 1)
        ]

    def commit(self, rows: list[tuple[object, ...]]) -> None:
        """Make rows durable: one transaction, as DuckDB's own log does by default."""
        if self.appender is not None:
            self.appender.append_rows(rows)
            self.appender.flush()
            return
        values = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * len(rows))
        self.connection.execute(f"insert into events values {values}", [it for row in rows for it in row])


def w1(run: Run) -> dict[str, float]:
    log, stamps = Log(run), [time.perf_counter()]
    for _ in range(run["steps"]):
        log.commit(log.rows(1))
        stamps.append(time.perf_counter())
    return gaps(stamps)


def w2(run: Run) -> dict[str, float]:
    return _grouped(run, run["steps"])


def w3(run: Run) -> dict[str, float]:
    return _grouped(run, run["workflows"] * run["steps"])


def _grouped(run: Run, steps: int) -> dict[str, float]:
    log, before = Log(run), time.perf_counter()
    for start in range(0, steps, GROUP):
        log.commit(log.rows(min(GROUP, steps - start)))
    return rate(steps, time.perf_counter() - before)


def w6(run: Run) -> dict[str, float]:
    log, value = Log(run), os.urandom(run["bytes"])
    stamps = [time.perf_counter()]
    for _ in range(run["steps"]):
        log.commit([(*row[:-1], value if at == 1 else None) for at, row in enumerate(log.rows(1))])
        stamps.append(time.perf_counter())
    return large(stamps, run["bytes"])


def w7(run: Run) -> None:
    log = Log(run)
    log.commit(log.rows(1))
