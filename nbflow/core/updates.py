"""Updates of one execution: handlers with their validators, and what became of each update.

A validator looks at an update before history knows of it: it may only read, and what it rejects leaves
no trace. An accepted update is an event from outside; its handler runs as a task, and how it ended is a command.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Protocol

from nbflow.core.bridge import call_user_function
from nbflow.core.commands import CompleteUpdate
from nbflow.core.events import WorkflowExecutionUpdateAccepted, WorkflowExecutionUpdateCompleted
from nbflow.core.failures import Failure
from nbflow.core.handlers import RunningHandler, RunningHandlers
from nbflow.core.loop import DeterministicLoop
from nbflow.core.machines import UPDATE, advance
from nbflow.core.payloads import Converter, Payload
from nbflow.exceptions import (
    ContinueAsNew,
    DefinitionError,
    HistoryCorruptedError,
    MissingDefinitionError,
    NondeterminismError,
    UnknownUpdateError,
    WorkflowError,
)

__all__ = ["UpdateState", "Updates"]


class _Owner(Protocol):
    run_id: str
    loop: DeterministicLoop
    converter: Converter

    def record_failure(self, error: BaseException) -> Failure: ...
    def answer_update(self, command: CompleteUpdate, target: UpdateState) -> None: ...
    def park(self, error: MissingDefinitionError) -> None: ...


class UpdateState:
    """What became of one accepted update.

    Parameters
    ----------
    accepted
        The event that accepted it.
    """

    __slots__ = ("accepted", "outcome", "state")

    def __init__(self, accepted: WorkflowExecutionUpdateAccepted) -> None:
        self.accepted = accepted
        self.state = advance(UPDATE, "New", type(accepted).__name__)
        self.outcome: WorkflowExecutionUpdateCompleted | None = None
        """None while its handler is under way."""

    def complete(self, event: WorkflowExecutionUpdateCompleted) -> None:
        """Take note of its end."""
        self.state = advance(UPDATE, self.state, type(event).__name__, "update", event.update_id)
        self.outcome = event


class Updates:
    """The updates of one execution.

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
        self._handlers: dict[str, tuple[Callable[..., Any], str]] = {}
        self._validators: dict[str, Callable[..., Any]] = {}
        self.accepted: dict[str, UpdateState] = {}
        """Every update accepted so far, by its id."""
        self.unanswered = 0
        """How many of them still run: the code has not said yet how they ended."""

    def close(self) -> None:
        """Forget everything, the owner too, so that no reference cycle keeps it in memory."""
        self._owner = None
        self._handlers.clear()
        self._validators.clear()
        self.accepted.clear()

    @property
    def names(self) -> list[str]:
        """Names of the updates that there are handlers for."""
        return sorted(self._handlers)

    @property
    def handlers(self) -> dict[str, Callable[..., Any]]:
        """The handlers by name."""
        return {name: handler for name, (handler, _) in self._handlers.items()}

    @property
    def in_flight(self) -> int:
        """How many accepted updates have no outcome yet."""
        return sum(update.outcome is None for update in self.accepted.values())

    def set_handler(self, name: str, handler: Callable[..., Any], unfinished_policy: str = "warn") -> None:
        """Let a function handle updates of a name; a validator set before no longer counts."""
        self._handlers[name] = handler, unfinished_policy
        self._validators.pop(name, None)

    def set_validator(self, name: str, validator: Callable[..., Any]) -> None:
        """Let a function look at updates of a name before they are accepted.

        Raises
        ------
        DefinitionError
            When it is ``async def``: a validator answers at once.
        """
        if inspect.iscoroutinefunction(validator):
            msg = f"the validator of update {name!r} must be a plain def: it answers at once and changes nothing"
            raise DefinitionError(msg)
        self._validators[name] = validator

    def validate(self, name: str, args: list[Any]) -> None:
        """Let an update be looked at; whatever this raises rejects it."""
        if name not in self._handlers:
            raise UnknownUpdateError(name, self.names)
        handler, _ = self._handlers[name]
        validator = self._validators.get(name)
        _check_arguments(name, handler, args)
        if validator is not None:
            validator(*args)

    def accept(self, event: WorkflowExecutionUpdateAccepted) -> None:
        """Run the handler of an accepted update.

        Raises
        ------
        NondeterminismError
            When history accepted an update that this code has no handler for.
        HistoryCorruptedError
            When it was accepted before.
        """
        assert self._owner is not None
        if event.update_name not in self._handlers:
            msg = (
                f"run {self._owner.run_id}: event {event.event_id} accepted update {event.update_name!r}, but the code "
                f"has no handler for it at this point. Put the handler back until this execution has closed"
            )
            raise NondeterminismError(msg, event=f"event {event.event_id} WorkflowExecutionUpdateAccepted")
        if event.update_id in self.accepted:
            msg = f"run {self._owner.run_id}: event {event.event_id} accepts update {event.update_id!r} a second time"
            raise HistoryCorruptedError(msg)
        handler, policy = self._handlers[event.update_name]
        update = self.accepted[event.update_id] = UpdateState(event)
        self.unanswered += 1
        args = self._owner.converter.decode(event.input)
        self._running.begin(
            self._owner.loop,
            _call(handler, args, self._owner.converter),
            RunningHandler("update", event.update_name, policy),
            lambda task: self._on_done(task, update),
        )

    def _on_done(self, task: asyncio.Task[Payload], update: UpdateState) -> None:
        if self._owner is None:
            return
        result: Payload | None = None
        failure: Failure | None = None
        if task.cancelled():
            failure = self._owner.record_failure(asyncio.CancelledError("the update's handler cancelled itself"))
        elif (error := task.exception()) is None:
            result = task.result()
        elif isinstance(error, MissingDefinitionError):
            self._owner.park(error)
            return
        else:
            if isinstance(error, ContinueAsNew):
                error = WorkflowError(
                    "an update's handler can't continue as new: let the workflow do it, told by a flag"
                )
            failure = self._owner.record_failure(error)
        self.unanswered -= 1
        accepted = update.accepted
        command = CompleteUpdate(
            update_id=accepted.update_id, accepted_event_id=accepted.event_id, result=result, failure=failure
        )
        self._owner.answer_update(command, update)


async def _call(handler: Callable[..., Any], args: list[Any], converter: Converter) -> Payload:
    return converter.encode(await call_user_function(handler, tuple(args), {}))


def _check_arguments(name: str, handler: Callable[..., Any], args: list[Any]) -> None:
    """Refuse arguments that the handler does not take: it would only fail for them."""
    try:
        inspect.signature(handler).bind(*args)
    except TypeError as error:
        msg = f"update {name!r}: {error}"
        raise TypeError(msg) from None
