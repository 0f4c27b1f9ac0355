"""What a waiting cell shows: how far the executions are that it waits for, refreshed twice a second.

All waits of a cell share one board, so that a cell that waits for a hundred executions shows a few lines and
reads the log for those only.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from time import monotonic
from typing import Any

import duckdb

from nbflow.client import handle as handle_module
from nbflow.client.handle import WorkflowHandle, watch_waiting
from nbflow.exceptions import EngineClosedError, WorkflowNotFoundError
from nbflow.notebook.surfaces import CellSurface, Surface, TerminalSurface
from nbflow.widgets.snapshot import read_progress
from nbflow.widgets.view_models import Progress

__all__ = ["Board", "kernel_watcher", "terminal_watcher", "watch_terminal"]

_FIRST = 0.5
"""Seconds until a wait is worth a line."""
_PERIOD = 0.5
_PERIOD_HEADLESS = 5.0
_LARGEST_SHARE = 0.1
"""Share of the waiting time that reading may take: on a slow store the lines are refreshed less often."""
_MOST_LINES = 5
_PATIENCE = 2.0
"""Seconds that the end of a wait may take: an interrupted cell must end."""

Watcher = Callable[[WorkflowHandle], AbstractContextManager[Callable[[], None]]]


@dataclass(eq=False)
class _Wait:
    handle: WorkflowHandle
    began: float
    status: str = "Running"
    progress: Progress | None = None
    is_over: bool = False
    is_final: bool = False
    """True once it was read after it was over."""


class Board:
    """Shows the waits that are under way; used from one thread.

    It reads on a thread of its own: an interrupt that arrives while DuckDB works would come out as a DuckDB error,
    and a slow read would hold up the kernel's loop.

    Parameters
    ----------
    surface
        Where it is drawn.
    period
        Seconds between two drawings, at least.
    clock
        Seconds, for measuring.
    """

    def __init__(self, surface: Surface, period: float, clock: Callable[[], float] = monotonic) -> None:
        self._surface = surface
        self._period = period
        self._clock = clock
        self._waits: list[_Wait] = []
        self._next_reading = 0.0
        self._reading: Future[float] | None = None
        self._readers: ThreadPoolExecutor | None = None

    def clear(self) -> None:
        """Begin anew: what was drawn stays, the next line goes to a new place."""
        self._waits.clear()
        self._surface.leave()

    @contextmanager
    def watch(self, handle: WorkflowHandle) -> Iterator[Callable[[], None]]:
        """Show an execution while somebody waits for it.

        Parameters
        ----------
        handle
            What is waited for.

        Yields
        ------
        Callable
            To be called about ten times a second.
        """
        wait = _Wait(handle, self._clock())
        try:
            yield lambda: self._tick(wait)
        except BaseException as error:
            _show_short(error)
            raise
        finally:
            self._end(wait)

    def _tick(self, wait: _Wait) -> None:
        now = self._clock()
        if now - wait.began < _FIRST:
            return
        if wait not in self._waits:
            self._waits.append(wait)
        if self._reading is None:
            if now >= self._next_reading:
                self._reading = self._begin_reading()
        elif self._reading.done():
            self._finish_reading()
            self._surface.draw(*self._content())

    def _end(self, wait: _Wait) -> None:
        if wait not in self._waits:
            return
        wait.is_over = True
        wait.status = _status(wait.handle)
        if all(it.is_over for it in self._waits):
            if self._reading is not None:
                self._finish_reading()
            self._reading = self._begin_reading()
            self._finish_reading()
            self._surface.finish(*self._content())

    def _begin_reading(self) -> Future[float]:
        if self._readers is None:
            self._readers = ThreadPoolExecutor(1, thread_name_prefix="nbflow-progress")
        return self._readers.submit(self._read_all, [wait for wait in self._shown() if not wait.is_final])

    def _finish_reading(self) -> None:
        reading, self._reading = self._reading, None
        assert reading is not None
        try:
            took = reading.result(_PATIENCE)
        except FutureTimeoutError:
            took = float("inf")
        except duckdb.Error as error:  # the workflow is fine, and so is the wait
            warnings.warn(f"progress can't be shown: {error}", stacklevel=2)
            took = float("inf")
        self._next_reading = self._clock() + max(self._period, took / _LARGEST_SHARE)

    def _read_all(self, waits: Sequence[_Wait]) -> float:
        """Read the waits' progress, on the reading thread; return how many seconds that took."""
        began = self._clock()
        for wait in waits:
            is_over, waited = wait.is_over, self._clock() - wait.began
            progress = _read(wait.handle, wait.status)
            if progress is not None:
                progress["seconds"], progress["is_waited_for"] = waited, not is_over
                wait.progress, wait.is_final = progress, is_over
        return self._clock() - began

    def _shown(self) -> list[_Wait]:
        """Choose the waits under way, and where there is room the last that are over, in order."""
        live = [wait for wait in self._waits if not wait.is_over][:_MOST_LINES]
        room = _MOST_LINES - len(live)
        over = [wait for wait in self._waits if wait.is_over][-room:] if room else []
        return [wait for wait in self._waits if wait in live or wait in over]

    def _content(self) -> tuple[list[Progress], Counter[str]]:
        shown = self._shown()
        lines = [wait.progress for wait in shown if wait.progress is not None]
        return lines, Counter(wait.status for wait in self._waits if wait not in shown or wait.progress is None)


