"""``nbflow tick``: do what is due in a store, then end. For cron and CI."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nbflow.client import Client
from nbflow.runner.ledger import Ledger
from nbflow.runner.serving import Stop, Waiting, count_of, drain, look, open_store, signals_stop, what_waits

__all__ = ["EXIT_WAITING", "TickOptions", "TickResult", "run_tick"]

EXIT_WAITING = 75
"""Something is left for later."""

_GLANCE = 0.02


@dataclass(frozen=True, kw_only=True)
class TickOptions:
    """How to tick.

    Parameters
    ----------
    store
        The event log.
    budget
        Seconds after which nothing is begun any more; None for as long as something is due.
    grace
        Seconds that attempts under way have to end when the budget is used up.
    threads
        How many ``def`` activities run at once; None for the default.
    poll
        Seconds after which to try again while another process holds the store; None to fail at once.
    """

    store: str
    budget: float | None = None
    grace: float = 30.0
    threads: int | None = None
    poll: float | None = None


@dataclass(kw_only=True)
class TickResult:
    """What was done, and what is left."""

    started: int = 0
    closed: dict[str, int] = field(default_factory=dict)
    """How many executions closed, by status."""
    cut_off: int = 0
    """Attempts that had not ended in time."""
    out_of_budget: bool = False
    waiting: Waiting = field(default_factory=lambda: Waiting(0, 0, None))
    problems: tuple[str, ...] = ()
    time: datetime = field(default_factory=lambda: datetime.fromtimestamp(0, UTC))

    @property
    def exit_code(self) -> int:
        """0 if nothing is left, else 75."""
        return 0 if self.waiting.is_nothing and not self.cut_off else EXIT_WAITING

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-native values."""
        due = self.waiting.next_due
        return {
            "exit_code": self.exit_code,
            "started": self.started,
            "closed": self.closed,
            "cut_off": self.cut_off,
            "out_of_budget": self.out_of_budget,
            "open": self.waiting.executions,
            "schedules": self.waiting.schedules,
            "next_due": None if due is None else due.isoformat(),
            "problems": list(self.problems),
        }

    def words(self) -> str:
        """Say it in one line."""
        ended = ", ".join(f"{count:,} {status}" for status, count in sorted(self.closed.items()))
        done = f"{self.started:,} started, {ended or 'none closed'}"
        cut = f"; {count_of(self.cut_off, 'attempt')} did not end in time, to be tried again" if self.cut_off else ""
        left = "nothing is left to do" if self.exit_code == 0 else self.waiting.words(self.time)
        return f"{done}{cut}; {left}"


def run_tick(options: TickOptions, *, tell: Any) -> TickResult:
    """Do what is due.

    Parameters
    ----------
    options
        How.
    tell
        Called with a line for people when there is something to say on the way.

    Returns
    -------
    TickResult
        What was done, and what is left.

    Raises
    ------
    StoreError
        When the store can't be opened or fails.
    """
    stop = Stop()
    with signals_stop(stop):
        client = open_store(options.store, stop, threads=options.threads, poll=options.poll, on_wait=tell)
        if client is None:
            return TickResult(cut_off=1)
        try:
            return _tick(client, stop, options)
        finally:
            client.close()


def _tick(client: Client, stop: Stop, options: TickOptions) -> TickResult:
    ledger = Ledger(client)
    end = None if options.budget is None else time.monotonic() + options.budget
    result = TickResult()
    idle = 0
    while idle < 2:  # twice, in case something was on its way when it was looked at
        outlook = look(client)
        result.problems = outlook.problems
        idle = idle + 1 if outlook.is_idle else 0
        result.out_of_budget = end is not None and time.monotonic() > end
        if idle == 0 and (stop.is_asked or result.out_of_budget):
            result.cut_off = drain(client, stop, options.grace)
            break
        stop.wait(_GLANCE)
    for line in ledger.news():
        if line.kind == "started":
            result.started += 1
        elif line.kind == "closed":
            result.closed[line.status] = result.closed.get(line.status, 0) + 1
    result.waiting = what_waits(client)
    result.time = datetime.fromtimestamp(client.engine.clock.now() / 1_000_000, UTC)
    return result
