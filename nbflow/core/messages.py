"""Signals and queries of one execution: handlers, mailboxes, waiters.

A signal goes to its handler; without one, to whoever waits for it; without either, it stays in
its mailbox until a handler or a waiter comes.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from nbflow.core.bridge import call_user_function
from nbflow.core.handlers import RunningHandler, RunningHandlers
from nbflow.core.loop import DeterministicLoop, OrderedFuture
from nbflow.exceptions import DefinitionError, NbflowError, QueryError

__all__ = ["Messages"]


class _Owner(Protocol):
    loop: DeterministicLoop

    async def wait_for(self, future: OrderedFuture, timeout: float | None, summary: str | None = None) -> Any: ...
    def fail_from_handler(self, error: BaseException) -> None: ...
    def is_about_to_cancel(self, task: asyncio.Task[Any] | None) -> bool: ...


class Messages:
    """The messages of one execution.

    Parameters
    ----------
    owner
        The execution.
    running
        Knows the handlers that are under way.
    """

    def __init__(self, owner: _Owner, running: RunningHandlers) -> None:
        self._owner: _Owner | None = owner
        self._running = running
        self._handlers: dict[str, dict[str, Callable[..., Any]]] = {"signal": {}, "query": {}}
        self._abandoned: set[str] = set()
        """Names of the signals whose handlers may be left unfinished."""
        self._mailboxes: dict[str, deque[list[Any]]] = {}
        self._waiters: dict[str, dict[OrderedFuture, None]] = {}
        """By name, in the order in which they came."""

    def close(self) -> None:
        """Forget everything, the owner too, so that no reference cycle keeps it in memory."""
        self._owner = None
        for handlers in self._handlers.values():
            handlers.clear()
        self._mailboxes.clear()
        self._waiters.clear()

    @property
    def awaited(self) -> list[str]:
        """Names of the signals somebody waits for, in order."""
        return [name for name, waiters in self._waiters.items() if waiters]

    @property
    def handlers(self) -> dict[str, dict[str, Callable[..., Any]]]:
        """The handlers by kind and name."""
        return self._handlers

    def set_handler(self, kind: str, name: str, handler: Callable[..., Any], unfinished_policy: str = "warn") -> None:
        """Let a function answer messages of a name, and hand it what came before.

        Parameters
        ----------
        kind
            ``"signal"`` or ``"query"``.
        name
            Name of the message.
        handler
            The function; a query handler must be a plain ``def``.
        unfinished_policy
            ``"warn"`` or ``"abandon"``: what to say if a signal's handler is under way when the execution closes.
        """
        if kind == "query" and inspect.iscoroutinefunction(handler):
            msg = f"query handler {name!r} must be a plain def: a query answers at once and changes nothing"
            raise DefinitionError(msg)
        self._handlers[kind][name] = handler
        if kind == "signal":
            (self._abandoned.add if unfinished_policy == "abandon" else self._abandoned.discard)(name)
            for args in self._mailboxes.pop(name, ()):
                self._handle(name, args)

    def deliver(self, name: str, args: list[Any]) -> None:
        """Hand a signal to its handler, to a waiter, or to the mailbox."""
        if name in self._handlers["signal"]:
            self._handle(name, args)
        elif not self._hand_to_waiter(name, args):
            self._mailboxes.setdefault(name, deque()).append(args)

    def _hand_to_waiter(self, name: str, args: list[Any]) -> bool:
        for waiter in self._waiters.get(name, ()):
            if not waiter.done():
                waiter.set_result(args)
                return True
        return False

    def _give_back(self, name: str, args: list[Any]) -> None:
        """Let a signal go to the next one: who got it was cancelled before it could take it."""
        if name in self._handlers["signal"]:
            self._handle(name, args)
        elif not self._hand_to_waiter(name, args):
            self._mailboxes.setdefault(name, deque()).appendleft(args)

    def _handle(self, name: str, args: list[Any]) -> None:
        handler = self._handlers["signal"][name]
        assert self._owner is not None
        policy = "abandon" if name in self._abandoned else "warn"
        running = RunningHandler("signal", name, policy)
        self._running.begin(self._owner.loop, _call(handler, args), running, self._on_handler_done)

    def _on_handler_done(self, task: asyncio.Task[Any]) -> None:
        if self._owner is not None and not task.cancelled() and (error := task.exception()) is not None:
            self._owner.fail_from_handler(error)

    async def wait_for(self, name: str, timeout: float | None, summary: str | None = None) -> Any:
        """Wait for the next signal of a name.

        Parameters
        ----------
        name
            Name of the signal.
        timeout
            Seconds, or None.
        summary
            One line for people, shown beside the timer.

        Returns
        -------
        object
            The signal's argument; a tuple if it came with several, None with none.

        Raises
        ------
        TimeoutError
            When none came in time.
        """
        assert self._owner is not None
        mailbox = self._mailboxes.get(name)
        if mailbox:
            return _value(mailbox.popleft())
        waiter = OrderedFuture(loop=self._owner.loop)
        waiters = self._waiters.setdefault(name, {})
        waiters[waiter] = None
        try:
            args = await self._owner.wait_for(waiter, timeout, summary)
            if self._owner.is_about_to_cancel(asyncio.current_task()):
                await asyncio.sleep(0)  # it goes before a signal, as it goes before a condition that holds
            return _value(args)
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                del waiters[waiter]
                self._give_back(name, waiter.result())
            raise
        finally:
            waiters.pop(waiter, None)
            del waiter  # it holds the error, whose traceback holds this frame

    def answer(self, name: str, args: Sequence[Any]) -> Any:
        """Answer a query.

        Raises
        ------
        QueryError
            When there is no such handler, or it failed.
        """
        handler = self._handlers["query"].get(name)
        if handler is None:
            known = ", ".join(sorted(self._handlers["query"])) or "none"
            msg = f"no query handler {name!r}; this execution has: {known}"
            raise QueryError(msg)
        try:
            return handler(*args)
        except NbflowError:
            raise
        except Exception as error:
            msg = f"query handler {name!r} failed: {type(error).__name__}: {error}"
            raise QueryError(msg) from error


async def _call(handler: Callable[..., Any], args: list[Any]) -> Any:
    return await call_user_function(handler, tuple(args), {})


def _value(args: list[Any]) -> Any:
    if not args:
        return None
    return args[0] if len(args) == 1 else tuple(args)
