"""One activity alone: its function runs at once, in the test's own thread or loop, as if an engine had started it."""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from nbflow.core.activity_context import ActivityContext, ActivityInfo, running_activity
from nbflow.engine.output import OutputCapture
from nbflow.exceptions import ActivityCancelled
from nbflow.store.codec import Codec

__all__ = ["ActivityEnvironment"]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class ActivityEnvironment:
    """Runs an activity's function with nothing around it: no workflow, no store, no retries.

    Parameters
    ----------
    on_heartbeat
        Called with the details of each heartbeat.
    **info
        Fields of :class:`~nbflow.core.activity_context.ActivityInfo` that the activity shall see, such as
        ``attempt=3`` or ``heartbeat_details={"done": 5}``.
    """

    def __init__(self, *, on_heartbeat: Callable[[Any], None] | None = None, **info: Any) -> None:
        self.info = replace(_default_info(), **info)
        self.heartbeats: list[Any] = []
        """Details of every heartbeat, in order."""
        self.logs: list[str] = []
        """Lines that the activity printed and logged."""
        self._on_heartbeat = on_heartbeat
        self._codec = Codec()
        self._output = OutputCapture()
        self._lock = threading.Lock()
        self._cancel_requested = False
        self._thread: int | None = None
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, activity: Any, *args: Any, **kwargs: Any) -> Any:
        """Run an activity.

        Parameters
        ----------
        activity
            A function marked ``@activity``, or a plain one.
        *args, **kwargs
            Its arguments.

        Returns
        -------
        object
            Its result; for an ``async def`` an awaitable of it.

        Raises
        ------
        ActivityCancelled
            When :meth:`cancel` was called and the activity let it pass; ``asyncio.CancelledError`` if ``async def``.
        """
        function = getattr(activity, "function", activity)
        if inspect.iscoroutinefunction(function):
            return self._run_async(function, args, kwargs)
        return self._run(function, args, kwargs)

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = _Context(self)
        token = running_activity.set(context)
        self._output.start()
        try:
            with self._lock:
                self._thread = threading.get_ident()
            if self._cancel_requested:
                raise ActivityCancelled
            return function(*args, **kwargs)
        finally:
            self._leave_thread()
            running_activity.reset(token)
            self._finish(context)

    def _leave_thread(self) -> None:
        """From here on no cancellation may hit this thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            if self._cancel_requested and thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)

    async def _run_async(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = _Context(self)
        token = running_activity.set(context)
        try:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(function(*args, **kwargs))
        finally:
            running_activity.reset(token)
        if self._cancel_requested:
            self._task.cancel()
        self._output.start()
        try:
            return await self._task
        finally:
            self._task = None
            self._finish(context)

    def _finish(self, context: _Context) -> None:
        self._output.stop()
        context.finish()

    def cancel(self) -> None:
        """Ask the running activity, or the next one, to stop: as an engine does when its workflow is cancelled."""
        with self._lock:
            self._cancel_requested = True
            if self._thread is not None and self._thread != threading.get_ident():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(ActivityCancelled)
                )
        task, loop = self._task, self._loop
        if task is not None and loop is not None:
            loop.call_soon_threadsafe(task.cancel)

    def take_heartbeat(self, details: Any) -> None:
        """Note a heartbeat as the log would keep it."""
        kept = self._codec.decode(self._codec.encode(details))
        self.heartbeats.append(kept)
        if self._on_heartbeat is not None:
            self._on_heartbeat(kept)
        if self._cancel_requested:
            msg = f"cancellation of activity {self.info.activity_type} was requested"
            raise ActivityCancelled(msg)


class _Context(ActivityContext):
    __slots__ = ("_environment",)

    def __init__(self, environment: ActivityEnvironment) -> None:
        super().__init__()
        self._environment = environment

    def describe(self) -> ActivityInfo:
        return self._environment.info

    def heartbeat(self, details: Any) -> None:
        self._environment.take_heartbeat(details)

    def log(self, level: int, logger: str, message: str) -> None:  # noqa: ARG002  the base's signature
        self._environment.logs.append(message)


def _default_info() -> ActivityInfo:
    return ActivityInfo(
        activity_id="1",
        activity_type="test",
        attempt=1,
        workflow_id="test",
        run_id="test-run",
        workflow_type="test",
        scheduled_time=_EPOCH,
        started_time=_EPOCH,
        heartbeat_details=None,
        idempotency_key="test-run/1",
    )
