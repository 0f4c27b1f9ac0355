"""Where attempts run: threads, the engine's loop, worker processes.

A runner starts an attempt and reports its outcome once. An attempt that outlives its timeout is
abandoned: its report is dropped and its thread replaced.
"""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
import time
from collections import deque
from typing import Any
from weakref import WeakSet

from nbflow.core.activity_context import running_activity
from nbflow.core.failures import APPLICATION, Failure, failure_of_exception
from nbflow.core.payloads import Converter
from nbflow.engine.attempt import Attempt
from nbflow.engine.execution import Outcome
from nbflow.engine.places import priority_of
from nbflow.exceptions import ActivityCancelled, CompleteLater, PayloadError

__all__ = ["LoopRunner", "ThreadRunner", "outcome_of_exception", "run_in_thread"]


def outcome_of_exception(error: BaseException, converter: Converter, *, cancel_requested: bool) -> Outcome:
    """Tell what an exception that left an activity means.

    Parameters
    ----------
    error
        The exception.
    converter
        Encodes failure details.
    cancel_requested
        True if cancellation was asked for, so that a CancelledError is the answer to it.

    Returns
    -------
    Outcome
        Cancelled, failed, or left open.
    """
    if isinstance(error, CompleteLater):
        return Outcome(is_left_open=True)
    if cancel_requested and isinstance(error, (ActivityCancelled, asyncio.CancelledError)):
        return Outcome()
    failure = failure_of_exception(error, converter)
    if isinstance(error, PayloadError):
        # No retry makes a value encodable.
        failure = Failure(
            message=failure.message,
            kind=APPLICATION,
            info={**failure.info, "non_retryable": True},
            stack_trace=failure.stack_trace,
            cause=failure.cause,
        )
    return Outcome(failure=failure)


_FAREWELL_SECONDS = 0.5
"""How long closing waits for idle threads: one that dies after the interpreter leaves DuckDB complaining."""


class ThreadRunner:
    """Runs ``def`` activities in daemon threads, started as they are needed.

    Parameters
    ----------
    capacity
        How many attempts run at once.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """One entry for each attempt that waits; False sends a thread home."""
        self._waiting: tuple[deque[Attempt], ...] = tuple(deque() for _ in range(5))
        """By priority."""
        self._in_hand = 0
        """Attempts that a thread has, or that wait for one."""
        self._threads = 0
        self._is_growing = False
        self._started: WeakSet[threading.Thread] = WeakSet()
        self._lock = threading.Lock()

    def start(self, attempt: Attempt) -> None:
        """Hand the attempt to an idle thread, or to a new one while there may be more."""
        with self._lock:
            attempt.has_thread = True
            self._in_hand += 1
            self._waiting[priority_of(attempt.task) - 1].append(attempt)
            self._grow()
        self._calls.put(True)

    def _grow(self) -> None:
        """Begin a thread if all are busy, one after the other: when it has taken its first attempt, it begins the next.

        So the engine's thread begins one at most, and what is done in the meantime needs no thread of its own.
        """
        if not self._is_growing and self._threads < min(self._in_hand, self.capacity):
            self._is_growing = True
            self._threads += 1
            thread = threading.Thread(target=self._work, name=f"nbflow-activity-{self._threads}", daemon=True)
            thread.start()
            self._started.add(thread)

    def _take(self, *, is_first: bool = False) -> Attempt | None:
        is_work = self._calls.get()
        with self._lock:
            if is_first:
                self._is_growing = False
                self._grow()
            return next(waiting.popleft() for waiting in self._waiting if waiting) if is_work else None

    def _work(self) -> None:
        attempt = self._take(is_first=True)
        while attempt is not None:
            try:
                outcome = self._execute(attempt)
            except BaseException as error:  # noqa: BLE001  whatever it was, somebody waits for an outcome
                # a late ActivityCancelled too: it hit between the end of user code and our taking note of that
                outcome = outcome_of_exception(
                    error, attempt.owner.converter, cancel_requested=attempt.cancel_requested
                )
            with self._lock:  # before the report: what that brings finds this thread idle
                is_replaced = not attempt.has_thread  # by another thread, because the attempt was abandoned
                if not is_replaced:
                    attempt.has_thread = False
                    self._in_hand -= 1
            attempt.report(outcome)
            if is_replaced:
                return
            attempt = self._take()

    def _execute(self, attempt: Attempt) -> Outcome:
        return run_in_thread(attempt)

    def cancel(self, attempt: Attempt) -> None:
        """Raise ActivityCancelled in the attempt's thread, at its next Python instruction."""
        attempt.cancel_requested = True
        with attempt.lock:
            if attempt.handle is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(attempt.handle), ctypes.py_object(ActivityCancelled)
                )

    def abandon(self, attempt: Attempt) -> None:
        """Interrupt the thread if it can be, and replace it."""
        self._replace_thread(attempt)
        self.cancel(attempt)

    def _replace_thread(self, attempt: Attempt) -> None:
        with self._lock:
            attempt.is_abandoned = True
            if attempt.has_thread:
                attempt.has_thread = False
                self._in_hand -= 1
                self._threads -= 1
                self._grow()

    def close(self) -> None:
        """Let idle threads go, and see them off; busy ones are daemons and end with the process."""
        with self._lock:
            self.capacity = 0  # none begins any more
            started = list(self._started)
            for _ in range(self._threads):
                self._calls.put(False)
        deadline = time.monotonic() + _FAREWELL_SECONDS
        for thread in started:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))


