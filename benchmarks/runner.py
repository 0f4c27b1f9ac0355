"""Runs a series: every workload on every engine, interleaved, each in fresh processes on a fresh store."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engines import Engine
from benchmarks.venvs import NotInstallableError, python_of
from benchmarks.workloads import Workload

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Outcome:
    """What one run gave: figures, or why there are none."""

    engine: str
    workload: str
    repetition: int
    params: Mapping[str, int]
    figures: dict[str, float] = field(default_factory=dict)
    unavailable: bool = False
    error: str = ""
    load: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def params_of(engine: Engine, workload: Workload, *, quick: bool) -> dict[str, int]:
    """Return the sizes of a run: the workload's, or the engine's cap where that is smaller."""
    params = dict(workload.quick if quick else workload.full)
    for name, most in engine.caps.get(workload.name, {}).items():
        params[name] = min(params[name], most)
    return params


def series(
    engines: Sequence[Engine], workloads: Sequence[Workload], *, repeat: int, quick: bool, timeout: float
) -> Iterator[Outcome]:
    """Yield one outcome a run; engines take turns inside a workload, workloads inside a repetition."""
    unavailable: set[tuple[str, str]] = set()
    for repetition in range(repeat):
        for workload in workloads:
            for engine in engines:
                if (engine.name, workload.name) in unavailable:
                    continue
                outcome = run(engine, workload, repetition=repetition, quick=quick, timeout=timeout)
                if outcome.unavailable:
                    unavailable.add((engine.name, workload.name))
                yield outcome


def run(engine: Engine, workload: Workload, *, repetition: int = 0, quick: bool, timeout: float) -> Outcome:
    """Run one workload on one engine: all its phases, on one fresh store in a temporary folder."""
    params = params_of(engine, workload, quick=quick)
    outcome = Outcome(engine.name, workload.title, repetition, params, load=os.getloadavg()[0])
    try:
        python = python_of(engine)
    except NotInstallableError as error:
        outcome.error = str(error)
        return outcome
    with tempfile.TemporaryDirectory(prefix="nbflow-benchmark-", ignore_cleanup_errors=True) as folder:
        for function in workload.functions():
            answer = _phase(python, engine, function, params=params, folder=Path(folder), timeout=timeout)
            outcome.unavailable = bool(answer.get("unavailable"))
            outcome.error = answer.get("error", "")
            outcome.figures.update(answer.get("figures") or {})
            if outcome.unavailable or outcome.error:
                break
    return outcome


def _phase(
    python: str, engine: Engine, function: str, *, params: Mapping[str, int], folder: Path, timeout: float
) -> dict[str, Any]:
    reading, writing = os.pipe()
    order = {
        "module": engine.module,
        "library": engine.library,
        "variant": engine.variant,
        "function": function,
        "params": params,
        "folder": str(folder),
        "pipe": writing,
        "spawned": time.monotonic(),
    }
    with open(folder / f"{function}.log", "w+") as log:  # noqa: PTH123
        process = subprocess.Popen(
            [python, "-m", "benchmarks.child", json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
            pass_fds=[writing],
        )
        os.close(writing)
        try:
            line = _line(reading, timeout)
        finally:
            os.close(reading)
            kill_group(process)
        if line:
            return dict(json.loads(line))
        log.seek(0)
        why = f"no answer in {timeout:.0f} s" if line is None else f"exit code {process.returncode}"
        return {"error": f"{why}: {log.read()[-2000:].strip()}"}


def _line(descriptor: int, timeout: float) -> str | None:
    """Read one line; empty when the other side is gone, None when it takes too long."""
    deadline, text = time.monotonic() + timeout, b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        part = os.read(descriptor, 65536)
        if not part:
            return ""
        text += part
    return text.decode()


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a run and the servers it started: the crash that two workloads are about, and the end of the others."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        print(f"a run ended by itself with exit code {process.poll()}", file=sys.stderr)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
