"""What a run and its cells can come to: the states, the exit codes, and the results that carry them."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

SCHEMA_VERSION = 1
"""Version of what is written under the metadata key ``nbflow``, in the notebook and in its cells."""


class CellStatus(StrEnum):
    """What became of a code cell; written to its metadata as ``nbflow.status``."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    KERNEL_DIED = "kernel_died"
    NOT_RUN = "not_run"


class RunStatus(StrEnum):
    """What became of a run; written to the notebook's metadata as ``nbflow.status``."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUSPENDED = "suspended"
    TIMED_OUT = "timed_out"
    KERNEL_DIED = "kernel_died"
    INTERRUPTED = "interrupted"


class ExitCode(IntEnum):
    """Exit codes of ``nbflow run``; a signal adds its number to 128."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SUSPENDED = 75
    RUN_TIMEOUT = 124
    KERNEL_KILLED = 137
    KERNEL_DIED = 138

    @staticmethod
    def of_signal(signum: int) -> int:
        """Return the code that shells give to a process ended by this signal."""
        return 128 + signum


@dataclass(frozen=True)
class Ending:
    """How and why a run ends.

    Parameters
    ----------
    status
        What the run becomes.
    exit_code
        What the process exits with.
    reason
        The same for a reader, e.g. ``"SIGTERM received"``; None where success needs no words.
    """

    status: RunStatus
    exit_code: int
    reason: str | None

    @classmethod
    def success(cls, reason: str | None = None) -> Ending:
        """End because there is nothing left to do."""
        return cls(RunStatus.SUCCEEDED, ExitCode.OK, reason)

    @classmethod
    def failure(cls, reason: str) -> Ending:
        """End because a cell failed."""
        return cls(RunStatus.FAILED, ExitCode.FAILED, reason)

    @classmethod
    def by_signal(cls, signum: int) -> Ending:
        """End because the runner received a signal."""
        return cls(RunStatus.INTERRUPTED, ExitCode.of_signal(signum), f"{signal.Signals(signum).name} received")

    @classmethod
    def by_run_timeout(cls, seconds: float) -> Ending:
        """End because the whole run took too long."""
        return cls(RunStatus.TIMED_OUT, ExitCode.RUN_TIMEOUT, f"the run took longer than its timeout of {seconds:g} s")


@dataclass(frozen=True)
class CellError:
    """The exception that a cell ended with.

    Parameters
    ----------
    ename, evalue
        Class name and text of the exception.
    traceback
        Its lines as the kernel formatted them, colour codes included.
    """

    ename: str
    evalue: str
    traceback: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The exception in one line."""
        first = self.evalue.strip().splitlines()[:1]
        return f"{self.ename}: {first[0]}" if first else self.ename


@dataclass(frozen=True)
class CellResult:
    """How one code cell ended.

    Parameters
    ----------
    number
        Position among the code cells, from 1.
    index
        Position among all cells of the output notebook, from 0.
    cell_id
        The cell's id.
    status
        What became of it.
    duration
        Seconds it ran; None when it did not.
    error
        The exception it ended with, if any.
    reason
        Why it has this status, where that isn't plain.
    execution_count
        The number in ``In [n]``, if it ran.
    """

    number: int
    index: int
    cell_id: str
    status: CellStatus
    duration: float | None = None
    error: CellError | None = None
    reason: str | None = None
    execution_count: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the result for machine readers."""
        error = None if self.error is None else {"ename": self.error.ename, "evalue": self.error.evalue}
        return {
            "number": self.number,
            "index": self.index,
            "id": self.cell_id,
            "status": str(self.status),
            "duration": self.duration,
            "execution_count": self.execution_count,
            "error": error,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class ActivityCounts:
    """What the event log says about the activities of the executions that a run started or carried on.

    Parameters
    ----------
    replayed
        Activities that had completed before this run began and answered from history.
    ran
        Activities that completed during this run.
    failed
        Activities that failed for good during this run.
    open_executions
        Those of the executions that have not closed.
    """

    replayed: int
    ran: int
    failed: int
    open_executions: int


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Parameters
    ----------
    status, exit_code, reason
        What became of the run, the code to exit with, and why.
    run_id
        Id under which a further run continues this one.
    notebook, output, store
        Paths: what was run, what was written, and the event log; ``-`` is standard input or output.
    duration
        Seconds, kernel start and shutdown included.
    cells
        One result a code cell, in order.
    activities
        What the event log says about the run's activities; None if the notebook used no store.
    warnings
        What a reader should know besides.
    """

    status: RunStatus
    exit_code: int
    reason: str | None
    run_id: str
    notebook: str
    output: str
    store: str
    duration: float
    cells: tuple[CellResult, ...]
    activities: ActivityCounts | None = None
    warnings: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Return the result for machine readers."""
        counts = self.activities
        return {
            "schema_version": SCHEMA_VERSION,
            "status": str(self.status),
            "exit_code": int(self.exit_code),
            "reason": self.reason,
            "run_id": self.run_id,
            "notebook": self.notebook,
            "output": self.output,
            "store": self.store,
            "duration": self.duration,
            "cells": [cell.as_json() for cell in self.cells],
            "activities": None if counts is None else dict(vars(counts)),
            "warnings": list(self.warnings),
        }
