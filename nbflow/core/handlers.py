"""Handlers of signals and updates that are under way: what an execution should not leave half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from nbflow.core.loop import DeterministicLoop

__all__ = ["RunningHandler", "RunningHandlers", "unfinished_message"]


class RunningHandler(NamedTuple):
    """One call of a handler.

    Parameters
    ----------
    kind
        ``"signal"`` or ``"update"``.
    name
        Name of the message.
    unfinished_policy
        ``"warn"`` or ``"abandon"``: what to say if the execution closes before it has finished.
    """

    kind: str
    name: str
    unfinished_policy: str = "warn"

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


def unfinished_message(handlers: Sequence[str]) -> str:
    """Say what an end left half done, and how to let it end."""
    return (
        f"the execution closed while handlers were under way: {', '.join(handlers)}. What they had begun is dropped. "
        f"Wait for them with nbflow.wait_condition(nbflow.all_handlers_finished) before the workflow returns, or mark "
        f'them unfinished_policy="abandon"'
    )


class RunningHandlers:
    """The calls of one execution's handlers that are not done, in the order in which they began."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[Any], RunningHandler] = {}

    def begin(
        self,
        loop: DeterministicLoop,
        call: Coroutine[Any, Any, Any],
        handler: RunningHandler,
        on_done: Callable[[asyncio.Task[Any]], object],
    ) -> None:
        """Run a handler as a task of its own.

        Parameters
        ----------
        loop
            The execution's.
        call
            The handler, called.
        handler
            Which one.
        on_done
            Hears of its end.
        """
        task = loop.create_task(call, name=f"{handler.kind}: {handler.name}")
        self._running[task] = handler
        task.add_done_callback(self._forget)
        task.add_done_callback(on_done)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)

    @property
    def all_finished(self) -> bool:
        """True if none is under way."""
        return all(task.done() for task in self._running)

    @property
    def unfinished(self) -> list[RunningHandler]:
        """Those that somebody should hear of if the execution closes now."""
        running = self._running.items()
        return [handler for task, handler in running if not task.done() and handler.unfinished_policy == "warn"]

    def close(self) -> None:
        """Forget everything."""
        self._running.clear()
