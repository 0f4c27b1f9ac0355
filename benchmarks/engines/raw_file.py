"""The floor below every durable engine: a line to a file and an fdatasync for each step."""

from __future__ import annotations

import os
import time

from benchmarks.measure import Run, gaps, large, rate

LINE = b"x" * 99 + b"\n"
GROUP = 100


class Log:
    def __init__(self, run: Run) -> None:
        self.file = os.open(run.store("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def commit(self, data: bytes) -> None:
        os.write(self.file, data)
        os.fdatasync(self.file)


def w1(run: Run) -> dict[str, float]:
    log, stamps = Log(run), [time.perf_counter()]
    for _ in range(run["steps"]):
        log.commit(LINE)
        stamps.append(time.perf_counter())
    return gaps(stamps)


def w2(run: Run) -> dict[str, float]:
    return _grouped(run, run["steps"])


def w3(run: Run) -> dict[str, float]:
    return _grouped(run, run["workflows"] * run["steps"])


def _grouped(run: Run, steps: int) -> dict[str, float]:
    log, before = Log(run), time.perf_counter()
    for start in range(0, steps, GROUP):
        log.commit(b"".join([LINE] * min(GROUP, steps - start)))
    return rate(steps, time.perf_counter() - before)


def w6(run: Run) -> dict[str, float]:
    log, value = Log(run), os.urandom(run["bytes"])
    stamps = [time.perf_counter()]
    for _ in range(run["steps"]):
        log.commit(value)
        stamps.append(time.perf_counter())
    return large(stamps, run["bytes"])


def w7(run: Run) -> None:
    Log(run).commit(LINE)
