"""Tells of workflow code that does not yield, and in the end interrupts it, so that the engine lives."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
import traceback
from collections.abc import Callable

from nbflow.engine.execution import Execution
from nbflow.engine.interpreter import Interpreter
from nbflow.exceptions import DeadlockError

__all__ = ["Watchdog"]


class Watchdog:
    """Watches activations from a thread of its own.

    Parameters
    ----------
    interpreter
        Whose activations are watched.
    report
        Hears of an execution whose code runs too long: the execution, seconds, stack as text.
    warn_after
        Seconds until the report.
    interrupt_after
        Seconds until DeadlockError is raised in the code.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        report: Callable[[Execution, float, str], None],
        warn_after: float,
        interrupt_after: float,
    ) -> None:
        self._interpreter = interpreter
        self._report = report
        self._warn_after = warn_after
        self._interrupt_after = interrupt_after
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="nbflow-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()

    def _watch(self) -> None:
        reported: object = None
        while not self._stop.wait(self._warn_after / 4):
            activation = self._interpreter.now_running
            if activation is None:
                continue
            execution, since, thread = activation
            seconds = time.monotonic() - since
            if seconds >= self._interrupt_after:
                self._interrupt(activation)
            if seconds >= self._warn_after and reported is not activation:
                reported = activation
                frame = sys._current_frames().get(thread)  # noqa: SLF001  the only way to another thread's stack
                stack = "".join(traceback.format_stack(frame)[-8:]) if frame else ""
                self._report(execution, seconds, stack)

    def _interrupt(self, activation: tuple[Execution, float, int]) -> None:
        with self._interpreter.interrupt_lock:
            if self._interpreter.now_running is activation:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(activation[2]), ctypes.py_object(DeadlockError)
                )
                self._interpreter.was_interrupted = True
