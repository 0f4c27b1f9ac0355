"""One execution's code, sans IO: events in, commands out.

``activate`` applies events, runs the code until it blocks, and returns what the code asked for.
The rule (version 1) for a list of events: all are applied, then the loop runs once. Ready
callbacks run first in first out; when none is left, wait conditions are checked in registration
order; both repeat until nothing moves. Each command must be recorded, in order, by the events of
the next call; a recorded event that does not fit the command raises NondeterminismError.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import FunctionType
from typing import Any

from nbflow.core import guard
from nbflow.core.bridge import call_user_function
from nbflow.core.commands import (
    ActivityOptions,
    CancelTimer,
    CancelWorkflowExecution,
    Command,
    CompleteWorkflowExecution,
    FailWorkflowExecution,
    RecordMarker,
    RequestCancelActivityTask,
    ScheduleActivityTask,
    SourceLine,
    StartTimer,
)
from nbflow.core.definitions import Definition
from nbflow.core.events import (
    COMMAND_EVENTS,
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    HistoryEvent,
    MarkerRecorded,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
)
from nbflow.core.event_json import name_of
from nbflow.core.failures import ACTIVITY as ACTIVITY_FAILURE
from nbflow.core.failures import Failure, exception_of_failure, failure_of_exception
from nbflow.core.loop import DeterministicLoop, OrderedFuture
from nbflow.core.machines import ACTIVITY, EXECUTION, TIMER, advance
from nbflow.core.messages import Messages
from nbflow.core.operations import ActivityHandle, DurableTimer, SleepFuture
from nbflow.core.payloads import Converter, Payload
from nbflow.core.runtime import WorkflowInfo
from nbflow.core.sandbox import WorkflowGlobals, rebind_function
from nbflow.exceptions import (
    HistoryCorruptedError,
    MissingDefinitionError,
    NondeterminismError,
    PayloadError,
    ReadOnlyContextError,
    WorkflowEvicted,
)

__all__ = ["LogLine", "WorkflowInstance"]

_MICROSECOND = 1_000_000
_OWN_FILES = __file__.rpartition("core")[0]
_ASYNCIO_FILES = asyncio.__file__.rpartition("__init__")[0]
_REFUSALS_BEFORE_PARKING = 100

LogLine = tuple[int, str]
"""Level and message."""


class WorkflowInstance:
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
        self.run_id = run_id
        self.definition = definition
        self.converter = converter
        self.loop = DeterministicLoop(self, run_id)
        self.state = "New"
        self.is_replaying = False
        self.cancel_requested = False
        self.logs: list[LogLine] = []
        """Lines that the code logged since the owner last took them."""
        self.recorded_side_effects: dict[str, Payload] = {}
        """Values of markers that replay will ask for, by marker id."""
        self.activities: dict[int, ActivityHandle] = {}
        """Activities without an outcome, by scheduled_event_id."""
        self.timers: dict[int, DurableTimer] = {}
        """Pending timers, by started_event_id."""
        self.messages = Messages(self)
        self._started: WorkflowExecutionStarted | None = None
        self._time = 0
        self._outstanding: deque[tuple[Command, Any]] = deque()
        self._conditions: list[tuple[Callable[[], object], OrderedFuture]] = []
        self._main: asyncio.Task[Any] | None = None
        self._counters = {"activity": 0, "timer": 0, "side_effect": 0}
        self._random: random.Random | None = None
        self._read_only = ""
        self._evicting = False
        self._refusals = 0
        self._closing = False
        self._unrunnable: MissingDefinitionError | None = None

    # Events in, commands out.

    @property
    def is_closed(self) -> bool:
        """True once the code has asked for its end, or was ended from outside."""
        return self._closing or not EXECUTION[self.state]

    @property
    def outstanding(self) -> list[Command]:
        """Commands that no event has recorded yet."""
        return [command for command, _ in self._outstanding]

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
        """
        moved = False
        collecting = gc.isenabled()
        if collecting:
            gc.disable()  # a finaliser of someone else's must not run inside workflow code
        try:
            with self.loop.running(), guard.guarded():
                for event in events:
                    if type(event) in COMMAND_EVENTS:
                        self.confirm(event)
                    else:
                        moved = self._apply(event) or moved
                if moved:
                    self._run_until_blocked()
        finally:
            if collecting:
                gc.enable()
        if self._unrunnable is not None:
            raise self._unrunnable
        violation = guard.take_violation()
        if violation is not None and not self._closing:
            self._fail(violation)
        return self.outstanding

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
        """
        if not self._outstanding:
            raise self._nondeterminism(event, None)
        command, target = self._outstanding.popleft()
        if command.event_type is not type(event) or not _names_agree(command, event):
            raise self._nondeterminism(event, command)
        self.state = advance(EXECUTION, self.state, type(event).__name__, f"run {self.run_id}")
        if target is not None:
            _CONFIRMATIONS[type(event)](self, event, target)

    def _apply(self, event: HistoryEvent) -> bool:
        """Apply an event from outside; True if the code should run."""
        if self._outstanding:
            raise self._nondeterminism(event, self._outstanding[0][0])
        self._time = event.event_time
        self.loop.now = event.event_time / _MICROSECOND
        self.state = advance(EXECUTION, self.state, type(event).__name__, f"run {self.run_id}")
        return _APPLICATIONS[type(event)](self, event)

    def _run_until_blocked(self) -> None:
        loop = self.loop
        while True:
            loop.drain()
            if not self._conditions or not self._wake_conditions():
                return

    def _wake_conditions(self) -> bool:
        woken = False
        for entry in list(self._conditions):
            predicate, future = entry
            if future.done():
                self._conditions.remove(entry)
                continue
            try:
                holds = self._read_only_call(predicate, "a wait condition")
            except Exception as error:  # noqa: BLE001  handed to whoever waits
                future.set_exception(error)
            else:
                if not holds:
                    continue
                future.set_result(None)
            self._conditions.remove(entry)
            woken = True
        return woken

    def _nondeterminism(self, event: HistoryEvent, command: Command | None) -> NondeterminismError:
        name = name_of(event)
        recorded = f"event {event.event_id} {type(event).__name__}" + (f"({name})" if name else "")
        produced = command.describe() if command else "nothing"
        line = str(command.line) if command and command.line else None
        where = f" at {line}" if line else ""
        then = self._started.definition_hash if self._started else ""
        now = self.definition.hash
        changed = (
            f"its code changed since (definition {then[:12]} then, {now[:12]} now)"
            if then != now
            else "its code gave another answer this time: look for sets, globals, or values read from outside"
        )
        msg = (
            f"workflow {self.definition.name} (run {self.run_id}) does not fit its history: recorded is {recorded}, "
            f"the code asked for {produced}{where}. Either {changed}. Put the old code back, or guard the change "
            f"with nbflow.patched()"
        )
        return NondeterminismError(msg, event=recorded, command=produced, line=line, definition_hash=(then, now))

    # What applying an event does.

    def _on_started(self, event: WorkflowExecutionStarted) -> bool:
        self._started = event
        if event.first_workflow_task_backoff:
            self._time += round(event.first_workflow_task_backoff * _MICROSECOND)
            self.loop.now = self._time / _MICROSECOND
        function = self.definition.function
        if isinstance(function, FunctionType):
            function = rebind_function(function, WorkflowGlobals(function.__globals__, self.definition.bindings))
        self._main = self.loop.create_task(self._run_main(function, event), name=self.definition.name)
        self._main.add_done_callback(self._on_main_done)
        return True

    async def _run_main(self, function: Callable[..., Any], event: WorkflowExecutionStarted) -> Payload:
        args = self.converter.decode(event.input)
        kwargs = self.converter.decode(event.keyword_input) if event.keyword_input else {}
        result = await call_user_function(function, tuple(args), kwargs)
        return self.converter.encode(result)

    def _on_main_done(self, task: asyncio.Task[Any]) -> None:
        if self._evicting:
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
        elif isinstance(error, MissingDefinitionError):
            # Not the code's failure but ours to find its parts: the execution stays open until they are there.
            self._unrunnable = error
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with guard.allow_io():  # reading source lines for the traceback
            failure = failure_of_exception(error, self.converter)
        self._close(FailWorkflowExecution(failure=failure))

    def _close(self, command: Command) -> None:
        if not self._closing:
            self._emit(command)
            self._closing = True

    def _on_activity_started(self, event: ActivityTaskStarted) -> bool:
        handle = self._activity(event)
        handle.state = advance(ACTIVITY, handle.state, "ActivityTaskStarted", f"activity {event.scheduled_event_id}")
        return False

    def _activity(self, event: Any) -> ActivityHandle:
        handle = self.activities.get(event.scheduled_event_id)
        if handle is None:
            msg = (
                f"run {self.run_id}: event {event.event_id} {type(event).__name__} is of activity "
                f"{event.scheduled_event_id}, which is not pending"
            )
            raise HistoryCorruptedError(msg)
        return handle

    def _settled(self, event: Any) -> ActivityHandle | None:
        """Take an activity off the pending ones; None if nobody waits for it any more."""
        handle = self._activity(event)
        handle.state = advance(ACTIVITY, handle.state, type(event).__name__, f"activity {event.scheduled_event_id}")
        del self.activities[event.scheduled_event_id]
        return None if handle.done() else handle

    def _on_activity_completed(self, event: ActivityTaskCompleted) -> bool:
        handle = self._settled(event)
        if handle is not None:
            try:
                handle.set_result(self.converter.decode(event.result))
            except PayloadError as error:
                handle.fail(error)
        return True

    def _on_activity_failed(self, event: ActivityTaskFailed | ActivityTaskTimedOut) -> bool:
        handle = self._settled(event)
        if handle is not None:
            failure = Failure(
                message=f"activity {handle.activity_type} (id {handle.activity_id}) failed: {event.failure.headline()}",
                kind=ACTIVITY_FAILURE,
                info={
                    "activity_type": handle.activity_type,
                    "activity_id": handle.activity_id,
                    "scheduled_event_id": event.scheduled_event_id,
                    "retry_state": event.retry_state,
                },
                cause=event.failure,
            )
            handle.fail(exception_of_failure(failure, self.converter))
        return True

    def _on_activity_canceled(self, event: ActivityTaskCanceled) -> bool:
        handle = self._settled(event)
        if handle is not None:
            handle.cancel_now("the activity was cancelled")
        return True

    def _on_timer_fired(self, event: TimerFired) -> bool:
        timer = self.timers.pop(event.started_event_id, None)
        if timer is None:
            msg = f"run {self.run_id}: event {event.event_id} fires timer {event.timer_id}, which is not pending"
            raise HistoryCorruptedError(msg)
        timer.state = advance(TIMER, timer.state, "TimerFired", f"timer {event.timer_id}")
        timer.fire()
        return True

    def _on_signaled(self, event: WorkflowExecutionSignaled) -> bool:
        try:
            args = self.converter.decode(event.input)
        except PayloadError as error:
            self.log(40, f"signal {event.signal_name!r} (event {event.event_id}) was dropped: {error}")
            return False
        self.messages.deliver(event.signal_name, args)
        return True

    def _on_cancel_requested(self, event: WorkflowExecutionCancelRequested) -> bool:
        if not self.cancel_requested and self._main is not None:
            self.cancel_requested = True
            self.loop.call_soon(self._main.cancel, event.cause or None)
        return True

    def _on_ended(self, event: HistoryEvent) -> bool:  # noqa: ARG002  the state has moved, no code runs
        self._closing = True
        return False

    # What recording a command does.

    def _on_scheduled(self, event: ActivityTaskScheduled, handle: ActivityHandle) -> None:
        handle.scheduled_event_id = event.event_id
        handle.state = "Scheduled"
        self.activities[event.event_id] = handle

    def _on_cancel_activity(self, event: ActivityTaskCancelRequested, handle: ActivityHandle) -> None:
        handle.state = advance(ACTIVITY, handle.state, type(event).__name__, f"activity {event.scheduled_event_id}")

    def _on_timer_started(self, event: TimerStarted, timer: DurableTimer) -> None:
        timer.started_event_id = event.event_id
        timer.state = "Pending"
        self.timers[event.event_id] = timer

    def _on_timer_canceled(self, event: TimerCanceled, timer: DurableTimer) -> None:
        timer.state = advance(TIMER, timer.state, "TimerCanceled", f"timer {event.timer_id}")
        self.timers.pop(event.started_event_id, None)

    # Commands.

    def _emit(self, command: Command, target: Any = None) -> None:
        if self._read_only:
            msg = f"{self._read_only} may only read: it can't ask for {command.describe()}"
            raise ReadOnlyContextError(msg)
        if not self._closing:
            self._outstanding.append((command, target))

    def _refuses(self) -> bool:
        """True if this evicted code must be parked; raises WorkflowEvicted the first times it asks for anything."""
        if not self._evicting:
            return False
        self._refusals += 1
        if self._refusals <= _REFUSALS_BEFORE_PARKING:
            raise WorkflowEvicted(self.run_id)
        return True

    def _number(self, kind: str) -> str:
        self._counters[kind] += 1
        return str(self._counters[kind])

    def _line(self) -> SourceLine | None:
        """Where user code is; only replay can find a misfit, so only replay asks."""
        if not self.is_replaying:
            return None
        frame = sys._getframe(2)  # noqa: SLF001  the only way up the stack
        while frame is not None:
            filename = frame.f_code.co_filename
            if not filename.startswith((_OWN_FILES, _ASYNCIO_FILES)):
                return SourceLine(frame.f_code, frame.f_lasti)
            frame = frame.f_back  # type: ignore[assignment]
        return None

    def start_activity(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, options: ActivityOptions
    ) -> Any:
        """Schedule an activity; see :class:`~nbflow.core.runtime.Runtime`."""
        if self._refuses():
            return OrderedFuture(loop=self.loop)
        command = ScheduleActivityTask(
            activity_id=self._number("activity"),
            activity_type=name,
            input=self.converter.encode(list(args)),
            keyword_input=self.converter.encode(dict(kwargs)) if kwargs else None,
            options=options,
            line=self._line(),
        )
        handle = ActivityHandle(self, command)
        self._emit(command, handle)
        return handle

    def cancel_activity(self, handle: ActivityHandle, reason: Any) -> bool:
        """Cancel an activity the way its cancellation type says; False if it was done."""
        if handle.done():
            return False
        if self._evicting:
            return handle.cancel_now(reason)
        if handle.scheduled_event_id is None:
            self._outstanding.remove((handle.command, handle))
            return handle.cancel_now(reason)
        kind = handle.command.options.cancellation_type
        if kind != "ABANDON" and not handle.cancel_requested:
            handle.cancel_requested = True
            self._emit(RequestCancelActivityTask(scheduled_event_id=handle.scheduled_event_id, line=self._line()), handle)
        return True if kind == "WAIT_CANCELLATION_COMPLETED" else handle.cancel_now(reason)

    def start_timer(self, seconds: float, callback: Callable[[], object], summary: str | None = None) -> DurableTimer:
        """Start a durable timer that calls back."""
        seconds = round(seconds, 6)
        command = StartTimer(
            timer_id=self._number("timer"), start_to_fire_timeout=seconds, summary=summary, line=self._line()
        )
        timer = DurableTimer(self, command, self.loop.now + seconds, callback)
        if self._refuses():
            return timer
        self._emit(command, timer)
        return timer

    def cancel_timer(self, timer: DurableTimer) -> None:
        """Forget a timer; one started in this activation leaves no event."""
        if self._evicting or self._closing:
            return
        if timer.started_event_id is None:
            self._outstanding.remove((timer.command, timer))
        else:
            self._emit(
                CancelTimer(timer_id=timer.command.timer_id, started_event_id=timer.started_event_id, line=self._line()), timer
            )

    # What workflow code asks without commands; see Runtime.

    @property
    def info(self) -> WorkflowInfo:
        """The execution's identity."""
        started = self._started
        assert started is not None
        return WorkflowInfo(
            workflow_id=started.workflow_id,
            run_id=self.run_id,
            workflow_type=started.workflow_type,
            attempt=started.attempt,
            start_time=_utc(started.event_time),
            definition_hash=started.definition_hash,
            run_key=started.run_key,
            memo=self.converter.decode(started.memo) if started.memo else {},
            search_attributes=dict(started.search_attributes or {}),
        )

    def now(self) -> datetime:
        """Return the time of the current activation, UTC."""
        return _utc(self._time)

    def random(self) -> random.Random:
        """Return the execution's own generator."""
        if self._random is None:
            self._random = random.Random(self._started.random_seed if self._started else 0)  # noqa: S311, TID251  seeded
        return self._random

    def sleep(self, seconds: float, summary: str | None = None) -> Any:
        """Start a timer; the future is done when it fires."""
        future = SleepFuture(loop=self.loop)
        future.timer = self.start_timer(seconds, lambda: future.done() or future.set_result(None), summary)
        return future

    async def wait_condition(
        self, predicate: Callable[[], object], timeout: float | None = None, summary: str | None = None
    ) -> None:
        """Wait until ``predicate()`` is true; TimeoutError after ``timeout`` seconds."""
        if self._read_only_call(predicate, "a wait condition"):
            return
        future = OrderedFuture(loop=self.loop)
        self._conditions.append((predicate, future))
        await self.wait_for(future, timeout, summary)

    async def wait_for(self, future: OrderedFuture, timeout: float | None, summary: str | None = None) -> Any:
        """Await a future, at most ``timeout`` seconds; TimeoutError then."""
        if timeout is None:
            return await future

        def expire() -> None:
            if not future.done():
                future.set_exception(TimeoutError(f"nothing came within {timeout:g} s"))

        timer = self.start_timer(timeout, lambda: self.loop.call_soon(expire), summary)
        try:
            return await future
        finally:
            timer.cancel()

    def wait_for_signal(self, name: str, timeout: float | None = None) -> Any:
        """Wait for the next signal of this name."""
        return self.messages.wait_for(name, timeout)

    def set_handler(self, kind: str, name: str, handler: Callable[..., Any]) -> None:
        """Let a function answer signals or queries."""
        self.messages.set_handler(kind, name, handler)

    def side_effect(self, function: Callable[[], Any]) -> Any:
        """Run a function once and record what it returned."""
        if self._refuses():
            return None
        marker_id = self._number("side_effect")
        recorded = self.recorded_side_effects.pop(marker_id, None)
        if recorded is None:
            with guard.allow_io():
                value = function()
            recorded = self.converter.encode(value)
        details = {"id": Payload(f'"{marker_id}"'), "data": recorded}
        self._emit(RecordMarker(marker_name="side_effect", details=details, line=self._line()))
        return self.converter.decode(recorded)

    def log(self, level: int, message: str) -> None:
        """Log a line, once however often history is replayed."""
        if not self.is_replaying and not self._evicting:
            self.logs.append((level, message))

    def on_loop_exception(self, context: dict[str, Any]) -> None:
        """Hear of an exception that nobody retrieved."""
        error = context.get("exception")
        self.log(40, f"{context.get('message', 'an exception was never retrieved')}: {error!r}")

    def fail_from_handler(self, error: BaseException) -> None:
        """Fail the execution for an exception that escaped a signal handler."""
        if not self._evicting:
            self._fail(error)

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
        """
        with self.loop.running(), guard.guarded():
            return self._read_only_call(lambda: self.messages.answer(name, args), f"query {name!r}")

    def _read_only_call(self, function: Callable[[], Any], what: str) -> Any:
        previous, self._read_only = self._read_only, what
        try:
            return function()
        finally:
            self._read_only = previous

    def evict(self) -> None:
        """Take the coroutines down: nothing is recorded, nothing is printed, cleanup code may not wait."""
        self._evicting = True
        self.is_replaying = True  # cleanup code that runs now prints and logs nothing
        with self.loop.running():
            for task in reversed(list(self.loop.tasks)):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  asyncio's own switch
                try:
                    task.get_coro().close()  # type: ignore[union-attr]
                except BaseException:  # noqa: BLE001, S112  whatever cleanup code raises, the execution has left
                    continue
                task.cancel()  # its coroutine is closed: this only parts it from what it waited for
            self.loop.drain()
        for timer in self.timers.values():
            timer.forget_callback()
        self._conditions.clear()
        self.activities.clear()
        self.timers.clear()
        self._outstanding.clear()
        self._main = None
        self.messages.close()
        self.loop.close()


def _utc(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / _MICROSECOND, UTC)


def _names_agree(command: Command, event: HistoryEvent) -> bool:
    name = command.name
    return not name or name == name_of(event)


_APPLICATIONS: dict[type[HistoryEvent], Callable[[WorkflowInstance, Any], bool]] = {
    WorkflowExecutionStarted: WorkflowInstance._on_started,
    WorkflowExecutionSignaled: WorkflowInstance._on_signaled,
    WorkflowExecutionCancelRequested: WorkflowInstance._on_cancel_requested,
    WorkflowExecutionTerminated: WorkflowInstance._on_ended,
    WorkflowExecutionTimedOut: WorkflowInstance._on_ended,
    ActivityTaskStarted: WorkflowInstance._on_activity_started,
    ActivityTaskCompleted: WorkflowInstance._on_activity_completed,
    ActivityTaskFailed: WorkflowInstance._on_activity_failed,
    ActivityTaskTimedOut: WorkflowInstance._on_activity_failed,
    ActivityTaskCanceled: WorkflowInstance._on_activity_canceled,
    TimerFired: WorkflowInstance._on_timer_fired,
}


def _nothing(instance: WorkflowInstance, event: Any, target: Any) -> None:
    pass


_CONFIRMATIONS: dict[type[HistoryEvent], Callable[[WorkflowInstance, Any, Any], None]] = {
    ActivityTaskScheduled: WorkflowInstance._on_scheduled,
    ActivityTaskCancelRequested: WorkflowInstance._on_cancel_activity,
    TimerStarted: WorkflowInstance._on_timer_started,
    TimerCanceled: WorkflowInstance._on_timer_canceled,
    MarkerRecorded: _nothing,
    WorkflowExecutionCompleted: _nothing,
    WorkflowExecutionFailed: _nothing,
    WorkflowExecutionCanceled: _nothing,
}
