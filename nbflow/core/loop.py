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
from types import AsyncGeneratorType
from typing import Any, NoReturn, Protocol
from weakref import WeakValueDictionary
from zlib import crc32

from nbflow.core.leaving import close_async_generator, close_coroutine
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

    def check_may_change(self, what: str) -> None:
        """Raise ReadOnlyContextError if only reading is allowed now."""
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

    greenlet: Any = None
    """The stack of the plain code that runs in it, if there is some."""

    def __init__(
        self, coro: Coroutine[Any, Any, Any], *, loop: DeterministicLoop, name: str, context: Context | None
    ) -> None:
        self._order = loop.next_order()
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._order


class ReadyCallback:
    """A callback on the ready queue; what ``call_soon`` returns."""

    __slots__ = ("args", "callback", "context", "is_cancelled")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.is_cancelled = False

    def cancel(self) -> None:
        """Do not run it."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Return True if it will not run."""
        return self.is_cancelled


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
        self._owner = self.nbflow_runtime = owner
        self.now = 0.0
        """Seconds since the epoch; set by the owner."""
        self._ready: deque[ReadyCallback] = deque()
        self._order = crc32(name.encode()) << 16
        self._closed = False
        self.tasks: dict[OrderedTask, None] = {}
        """Every task that is not done, in order of creation."""
        self._generators: WeakValueDictionary[int, AsyncGeneratorType[Any, Any]] | None = None
        """Async generators that have begun, in order; None until one has."""

    def next_order(self) -> int:
        """Number the next future or task."""
        self._order += 1
        return self._order

    def drain(self) -> None:
        """Run ready callbacks, first in first out, until none is left."""
        ready = self._ready
        handle: ReadyCallback | None = None
        while ready:
            handle = ready.popleft()
            if handle.is_cancelled:
                continue
            try:
                handle.context.run(handle.callback, *handle.args)
            except (SystemExit, KeyboardInterrupt):
                # The task that raised it keeps it, as any other exception; the engine must not exit for it.
                continue
            except BaseException as error:  # noqa: BLE001  asyncio's contract: report and go on
                self.call_exception_handler({"message": "a callback raised", "exception": error})
        handle = None  # tracebacks hold this frame, and it would hold what failed

    def stop(self) -> None:
        """Run nothing more of what is ready."""
        self._ready.clear()

    @property
    def ready_count(self) -> int:
        """How many callbacks wait to run."""
        return len(self._ready)

    def forget_newest(self, count: int) -> None:
        """Take the newest callbacks off the queue."""
        for _ in range(count):
            self._ready.pop()

    @contextlib.contextmanager
    def not_running(self) -> Iterator[None]:
        """Be nobody's running loop for a while: what runs then is not workflow code."""
        asyncio_events._set_running_loop(None)  # noqa: SLF001  the only way out of a loop
        try:
            yield
        finally:
            asyncio_events._set_running_loop(self)  # noqa: SLF001

    @property
    def generator_hooks(self) -> tuple[Callable[[Any], None], Callable[[Any], None]]:
        """What ``sys.set_asyncgen_hooks`` takes."""
        return self._on_generator_begun, self._on_generator_dropped

    def _on_generator_begun(self, generator: AsyncGeneratorType[Any, Any]) -> None:
        if self._generators is None:
            self._generators = WeakValueDictionary()
        self._generators[self.next_order()] = generator

    def _on_generator_dropped(self, generator: AsyncGeneratorType[Any, Any]) -> None:
        """Let an async generator clean up that nobody goes through any more.

        Dropped by code that runs, it cleans up in a task, as asyncio has it. Dropped by the garbage
        collector at a moment of its own, it must not ask for anything: replay would not.
        """
        if asyncio_events._get_running_loop() is self and not self._closed:  # noqa: SLF001
            self.create_task(generator.aclose(), name="async generator cleanup")
            return
        owner, outer_loop = self._owner, asyncio_events._get_running_loop()  # noqa: SLF001
        self._owner = self.nbflow_runtime = _Nobody()
        asyncio_events._set_running_loop(self)  # noqa: SLF001
        try:
            close_async_generator(generator)
        finally:
            self._owner = self.nbflow_runtime = owner
            asyncio_events._set_running_loop(outer_loop)  # noqa: SLF001

    # What asyncio's own code calls.

    # The stubs tie the arguments to the callback; here both are Any.

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        handle = ReadyCallback(callback, args, copy_context() if context is None else context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        handle = ReadyCallback(callback, args, copy_context() if context is None else context)
        if delay <= 0:
            self._ready.append(handle)
            return _PastTimer(handle, self.now)
        return self._owner.start_timer(delay, lambda: self._ready.append(handle))

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        return self.call_later(when - self.now, callback, *args, context=context)

    def time(self) -> float:
        return self.now

    def create_future(self) -> Any:
        return OrderedFuture(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None, **_: Any) -> Any:
        try:
            self._owner.check_may_change("start a task")
        except BaseException:
            coro.close()
            raise
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

    def take_down(self) -> None:
        """End every coroutine, newest first, and every async generator, whatever their cleanup code does."""
        self._ready.clear()
        all_ended = True
        while self.tasks:
            task, _ = self.tasks.popitem()
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  asyncio's own switch
            if close_coroutine(task.get_coro()):  # type: ignore[arg-type]
                task.cancel()  # its coroutine has ended: this only parts it from what it waited for
            else:
                all_ended = False
        self._closed = True
        for generator in list((self._generators or {}).values()):
            close_async_generator(generator)
        if all_ended:
            self.drain()

    def close(self) -> None:
        """Forget everything, the owner too, so that no reference cycle keeps it in memory."""
        self._closed = True
        self._ready.clear()
        self.tasks.clear()
        self._generators = None
        self._owner = self.nbflow_runtime = _Nobody()

    def _timer_handle_cancelled(self, handle: Any) -> None:
        pass

    async def shutdown_asyncgens(self) -> None:
        pass

    def run_in_executor(self, *_: Any) -> NoReturn:  # type: ignore[override]  # whatever it is given
        _refuse("a thread or executor (asyncio.to_thread, run_in_executor)")

    def call_soon_threadsafe(self, *_: Any, **__: Any) -> NoReturn:  # type: ignore[override]  # same
        _refuse("a callback from another thread (call_soon_threadsafe)")


class _Nobody:
    """The owner of a closed loop: what still comes out of it is of no interest."""

    def start_timer(self, seconds: float, callback: Callable[[], object]) -> TimerHandleLike:  # noqa: ARG002
        raise WorkflowEvicted

    def on_loop_exception(self, context: dict[str, Any]) -> None:
        pass

    def check_may_change(self, what: str) -> None:  # noqa: ARG002
        raise WorkflowEvicted


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
    "add_reader", "add_signal_handler", "add_writer", "connect_accepted_socket", "connect_read_pipe",
    "connect_write_pipe", "create_connection", "create_datagram_endpoint", "create_server", "create_unix_connection",
    "create_unix_server", "getaddrinfo", "getnameinfo", "run_forever", "run_until_complete", "sendfile",
    "set_default_executor", "sock_accept", "sock_connect", "sock_recv", "sock_recv_into", "sock_sendall",
    "sock_sendfile", "start_tls", "subprocess_exec", "subprocess_shell",
):  # fmt: skip
    setattr(DeterministicLoop, _name, _refusal(_name))
