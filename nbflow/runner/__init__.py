"""Headless notebooks: a fresh kernel, typed parameters, truthful output, and runs that continue where they stopped."""

from __future__ import annotations

from nbflow.runner.options import RunOptions
from nbflow.runner.outcomes import ActivityCounts, CellError, CellResult, CellStatus, ExitCode, RunResult, RunStatus
from nbflow.runner.reporter import ConsoleReporter, Reporter
from nbflow.runner.run import run_notebook, run_notebook_async

__all__ = [
    "ActivityCounts",
    "CellError",
    "CellResult",
    "CellStatus",
    "ConsoleReporter",
    "ExitCode",
    "Reporter",
    "RunOptions",
    "RunResult",
    "RunStatus",
    "run_notebook",
    "run_notebook_async",
]