def _read(handle: WorkflowHandle, status: str) -> Progress | None:
    client: Any = handle._client  # noqa: SLF001  the handle's view, written beside it
    try:
        return read_progress(client, handle.workflow_id, handle.run_id, status, client.engine.clock.now())
    except (EngineClosedError, WorkflowNotFoundError):
        return None


def _status(handle: WorkflowHandle) -> str:
    """Ask for the status, but not for long: the engine may be held up by the very workflow that was waited for."""
    client: Any = handle._client  # noqa: SLF001  the handle's view, written beside it
    engine = client.engine
    try:
        answer = engine.submit(engine.requests.describe, handle.workflow_id, handle.run_id)
        return str(answer.result(_PATIENCE).status)
    except (EngineClosedError, FutureTimeoutError):
        return "Running"


def _show_short(error: BaseException) -> None:
    """Let an interrupt show as one line: where inside nbflow it arrived says nothing."""
    if type(error).__name__ in ("KeyboardInterrupt", "CancelledError") and not hasattr(error, "_render_traceback_"):
        line = f"{type(error).__name__}: stopped waiting"
        error._render_traceback_ = lambda *_: [line]  # type: ignore[attr-defined]


def kernel_watcher() -> tuple[Watcher, Board]:
    """Make what :func:`nbflow.client.handle.watch_waiting` wants, for cells of a notebook.

    Returns
    -------
    tuple
        The watcher, and its board, to be cleared before each cell.
    """
    board = Board(CellSurface(), _PERIOD_HEADLESS if os.environ.get("NBFLOW_HEADLESS") else _PERIOD)
    return lambda handle: board.watch(handle) if _in_main_thread() else _unwatched(), board


def terminal_watcher() -> Watcher:
    """Make what :func:`nbflow.client.handle.watch_waiting` wants, for terminals; without one it shows nothing."""
    board = Board(TerminalSurface(), _PERIOD)
    return lambda handle: board.watch(handle) if _in_main_thread() and sys.stderr.isatty() else _unwatched()


def watch_terminal() -> None:
    """Let scripts and terminals show progress, unless a notebook does so already; safe to call often."""
    if handle_module._watch is None:  # noqa: SLF001  the hook's own state
        watch_waiting(terminal_watcher())


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _unwatched() -> AbstractContextManager[Any]:
    return nullcontext()
