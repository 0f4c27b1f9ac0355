"""What ``nbflow worker`` and ``nbflow tick`` share: waiting for the store, signals, draining, what is due next."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from nbflow.client import Client
from nbflow.engine.engine import EngineOptions
from nbflow.engine.outlook import Outlook, begin_to_drain, look_around
from nbflow.exceptions import ConfigurationError, StoreLockedError

__all__ = ["Stop", "Waiting", "count_of", "drain", "look", "open_store", "signals_stop", "what_waits"]

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_GLANCE = 0.02


class Stop:
    """Set by signals: the first asks to end in order, the second to end at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signals: list[int] = []

    def on_signal(self, signum: int, _frame: FrameType | None) -> None:
        """Take note of a signal."""
        self.signals.append(signum)
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; tell whether the end was asked for."""
        return self._event.wait(seconds)

    @property
    def is_asked(self) -> bool:
        """True if the end was asked for."""
        return bool(self.signals)

    @property
    def is_urgent(self) -> bool:
        """True if it was asked for twice."""
        return len(self.signals) > 1


@contextlib.contextmanager
def signals_stop(stop: Stop) -> Iterator[None]:
    """Let signals ask for the end; only the main thread can."""
    before: dict[int, Any] = {}
    try:
        for signum in _SIGNALS:
            if signum != getattr(signal, "SIGHUP", None) or signal.getsignal(signum) != signal.SIG_IGN:  # nohup
                before[signum] = signal.signal(signum, stop.on_signal)
    except ValueError:  # not the main thread: its owner handles signals
        pass
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def open_store(
    path: str, stop: Stop, *, threads: int | None, poll: float | None, on_wait: Callable[[str], None]
) -> Client | None:
    """Open a store to serve it.

    Parameters
    ----------
    path
        Its file.
    stop
        Ends the waiting.
    threads
        How many ``def`` activities run at once; None for the default.
    poll
        Seconds after which to try again while another process holds it; None to fail at once.
    on_wait
        Hears once who holds it.

    Returns
    -------
    Client or None
        None if the end was asked for while waiting.

    Raises
    ------
    ConfigurationError
        When there is no such file.
    StoreError
        When it can't be opened.
    """
    if not Path(path).is_file():
        msg = f"there is no store at {path}; a notebook makes it with nbflow.open({path!r})"
        raise ConfigurationError(msg)
    options = EngineOptions(identity=f"{os.getpid()}@worker")
    if threads is not None:
        options = replace(options, threads=threads)
    was_told = False
    while not stop.is_asked:
        try:
            return Client(path, options=options)
        except StoreLockedError as error:
            if poll is None:
                raise
            if not was_told:
                on_wait(str(error))
                was_told = True
            stop.wait(poll)
    return None


def look(client: Client) -> Outlook:
    """Ask the engine how it stands."""
    outlook: Outlook = client.engine.call(partial(look_around, client.engine))
    return outlook


def drain(client: Client, stop: Stop, grace: float) -> int:
    """Begin nothing any more and give attempts under way time to end.

    Parameters
    ----------
    client
        Whose engine.
    stop
        A second signal ends the waiting.
    grace
        Seconds.

    Returns
    -------
    int
        How many attempts had not ended; they are tried again at the next start.
    """
    client.engine.call(partial(begin_to_drain, client.engine))
    end = time.monotonic() + grace
    while (running := look(client).running) and time.monotonic() < end and not stop.is_urgent:
        time.sleep(_GLANCE)
    return running


@dataclass(frozen=True)
class Waiting:
    """What a store has open, and when something of it is due.

    Parameters
    ----------
    executions
        How many are open.
    schedules
        How many there are that act by themselves.
    next_due
        The earliest deadline of all: of timers, timeouts, retries, schedules.
    """

    executions: int
    schedules: int
    next_due: datetime | None

    @property
    def is_nothing(self) -> bool:
        """True if nothing is left to do, now or later."""
        return not (self.executions or self.schedules)

    def words(self, now: datetime) -> str:
        """Say it in one line."""
        said = [count_of(self.executions, "execution") + " open", count_of(self.schedules, "schedule")]
        if self.next_due is None:
            said.append("nothing is due by itself")
        else:
            when = f"{self.next_due:%Y-%m-%d %H:%M:%S} UTC"
            said.append(f"next due {when} (in {_span((self.next_due - now).total_seconds())})")
        return ", ".join(said)


def count_of(number: int, what: str) -> str:
    """Count things in words: ``1 execution``, ``1,200 executions``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _span(seconds: float) -> str:
    from nbflow.core.durations import format_duration

    return format_duration(max(0, round(seconds)))


_OPEN = """
SELECT
    (SELECT count(*) FROM executions WHERE close_time IS NULL) AS executions,
    (SELECT count(*) FROM schedules WHERE next_time IS NOT NULL) AS schedules,
    least(
        (SELECT min(next_time) FROM schedules),
        (SELECT min(next_attempt_time) FROM activities WHERE status = 'Scheduled')
    ) AS next_due
"""


def what_waits(client: Client) -> Waiting:
    """Ask the log what is open and when something is due."""
    (row,) = client.rows(_OPEN)
    deadline = client.store.reader().next_deadline(0)
    times = [row["next_due"]] if row["next_due"] is not None else []
    times += [datetime.fromtimestamp(deadline / 1_000_000, UTC)] if deadline is not None else []
    return Waiting(row["executions"], row["schedules"], min(times, default=None))
