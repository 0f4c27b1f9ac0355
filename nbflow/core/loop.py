"""A deterministic asyncio event loop: no clock, no selector, no threads, and order by rule.

Ready callbacks run first in, first out. Time stands still while callbacks run and moves only when
the owner says so. ``call_later`` is handed to the owner, who makes it a durable timer. Tasks and
futures hash by their creation order, so that even a set of them (``asyncio.wait`` keeps one)
iterates the same way in every replay.
"""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import events as asyncio_events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from typing import Any, NoReturn, Protocol
from zlib import crc32

from nbflow.exceptions import NondeterminismError, WorkflowEvicted

__all__ = ["DeterministicLoop", "LoopOwner", "OrderedFuture", "OrderedTask", "ReadyCallback"]


class TimerHandleLike(Protocol):
    """What ``call_later`` must return to asyncio's own code."""

    def cancel(self) -> None: ...
    def when(self) -> float: ...
    def cancelled(self) -> bool: ...


class LoopOwner(Protocol):
    """What the loop asks of the execution that owns it."""

    def start_timer(self, seconds: float, callback: Callable[[], object]) -> TimerHandleLike:
        """Call ``callback`` after ``seconds``, durably."""
        ...

    def on_loop_exception(self, context: dict[str, Any]) -> None:
        """Hear of an exception that nobody retrieved."""
        ...


class OrderedFuture(asyncio.Future[Any]):
    """A future that hashes by its order of creation."""

    def __init__(self, *, loop: DeterministicLoop) -> None:
        self._order = loop.next_order()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._order


class OrderedTask(asyncio.Task[Any]):
    """A task that hashes by its order of creation."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, loop: DeterministicLoop, name: str, context: Context | None) -> None:
        self._order = loop.next_order()
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._order


class ReadyCallback:
    """A callback on the ready queue; what ``call_soon`` returns."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False

    def cancel(self) -> None:
        """Do not run it."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """True if it will not run."""
        return self._cancelled

    def run(self) -> None:
        """Run it in its context."""
        self._context.run(self._callback, *self._args)


class DeterministicLoop(asyncio.AbstractEventLoop):
    """The event loop inside one workflow execution.

    Parameters
    ----------
    owner
        The execution; workflow code finds it as ``running_loop.nbflow_runtime``.
    name
        Tells it from other loops: hashes of tasks begin at a number made of it, since tasks of
        many loops meet in one set of asyncio's own.
    """

    def __init__(self, owner: LoopOwner, name: str = "") -> None:
        self.nbflow_runtime = owner
        self.now = 0.0
        """Seconds since the epoch; set by the owner."""
        self._owner = owner
        self._ready: deque[ReadyCallback] = deque()
        self._order = crc32(name.encode()) << 16
        self._closed = False
        self.tasks: dict[OrderedTask, None] = {}
        """Every task that is not done, in order of creation."""

    def next_order(self) -> int:
        """Number the next future or task."""
        self._order += 1
        return self._order

    @property
    def has_ready(self) -> bool:
        """True if callbacks wait to run."""
        return bool(self._ready)

    def drain(self) -> None:
        """Run ready callbacks, first in first out, until none is left."""
        ready = self._ready
        while ready:
            callback = ready.popleft()
            if not callback.cancelled():
                try:
                    callback.run()
                except SystemExit:
                    # The task that raised it has recorded it; the engine must not exit for it.
                    continue
                except Exception as error:  # noqa: BLE001  asyncio's contract: report and go on
                    self.call_exception_handler({"message": "a callback raised", "exception": error})

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Be the running loop of this thread, and give the place back afterwards."""
        previous = asyncio_events._get_running_loop()  # noqa: SLF001  the only way to nest loops
        asyncio_events._set_running_loop(self)  # noqa: SLF001
        try:
            yield
        finally:
            asyncio_events._set_running_loop(previous)  # noqa: SLF001

    # What asyncio's own code calls.

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        handle = ReadyCallback(callback, args, copy_context() if context is None else context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        handle = ReadyCallback(callback, args, copy_context() if context is None else context)
        if delay <= 0:
            self._ready.append(handle)
            return _PastTimer(handle, self.now)
        return self._owner.start_timer(delay, lambda: self._ready.append(handle))

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        return self.call_later(when - self.now, callback, *args, context=context)

    def time(self) -> float:
        return self.now

    def create_future(self) -> Any:
        return OrderedFuture(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None, **_: Any) -> Any:
        task = OrderedTask(coro, loop=self, name=str(name or "workflow task"), context=context)
        self.tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: Any) -> None:
        self.tasks.pop(task, None)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._owner.on_loop_exception(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self._owner.on_loop_exception(context)

    def get_exception_handler(self) -> Any:
        return None

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        pass

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Forget everything, the owner too, so that no reference cycle keeps it in memory."""
        self._closed = True
        self._ready.clear()
        self.tasks.clear()
        self._owner = self.nbflow_runtime = _Nobody()

    def _timer_handle_cancelled(self, handle: Any) -> None:
        pass

    async def shutdown_asyncgens(self) -> None:
        pass

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:
        _refuse("a thread or executor (asyncio.to_thread, run_in_executor)")

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> NoReturn:
        _refuse("a callback from another thread (call_soon_threadsafe)")


class _Nobody:
    """The owner of a closed loop: what still comes out of it is of no interest."""

    def start_timer(self, seconds: float, callback: Callable[[], object]) -> TimerHandleLike:  # noqa: ARG002
        raise WorkflowEvicted

    def on_loop_exception(self, context: dict[str, Any]) -> None:
        pass


class _PastTimer:
    """The handle of a timer that was due when it was set: it needs no event."""

    def __init__(self, handle: ReadyCallback, when: float) -> None:
        self._handle, self._when = handle, when

    def cancel(self) -> None:
        self._handle.cancel()

    def cancelled(self) -> bool:
        return self._handle.cancelled()

    def when(self) -> float:
        return self._when


def _refuse(what: str) -> NoReturn:
    msg = f"workflow code used {what}, which replay can't repeat; move it into an activity"
    raise NondeterminismError(msg)


def _refusal(name: str) -> Callable[..., NoReturn]:
    def method(self: DeterministicLoop, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG001  any signature
        _refuse(f"the event loop's {name}()")

    method.__name__ = name
    return method


for _name in (
    "add_reader", "add_signal_handler", "add_writer", "connect_accepted_socket", "connect_read_pipe", "connect_write_pipe",
    "create_connection", "create_datagram_endpoint", "create_server", "create_unix_connection", "create_unix_server",
    "getaddrinfo", "getnameinfo", "run_forever", "run_until_complete", "sendfile", "set_default_executor", "sock_accept",
    "sock_connect", "sock_recv", "sock_recv_into", "sock_sendall", "sock_sendfile", "start_tls", "subprocess_exec",
    "subprocess_shell",
):  # fmt: skip
    setattr(DeterministicLoop, _name, _refusal(_name))
