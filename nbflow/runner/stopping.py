"""What ends a run from outside its cells: signals to the runner and the timeout of the whole run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

from nbflow.runner.outcomes import Ending

# SIGHUP: the terminal, or the connection to it, is gone
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class StopSwitch:
    """Thrown once; the first reason stands."""

    def __init__(self) -> None:
        self._thrown = asyncio.Event()
        self.ending: Ending | None = None

    def throw(self, ending: Ending) -> None:
        """Ask the run to end."""
        if self.ending is None:
            self.ending = ending
            self._thrown.set()

    async def wait(self) -> None:
        """Return when the run must end."""
        await self._thrown.wait()


@contextlib.contextmanager
def signals_throw(switch: StopSwitch) -> Iterator[None]:
    """Let signals end the run in order instead of ending the process; only the main thread can."""
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(switch.throw, Ending.by_signal(signum))

    try:
        for signum in _SIGNALS:
            if signum != getattr(signal, "SIGHUP", None) or signal.getsignal(signum) != signal.SIG_IGN:  # nohup
                before[signum] = signal.signal(signum, on_signal)
    except ValueError:  # not the main thread: its owner handles signals
        pass
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def timeout_throws(switch: StopSwitch, seconds: float | None) -> Iterator[None]:
    """End the run when it has taken so many seconds."""
    if seconds is None:
        yield
        return
    timer = asyncio.get_running_loop().call_later(seconds, switch.throw, Ending.by_run_timeout(seconds))
    try:
        yield
    finally:
        timer.cancel()