def run_in_thread(attempt: Attempt, *leading: Any) -> Outcome:
    """Run an attempt's code on the calling thread.

    Parameters
    ----------
    attempt
        The attempt.
    *leading
        Arguments to put before those that history knows.

    Returns
    -------
    Outcome
        Whatever way the code ended.
    """
    token = running_activity.set(attempt)
    thread = threading.get_ident()
    try:
        args, kwargs = attempt.decode()
        attempt.handle = thread
        try:
            if attempt.cancel_requested:
                raise ActivityCancelled
            result = attempt.definition.function(*leading, *args, **kwargs)
        finally:
            _forget_thread(attempt, thread)
        return Outcome(result=attempt.owner.converter.encode(result))
    except BaseException as error:  # noqa: BLE001  every way out of user code is an outcome
        return outcome_of_exception(error, attempt.owner.converter, cancel_requested=attempt.cancel_requested)
    finally:
        running_activity.reset(token)
        attempt.finish()


def _forget_thread(attempt: Attempt, thread: int) -> None:
    """From here on no cancellation may hit this thread: one that is on its way is taken back."""
    with attempt.lock:
        attempt.handle = None
        if attempt.cancel_requested:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)


class LoopRunner:
    """Runs ``async def`` activities on the engine's loop.

    Parameters
    ----------
    loop
        The engine's loop.
    capacity
        How many attempts run at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, capacity: int) -> None:
        self.capacity = capacity
        self._loop = loop

    def start(self, attempt: Attempt) -> None:
        """Begin a task; it copies the context in which it is made."""
        token = running_activity.set(attempt)
        attempt.handle = self._loop.create_task(self._run(attempt))
        running_activity.reset(token)

    async def _run(self, attempt: Attempt) -> None:
        try:
            args, kwargs = attempt.decode()
            outcome = Outcome(result=attempt.owner.converter.encode(await attempt.definition.function(*args, **kwargs)))
        except BaseException as error:  # noqa: BLE001  every way out of user code is an outcome
            outcome = outcome_of_exception(error, attempt.owner.converter, cancel_requested=attempt.cancel_requested)
        attempt.finish()
        attempt.report(outcome)

    def cancel(self, attempt: Attempt) -> None:
        """Cancel the task."""
        attempt.cancel_requested = True
        attempt.handle.cancel()

    def abandon(self, attempt: Attempt) -> None:
        """Cancel the task; whatever it reports is dropped."""
        attempt.is_abandoned = True
        attempt.handle.cancel()

    def close(self) -> None:
        """Nothing to stop: the engine cancels what is left on its loop."""
