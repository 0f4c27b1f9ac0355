"""The limits of an engine, and what it leaves to others."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

__all__ = ["EngineOptions"]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Limits of an engine.

    Parameters
    ----------
    threads, loop_tasks, processes
        How many attempts run at once in threads, on the loop, in processes.
    resident_executions
        How many waiting executions stay in memory.
    look_ahead
        Seconds of deadlines kept in memory for executions that are not.
    deadlock_warning, deadlock_interrupt
        Seconds after which workflow code that does not yield is reported, and interrupted.
    schedules
        False to leave schedules that are due to another process.
    run_key
        The headless run this process belongs to, if any.
    identity
        Who this process is, for the history.
    """

    threads: int = 64
    loop_tasks: int = 1000
    processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    resident_executions: int = 1000
    look_ahead: float = 300.0
    deadlock_warning: float = 2.0
    deadlock_interrupt: float = 10.0
    schedules: bool = True
    run_key: str | None = None
    identity: str = field(default_factory=lambda: f"{os.getpid()}@nbflow")
