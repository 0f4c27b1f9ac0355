"""``nbflow worker``: keep a store's executions and schedules going, with no notebook, until told to stop."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from nbflow.client import Client
from nbflow.exceptions import EngineClosedError
from nbflow.runner.ledger import Happening, Ledger
from nbflow.runner.serving import Stop, Waiting, count_of, drain, look, open_store, signals_stop, what_waits

__all__ = ["WorkerOptions", "WorkerReporter", "run_worker"]

_ROUND = 0.5
"""Seconds between two looks."""
_SHARE = 50
"""Asking the log what waits may take one part in so many of the time."""


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How to work.

    Parameters
    ----------
    store
        The event log.
    grace
        Seconds that attempts under way have to end after the first signal.
    threads
        How many ``def`` activities run at once; None for the default.
    poll
        Seconds after which to try again while another process holds the store; None to fail at once.
    """

    store: str
    grace: float = 30.0
    threads: int | None = None
    poll: float | None = None


class WorkerReporter(Protocol):
    """Tells people and programs what goes on."""

    def say(self, text: str) -> None:
        """Tell one line."""
        ...

    def happened(self, happening: Happening) -> None:
        """Tell one thing that happened in the store."""
        ...

    def status(self, waiting: Waiting, running: int) -> None:
        """Tell how things stand."""
        ...


def run_worker(options: WorkerOptions, reporter: WorkerReporter) -> int:
    """Work until a signal comes.

    Parameters
    ----------
    options
        How.
    reporter
        Hears what goes on.

    Returns
    -------
    int
        The exit code: 0 when all ended in order, 128 and the signal when a second one came.

    Raises
    ------
    StoreError
        When the store can't be opened.
    EngineClosedError
        When it can't be written any more.
    """
    stop = Stop()
    with signals_stop(stop):
        client = open_store(options.store, stop, threads=options.threads, poll=options.poll, on_wait=reporter.say)
        if client is not None:
            try:
                _work(client, stop, options, reporter)
            finally:
                client.close()
            reporter.say("stopped; what is open goes on at the next start")
        return 128 + stop.signals[-1] if stop.is_urgent else 0


def _work(client: Client, stop: Stop, options: WorkerOptions, reporter: WorkerReporter) -> None:
    ledger = Ledger(client)
    reporter.say(f"working on {client.path}: {_waiting_words(client)}")
    told: set[str] = set()
    looked, next_look = -1, 0.0
    waiting = what_waits(client)
    while not stop.wait(_ROUND):
        if client.engine.is_broken:
            msg = "the engine has stopped because the store can't be written; nothing recorded was lost"
            raise EngineClosedError(msg)
        outlook = look(client)
        for problem in outlook.problems:
            if problem not in told:
                told.add(problem)
                reporter.say(problem)
        for happening in ledger.news():
            reporter.happened(happening)
        committed, now = client.engine.journal.committed, time.monotonic()
        if committed != looked and now >= next_look:
            waiting = what_waits(client)
            looked, next_look = committed, now + _SHARE * (time.monotonic() - now)
        reporter.status(waiting, outlook.running)
    running = look(client).running
    if running:
        reporter.say(
            f"stopping: {count_of(running, 'attempt')} may end within {options.grace:g} s, a second signal stops now"
        )
    cut_off = drain(client, stop, options.grace)
    for happening in ledger.news():
        reporter.happened(happening)
    if cut_off:
        reporter.say(f"{count_of(cut_off, 'attempt')} did not end in time, to be tried again at the next start")


def _waiting_words(client: Client) -> str:
    from datetime import UTC, datetime

    now = datetime.fromtimestamp(client.engine.clock.now() / 1_000_000, UTC)
    return what_waits(client).words(now)
