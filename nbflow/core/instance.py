"""One execution's code, sans IO: events in, commands out.

``activate`` applies events, runs the code until it blocks, and returns what the code asked for.
The rule (version 1) for a list of events: all are applied, then the loop runs once. Ready
callbacks run first in first out; when none is left, wait conditions are checked in registration
order; both repeat until nothing moves. While the execution is paused, events are applied and nothing
runs: what came meanwhile is one batch, with the event that ends the pause. Each command must be
recorded, in order, by the events of the next call; a recorded event that does not fit the command
raises NondeterminismError.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from types import FunctionType
from typing import Any

from nbflow.core import guard
from nbflow.core.bridge import call_user_function
from nbflow.core.built_in_queries import BUILT_IN_QUERIES
from nbflow.core.commands import (
    CancelWorkflowExecution,
    Command,
    CompleteUpdate,
    CompleteWorkflowExecution,
    FailWorkflowExecution,
)
from nbflow.core.continuing import command_of
from nbflow.core.definitions import Definition
from nbflow.core.effects import APPLICATIONS, CONFIRMATIONS
from nbflow.core.embedded_runtime import EmbeddedRuntime, LogLine
from nbflow.core.events import COMMAND_EVENTS, HistoryEvent, WorkflowExecutionPaused, WorkflowExecutionStarted
from nbflow.core.failures import Failure, failure_of_exception
from nbflow.core.frames import line_of_error, line_of_task
from nbflow.core.handlers import RunningHandlers, unfinished_message
from nbflow.core.machines import EXECUTION, advance
from nbflow.core.messages import Messages
from nbflow.core.operations import ActivityHandle, DurableTimer
from nbflow.core.outbox import misfit_error
from nbflow.core.patches import PATCH_EVENTS
from nbflow.core.payloads import Converter, Payload
from nbflow.core.relations import Relations
from nbflow.core.sandbox import Sandbox
from nbflow.core.surroundings import Surroundings
from nbflow.core.updates import Updates, UpdateState
from nbflow.exceptions import (
    ActivityError,
    CancelledError,
    ChildWorkflowError,
    HistoryCorruptedError,
    MissingDefinitionError,
    NondeterminismError,
)

__all__ = ["LogLine", "WorkflowInstance"]

_MICROSECOND = 1_000_000
_LONGEST_CHAIN = 8


class WorkflowInstance(EmbeddedRuntime):
    """One execution of workflow code.

    Parameters
    ----------
    run_id
        Which run it is.
    definition
        The code, at the version the execution is pinned to.
    converter
        Encodes arguments and results at the moment a command is made.
    """

    def __init__(self, run_id: str, definition: Definition, converter: Converter) -> None:
        super().__init__(run_id, definition, converter)
        self.running_handlers = RunningHandlers()
        self.messages = Messages(self, self.running_handlers)
        self.updates = Updates(self, self.running_handlers)
        self.relations = Relations(self)
        self.state = "New"
        self.cancel_requested = False
        self._cancel_is_coming = False
        self._reseeds: list[tuple[int, int]] = []
        """Random seeds to come, by the event from which on they hold."""
        self.pause: WorkflowExecutionPaused | None = None
        """What paused the execution, while it is paused."""
        self.in_workflow_tasks = False
        """True while a history is replayed that has workflow tasks: a task hands over its messages first."""
        self.activities: dict[int, ActivityHandle] = {}
        """Activities without an outcome, by scheduled_event_id."""
        self.timers: dict[int, DurableTimer] = {}
        """Pending timers, by started_event_id."""
        self.unfinished_handlers: list[str] = []
        """Handlers that were under way when the code came to its end."""
        self._surroundings = Surroundings(self.loop)
        self._context = Context()
        """Empty at first: what the caller's context holds would differ in a replay."""
        self._main: asyncio.Task[Any] | None = None
        self._sandbox: Sandbox | None = None
        self._closing_command: Command | None = None
        self._unrunnable: MissingDefinitionError | None = None

    # Events in, commands out.

    @property
    def is_closed(self) -> bool:
        """True once the code has asked for its end, or was ended from outside."""
        return self._closing or not EXECUTION[self.state]

    @property
    def outstanding(self) -> list[Command]:
        """Commands that no event has recorded yet."""
        return self._outbox.commands

    def activate(self, events: Iterable[HistoryEvent]) -> list[Command]:
        """Apply events, run the code until it blocks, and return what it asked for.

        Parameters
        ----------
        events
            In history order: first those that record the commands of the last call, then
            those from outside.

        Returns
        -------
        list of Command
            New commands, in order. They are to be recorded as the next events.

        Raises
        ------
        NondeterminismError
            When a recorded event does not fit what the code asked for.
        HistoryCorruptedError
            When the events contradict each other.
        MissingDefinitionError
            When the code can't run here, because a part of it is missing.
        PayloadError
            When a value of the history can't be decoded here.
        """
        with self._surroundings:
            self._context.run(self._advance, events)
        return self._outbox.commands

    def replay(self, activations: Iterable[Sequence[HistoryEvent]]) -> None:
        """Apply many activations, as they are recorded; see :func:`nbflow.core.replay.replay`."""
        self.is_replaying = True
        with self._surroundings:
            for events in activations:
                self._context.run(self._advance, events)
        self.is_replaying = False

    def _advance(self, events: Iterable[HistoryEvent]) -> None:
        moved = False
        for event in events:
            if type(event) in COMMAND_EVENTS:
                self.confirm(event)
            else:
                moved = self._apply(event) or moved
        if moved and self.pause is None:
            self._run_until_blocked()

    def confirm(self, event: HistoryEvent) -> None:
        """Take note of the event that records the oldest outstanding command.

        Parameters
        ----------
        event
            One of :data:`~nbflow.core.events.COMMAND_EVENTS`.

        Raises
        ------
        NondeterminismError
            When the command is another one, or there is none.
        HistoryCorruptedError
            When the event can't stand here.
        """
        oldest = self._outbox.oldest
        if type(event) in PATCH_EVENTS and self.patches.may_skip(event, oldest):
            self._confirmed += 1
            self._step(event)
            return
        if oldest is None or not oldest.fits(event):
            raise self._misfit(event, oldest)
        _, target = self._outbox.take()
        self._confirmed += 1
        self._step(event)
        if target is not None:
            CONFIRMATIONS[type(event)](self, event, target)

    def _apply(self, event: HistoryEvent) -> bool:
        """Apply an event from outside; True if the code should run."""
        if self._outbox:
            raise self._misfit(event, self._outbox.oldest)
        self._time = event.event_time
        self.loop.now = event.event_time / _MICROSECOND
        self._step(event)
        application = APPLICATIONS.get(type(event))
        if application is None:
            msg = f"run {self.run_id}: event {event.event_id} {type(event).__name__} has no effect here"
            raise HistoryCorruptedError(msg)
        moved = application(self, event)
        if self._reseeds and event.event_id >= self._reseeds[0][0]:
            self._random = random.Random(self._reseeds.pop(0)[1])
        return moved

    def _step(self, event: HistoryEvent) -> None:
        if event.event_id <= self._last_event_id and not self.in_workflow_tasks:
            msg = f"run {self.run_id}: event {event.event_id} comes after event {self._last_event_id}"
            raise HistoryCorruptedError(msg)
        self._last_event_id = event.event_id
        self.history_size.add(event)
        self.state = advance(EXECUTION, self.state, type(event).__name__, "run", self.run_id)

    def _misfit(self, event: HistoryEvent, command: Command | None = None) -> NondeterminismError:
        then = self._started.definition_hash if self._started else ""
        waits_at = line_of_task(self._main) if command is None else None
        return misfit_error(
            self.definition.name, self.run_id, event, command, (then, self.definition.hash), waits_at=waits_at
        )

    def _run_until_blocked(self) -> None:
        while True:
            self.loop.drain()
            if not self._conditions or self._is_over or not self._wake_conditions():
                break
        violation = self._surroundings.watch.take_violation()
        if violation is not None:
            self._fail_for(violation)
        self._outbox.settle()
        if self._closing_command is not None:
            self._note_unfinished_handlers()
        if self._unrunnable is not None:
            raise self._unrunnable

    # What events do; see nbflow.core.effects.

    def begin(self, event: WorkflowExecutionStarted) -> None:
        """Make the main task."""
        self._started = event
        self.description.begin(event)
        self._reseeds = sorted((int(event_id), seed) for event_id, seed in (event.reseeds or {}).items())
        self.return_to_start()
        function = self.definition.function
        if isinstance(function, FunctionType):
            self._sandbox = Sandbox(function, self.definition.bindings)
            function = self._sandbox.function
        args = self.converter.decode(event.input)
        kwargs = self.converter.decode(event.keyword_input) if event.keyword_input else {}
        main = self._run_main(function, tuple(args), kwargs)
        self._main = self.loop.create_task(main, name=self.definition.name)
        self._main.add_done_callback(self._on_main_done)

    def return_to_start(self) -> None:
        """Let it be the time at which the code begins: when the start delay is over."""
        started = self._started
        assert started is not None
        self._time = started.original_start_time or started.event_time
        if started.first_workflow_task_backoff:
            self._time += round(started.first_workflow_task_backoff * _MICROSECOND)
        self.loop.now = self._time / _MICROSECOND

    async def _run_main(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Payload:
        return self.converter.encode(await call_user_function(function, args, kwargs))

    def request_cancel(self, cause: str) -> None:
        """Cancel the main task, one turn later, so that code that has not begun still begins."""
        if not self.cancel_requested and self._main is not None:
            self.cancel_requested = self._cancel_is_coming = True
            self.loop.call_soon(self._cancel_main, cause or None)

    def _cancel_main(self, cause: str | None) -> None:
        assert self._main is not None
        self._cancel_is_coming = False
        self._main.cancel(cause)

    def is_about_to_cancel(self, task: asyncio.Task[Any] | None) -> bool:
        """Say whether a cancellation of this task came in the same activation as what woke it."""
        return self._cancel_is_coming and task is self._main

    def end(self) -> None:
        """Run no more code: the execution was ended from outside."""
        self._closing = True
        self.loop.stop()

    # The end.

    def _on_main_done(self, task: asyncio.Task[Any]) -> None:
        if self._is_evicted:
            return
        if task.cancelled():
            if self.cancel_requested:
                self._close(CancelWorkflowExecution())
            else:
                self._fail(asyncio.CancelledError("the workflow cancelled itself"))
            return
        error = task.exception()
        if error is None:
            self._close(CompleteWorkflowExecution(result=task.result()))
        elif (command := command_of(error)) is not None:
            self._close(command)
        elif self.cancel_requested and _is_cancellation(error):
            self._close(CancelWorkflowExecution())
        elif isinstance(error, MissingDefinitionError):
            # Not the code's failure but ours to find its parts: the execution stays open until they are there.
            self.park(error)
        else:
            self._fail(error)

    def fail_from_handler(self, error: BaseException) -> None:
        """Fail the execution for an exception that escaped a signal handler."""
        if self._is_evicted:
            return
        command = command_of(error)
        if command is not None:
            self._close(command)
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        line = line_of_error(error)
        self._close(FailWorkflowExecution(failure=self.record_failure(error), line=line))

    def record_failure(self, error: BaseException) -> Failure:
        """Turn an exception of the code into what history keeps of it."""
        with guard.allow_io():  # reading source lines for the traceback
            failure = failure_of_exception(error, self.converter)
        _drop_tracebacks(error)
        return failure

    def _fail_for(self, violation: NondeterminismError) -> None:
        """Fail for what the code did, even if it swallowed the error and went on to its end."""
        if self._closing_command is not None:
            self._outbox.withdraw(self._closing_command)
            self._closing = False
        self._fail(violation)

    def _close(self, command: Command) -> None:
        """Ask for the end. What is ready to run does not run any more, but for updates that may still be answered."""
        if not self._closing:
            self._emit(command)
            self._closing_command = command
            self._closing = True
            if self._is_over:
                self.loop.stop()

    @property
    def _is_over(self) -> bool:
        return self._closing and (self._closing_command is None or not self.updates.unanswered)

    def _note_unfinished_handlers(self) -> None:
        """Say which handlers the end leaves half done."""
        self.unfinished_handlers = [str(handler) for handler in self.running_handlers.unfinished]
        if self.unfinished_handlers:
            self.log(30, unfinished_message(self.unfinished_handlers))

    def answer_update(self, command: CompleteUpdate, target: UpdateState) -> None:
        """Say how an update ended; also in the activation that ends the execution, before the end."""
        if self._closing_command is not None:
            self._outbox.add_before(self._closing_command, command, target)
        else:
            self._emit(command, target)

    def park(self, error: MissingDefinitionError) -> None:
        """Stay open until a part of the code is there again that was not found."""
        self._unrunnable = error

    # From outside.

    def query(self, name: str, args: Sequence[Any]) -> Any:
        """Answer a query from the handlers' view of the execution.

        Parameters
        ----------
        name
            Name of the query.
        args
            Its arguments.

        Returns
        -------
        object
            What the handler returned.

        Raises
        ------
        QueryError
            When there is no such handler, or it failed.
        ReadOnlyContextError
            When it tried to change something.
        NondeterminismError
            When it did real IO.
        """
        built_in = BUILT_IN_QUERIES.get(name)
        if built_in is not None:
            return self._look(lambda: built_in(self), f"query {name!r}")
        return self._look(lambda: self.messages.answer(name, args), f"query {name!r}")

    def validate_update(self, name: str, args: Payload) -> None:
        """Let an update's validator look at it; nothing of this is in history.

        Parameters
        ----------
        name
            Name of the update.
        args
            Its arguments, as one encoded list.

        Raises
        ------
        BaseException
            Whatever the validator raises rejects the update; so does an update without a handler.
        """
        values = self.converter.decode(args)
        self._look(lambda: self.updates.validate(name, values), f"the validator of update {name!r}")

    def _look(self, function: Callable[[], Any], reader: str) -> Any:
        """Call code that may only read, and of which nothing is in history."""
        drawn = self._random.getstate() if self._random else None
        try:
            with self._surroundings:
                answer = self._context.run(self._read_only_call, function, reader)
        finally:
            violation = self._surroundings.watch.take_violation()
            # What was drawn is not in history: the code's next random numbers stay what they were.
            if self._random is not None and drawn is not None:
                self._random.setstate(drawn)
            else:
                self._random = None
        if violation is not None:
            raise violation
        return answer

    def evict(self) -> None:
        """Take the coroutines down: nothing is recorded, nothing is printed, cleanup code may not wait."""
        self._is_evicted = True
        self.is_replaying = True  # cleanup code that runs now prints and logs nothing
        with self._surroundings:
            self._context.run(self.loop.take_down)
        for waiting in (*self.timers.values(), *self.activities.values(), *self._outbox.targets):
            if isinstance(waiting, (ActivityHandle, DurableTimer)):
                waiting.cancel_now()
            if isinstance(waiting, ActivityHandle):
                waiting.detach()
        self.relations.take_down()
        self._conditions.clear()
        self.activities.clear()
        self.timers.clear()
        self._outbox.clear()
        self._main = None
        self.messages.close()
        self.relations.close()
        self.updates.close()
        self.running_handlers.close()
        self.loop.close()
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None


def _is_cancellation(error: BaseException) -> bool:
    """Say whether an operation failed by being cancelled, which is how a requested cancellation may arrive."""
    return isinstance(error, (ActivityError, ChildWorkflowError)) and isinstance(error.__cause__, CancelledError)


def _drop_tracebacks(error: BaseException | None) -> None:
    """Let go of the frames of a recorded error: they hold this execution, which may hold the error."""
    for _ in range(_LONGEST_CHAIN):
        if error is None:
            return
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
