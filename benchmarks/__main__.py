"""The command line: `python -m benchmarks [--engines ...] [--workloads ...] [--repeat N] [--quick] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.engines import ENGINES, REFERENCE, Engine
from benchmarks.runner import Outcome, series
from benchmarks.table import markdown, medians
from benchmarks.workloads import WORKLOADS, Workload, number, parse


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), metavar="E", help=", ".join(ENGINES))
    parser.add_argument(
        "--workloads",
        nargs="+",
        default=list(WORKLOADS),
        metavar="W",
        help="w1 to w9; with other sizes: w4:n=100000",
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each pair (default 3)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run, not how fast")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one phase of a run (default 300)")
    parser.add_argument(
        "--best", action="store_true", help="show the best run of each pair instead of medians: for a busy machine"
    )
    parser.add_argument("--reference", default=REFERENCE, help=f"what ratios are against (default {REFERENCE})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run and the medians there")
    return parser.parse_args(argv)


def machine() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
    }


def _engines(names: Sequence[str]) -> list[Engine]:
    unknown = sorted(set(names) - set(ENGINES))
    if unknown:
        raise SystemExit(f"no engine {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    return [ENGINES[name] for name in names]


def _progress(outcome: Outcome) -> None:
    if outcome.unavailable:
        told = "not available"
    elif outcome.error:
        told = "FAILED " + outcome.error.strip().splitlines()[-1]
    else:
        told = ", ".join(f"{name} {number(value)}" for name, value in outcome.figures.items())
    print(f"{outcome.workload.split()[0]:3} {outcome.engine:15} {told}", file=sys.stderr, flush=True)


def report(outcomes: Sequence[Outcome], engines: Sequence[Engine], workloads: Sequence[Workload]) -> dict[str, object]:
    """Return everything of a series as JSON-native values."""
    found = medians(outcomes)
    return {
        "machine": machine(),
        "engines": {it.name: list(it.requirements) for it in engines},
        "workloads": {it.title: it.name for it in workloads},
        "medians": [{"engine": engine, "workload": title, **figures} for (engine, title), figures in found.items()],
        "runs": [it.as_dict() for it in outcomes],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run a series; the table goes to stdout, progress to stderr. Return 1 when a run failed."""
    options = arguments(argv)
    engines = _engines(options.engines)
    workloads = [parse(it) for it in options.workloads]
    outcomes = []
    for outcome in series(engines, workloads, repeat=options.repeat, quick=options.quick, timeout=options.timeout):
        _progress(outcome)
        outcomes.append(outcome)
    print(markdown(outcomes, engines, workloads, reference=options.reference, pick_best=options.best))
    if options.json:
        options.json.write_text(json.dumps(report(outcomes, engines, workloads), indent=1) + "\n")
    return int(any(it.error for it in outcomes))


if __name__ == "__main__":
    sys.exit(main())
