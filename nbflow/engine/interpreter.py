"""Events into executions, commands out of them, and both into the journal.

Every event that reaches workflow code goes through :meth:`Interpreter.deliver`: it is taken down,
the code runs until it blocks, and what the code asked for is taken down behind it, in one batch.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from nbflow.core.commands import FailWorkflowExecution, record
from nbflow.core.definitions import Definition
from nbflow.core.events import (
    CLOSING_EVENTS,
    ActivityTaskCancelRequested,
    ActivityTaskScheduled,
    HistoryEvent,
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionInitiated,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionContinuedAsNew,
    WorkflowExecutionFailed,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
    WorkflowExecutionUpdateCompleted,
)
from nbflow.core.failures import Failure
from nbflow.core.instance import WorkflowInstance
from nbflow.core.run_times import run_deadline
from nbflow.engine.clock import Clock
from nbflow.engine.deadlines import Deadlines
from nbflow.engine.execution import Execution
from nbflow.engine.journal import Journal
from nbflow.engine.levels import level_name
from nbflow.store import LogRow

if TYPE_CHECKING:
    from nbflow.engine.between import Between
    from nbflow.engine.chains import Chains

__all__ = ["STATUS_OF_CLOSING_EVENT", "Interpreter", "failure_of"]

STATUS_OF_CLOSING_EVENT: dict[type[HistoryEvent], str] = {
    WorkflowExecutionCompleted: "Completed",
    WorkflowExecutionFailed: "Failed",
    WorkflowExecutionTimedOut: "TimedOut",
    WorkflowExecutionCanceled: "Canceled",
    WorkflowExecutionTerminated: "Terminated",
    WorkflowExecutionContinuedAsNew: "ContinuedAsNew",
}


class ActivityPort(Protocol):
    """What the interpreter asks of whoever runs activities."""

    def schedule(self, execution: Execution, event: ActivityTaskScheduled) -> bool:
        """Take on an activity; True if its first attempt must wait for a dispatch row."""
        ...

    def request_cancel(self, execution: Execution, event: ActivityTaskCancelRequested) -> None:
        """Pass on a cancellation."""
        ...

    def drop(self, execution: Execution) -> None:
        """Forget the activities of an execution that closed."""
        ...


class Interpreter:
    """Runs workflow code and takes down what it asks for.

    Parameters
    ----------
    clock
        Gives events their time.
    journal
        Takes events down.
    deadlines
        Holds timers.
    on_closed
        Hears, before the commit, that an execution closed.
    on_problem
        Hears that an execution's code can't go on, and why.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        deadlines: Deadlines,
        on_closed: Callable[[Execution, HistoryEvent], None],
        on_problem: Callable[[Execution, Exception], None],
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._deadlines = deadlines
        self._on_closed = on_closed
        self._on_problem = on_problem
        self.activities: ActivityPort
        self.on_begun: Callable[[Execution], None]
        """Hears that the start delay of an execution is over and its code has run."""
        self.on_update_completed: Callable[[Execution, WorkflowExecutionUpdateCompleted], None]
        self.suspend: Callable[[Execution, Failure], None]
        """Keeps an execution open whose code raised."""
        self.between: Between
        """Sees to what executions owe each other."""
        self.chains: Chains
        """Starts the runs that follow a run."""
        self.now_running: tuple[Execution, float, int] | None = None
        """The execution whose code runs at this moment, since when (monotonic seconds), and on which thread."""
        self.interrupt_lock = threading.Lock()
        self.was_interrupted = False

    @contextmanager
    def watched(self, execution: Execution) -> Iterator[None]:
        """Have the watchdog look at the code of an execution that runs in the block."""
        self.now_running = (execution, time.monotonic(), threading.get_ident())
        try:
            yield
        finally:
            self._end_of_user_code()

    def _end_of_user_code(self) -> None:
        """From here on the watchdog may not interrupt: an interruption on its way is taken back."""
        with self.interrupt_lock:
            self.now_running = None
            if self.was_interrupted:
                self.was_interrupted = False
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.get_ident()), None)

    def append(self, execution: Execution, event: HistoryEvent, *, deferred: bool = False) -> None:
        """Take down an event of an execution."""
        execution.next_event_id = event.event_id + 1
        execution.run.last_event_id = event.event_id
        execution.last_batch = self._journal.sequence
        execution.last_event = event
        self._journal.event(execution.run_id, execution.workflow_id, event, deferred=deferred)

    def deliver(self, execution: Execution, make: Callable[[int, int], list[HistoryEvent]]) -> None:
        """Take down what came from outside, and let the code react.

        Parameters
        ----------
        execution
            An open execution in memory.
        make
            Makes the events of the next event id and the time.
        """
        now = self._clock.now()
        if execution.is_delayed:  # in one activation with the start, so its time must say so too
            now = min(now, execution.deadlines["start"].due - 1)
        events = make(execution.next_event_id, now)
        for event in events:
            self.append(execution, event)
        if not execution.is_delayed:
            self.activate(execution, events)
            return
        # Whatever comes during the start delay ends it: both are one activation.
        execution.is_delayed = False
        self.forget_deadline(execution, "start")
        self.activate(execution, [*execution.first_events, *events])
        self.on_begun(execution)

    def react(self, execution: Execution, events: list[HistoryEvent]) -> None:
        """Let the code react to events that are durable already, and next in the history."""
        last = events[-1]
        execution.next_event_id = last.event_id + 1
        execution.run.last_event_id = last.event_id
        execution.last_event = last
        self.activate(execution, events)

    def activate(self, execution: Execution, events: list[HistoryEvent]) -> None:
        """Let the code react to events that are taken down already."""
        instance = execution.instance
        try:
            with self.watched(execution):
                instance.activate(events)
            self.take_down_commands(execution)
        except Exception as error:  # noqa: BLE001  the execution is parked, the engine lives
            self._on_problem(execution, error)
            return
        if instance.logs:
            self._take_down_logs(execution)
        closing = events[-1]
        if type(closing) in CLOSING_EVENTS:
            self.close(execution, closing)

    def take_down_commands(self, execution: Execution) -> None:
        """Record what the code asked for, and see to it."""
        instance = execution.instance
        if execution.started.on_error == "suspend" and (failure := failure_of(instance)) is not None:
            self.suspend(execution, failure)
            return
        now = self._clock.now()
        for command in instance.outstanding:
            event = record(command, execution.next_event_id, now)
            deferred = False
            kind = type(event)
            if kind in CLOSING_EVENTS:
                event = self.chains.before_closing(execution, event)
            if kind is ActivityTaskScheduled:
                deferred = self.activities.schedule(execution, event)  # type: ignore[arg-type]
            self.append(execution, event, deferred=deferred)
            instance.confirm(event)
            handler = _AFTER_COMMAND.get(kind)
            if handler is not None:
                handler(self, execution, event)
            elif kind in CLOSING_EVENTS:
                self.close(execution, event)
                return

    def replace_code(self, execution: Execution, definition: Definition, instance: WorkflowInstance) -> None:
        """Let an execution go on with another instance, which stands where the old one did.

        Its timers and activities stay as they are. What the new code asks for beyond the history is taken down.

        Parameters
        ----------
        execution
            In memory.
        definition, instance
            The new code, replayed to the end of its history.
        """
        old, execution.instance, execution.definition = execution.instance, instance, definition
        execution.last_batch = self._journal.sequence
        with self.watched(execution):
            old.evict()
        if instance.outstanding:
            try:
                self.take_down_commands(execution)
            except Exception as error:  # noqa: BLE001  the execution is parked, the engine lives
                self._on_problem(execution, error)

    def close(self, execution: Execution, event: HistoryEvent) -> None:
        """See an execution out that has its closing event."""
        execution.run.status = STATUS_OF_CLOSING_EVENT[type(event)]
        for deadline in execution.deadlines.values():
            deadline.cancel()
        execution.deadlines.clear()
        self.activities.drop(execution)
        self.between.on_closing(execution, event)
        self._on_closed(execution, event)
        self.chains.after_closing(execution, event)

    def start_timer(self, execution: Execution, event: TimerStarted) -> None:
        """Enter a timer among the deadlines."""
        due = event.fire_time or event.event_time + round(event.start_to_fire_timeout * 1_000_000)
        execution.deadlines[event.event_id] = self._deadlines.add(due, self.fire_timer, execution, event.event_id)

    def fire_timer(self, execution: Execution, started_event_id: int, identity: str | None = None) -> None:
        """Fire a pending timer."""
        timer = execution.instance.timers[started_event_id]
        self.forget_deadline(execution, started_event_id)
        timer_id = timer.command.timer_id
        self.deliver(
            execution,
            lambda event_id, now: [
                TimerFired(
                    event_id=event_id,
                    event_time=now,
                    timer_id=timer_id,
                    started_event_id=started_event_id,
                    identity=identity,
                )
            ],
        )

    def _cancel_timer(self, execution: Execution, event: TimerCanceled) -> None:
        self.forget_deadline(execution, event.started_event_id)

    def _cancel_activity(self, execution: Execution, event: ActivityTaskCancelRequested) -> None:
        self.activities.request_cancel(execution, event)

    def _complete_update(self, execution: Execution, event: WorkflowExecutionUpdateCompleted) -> None:
        self.on_update_completed(execution, event)

    def forget_deadline(self, execution: Execution, key: Any) -> None:
        """Cancel one of an execution's deadlines, if it is there."""
        deadline = execution.deadlines.pop(key, None)
        if deadline is not None:
            deadline.cancel()

    def expire(self, execution: Execution) -> None:
        """Close an execution whose time is up; its code does not run."""
        self.deliver(execution, lambda event_id, now: [self.chains.timed_out(execution, event_id, now)])

    def begin(self, execution: Execution) -> None:
        """Run the first lines, at once or when the start delay is over."""
        started = execution.started
        self.watch_expiration(execution)
        if started.first_workflow_task_backoff:
            execution.is_delayed = True
            due = started.event_time + round(started.first_workflow_task_backoff * 1_000_000)
            execution.deadlines["start"] = self._deadlines.add(due, self._begin_delayed, execution)
        else:
            self.activate(execution, execution.first_events)

    def watch_expiration(self, execution: Execution) -> None:
        """Enter the execution's own timeout among the deadlines, if it has one."""
        due = run_deadline(execution.started)
        if due is not None:
            execution.deadlines["expiration"] = self._deadlines.add(due, self.expire, execution)

    def begin_if_due(self, execution: Execution) -> None:
        """Run the first lines of an execution whose start delay is over, although its deadline has not come up yet."""
        if execution.is_delayed and execution.deadlines["start"].due <= self._clock.now():
            self._begin_delayed(execution)

    def _begin_delayed(self, execution: Execution) -> None:
        execution.is_delayed = False
        self.forget_deadline(execution, "start")
        self.activate(execution, execution.first_events)
        self.on_begun(execution)

    def _ask_others(self, execution: Execution, event: HistoryEvent) -> None:
        self.between.on_initiated(execution, event)

    def _take_down_logs(self, execution: Execution) -> None:
        now = self._clock.now()
        lines, execution.instance.logs = execution.instance.logs, []
        for level, message in lines:
            self._journal.batch.logs.append(
                LogRow(
                    execution.run_id,
                    execution.workflow_id,
                    None,
                    None,
                    now,
                    level_name(level),
                    "nbflow.workflow",
                    message,
                )
            )


def failure_of(instance: WorkflowInstance) -> Failure | None:
    """Return what the code let pass in this activation, if it did."""
    failures = [command.failure for command in instance.outstanding if isinstance(command, FailWorkflowExecution)]
    return failures[0] if failures else None


_AFTER_COMMAND: dict[type[HistoryEvent], Callable[[Interpreter, Execution, Any], None]] = {
    TimerStarted: Interpreter.start_timer,
    StartChildWorkflowExecutionInitiated: Interpreter._ask_others,  # noqa: SLF001  own class
    SignalExternalWorkflowExecutionInitiated: Interpreter._ask_others,  # noqa: SLF001  own class
    RequestCancelExternalWorkflowExecutionInitiated: Interpreter._ask_others,  # noqa: SLF001  own class
    TimerCanceled: Interpreter._cancel_timer,  # noqa: SLF001  own class
    ActivityTaskCancelRequested: Interpreter._cancel_activity,  # noqa: SLF001  own class
    WorkflowExecutionUpdateCompleted: Interpreter._complete_update,  # noqa: SLF001  own class
}
