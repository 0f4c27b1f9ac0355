"""Workflow code on a thread of its own: the caller's may have an event loop running, which code must not meet."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from nbflow.client.handle import wait_for
from nbflow.exceptions import DeadlockError

__all__ = ["aside"]

T = TypeVar("T")


def aside(function: Callable[[], T]) -> T:
    """Run a function that replays workflow code, from beginning to end, on a thread of its own.

    Parameters
    ----------
    function
        Makes instances and lets them go again.

    Returns
    -------
    object
        What it returned; what it raised is raised.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(function())
        except BaseException as error:  # noqa: BLE001  handed to the caller
            answer.set_exception(error)

    thread = threading.Thread(target=run, name="nbflow-replay", daemon=True)
    thread.start()
    try:
        found: T = wait_for(answer)
    except KeyboardInterrupt:
        if thread.is_alive():  # code that never yields would go on for good
            error = ctypes.py_object(DeadlockError)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), error)
        raise
    return found
