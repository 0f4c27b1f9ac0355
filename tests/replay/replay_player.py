"""The test plays the engine: a clock that stands still between moves, outcomes as the test says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from replay_others import Others, others_of

from nbflow.core.commands import record
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
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionPaused,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionUnpaused,
    WorkflowExecutionUpdateAccepted,
)
from nbflow.core.failures import Failure, TimeoutType, failure_of_exception, timeout_failure
from nbflow.core.instance import WorkflowInstance
from nbflow.core.payloads import Converter, JsonConverter, Payload
from nbflow.core.replay import replay

START = 1_760_000_000_000_000
"""Microseconds: a day in October 2025."""

SHORT = {
    "WorkflowExecutionStarted": "Started",
    "WorkflowExecutionCompleted": "Completed",
    "WorkflowExecutionFailed": "Failed",
    "WorkflowExecutionCanceled": "Canceled",
    "WorkflowExecutionSignaled": "Signaled",
    "WorkflowExecutionCancelRequested": "CancelRequested",
    "WorkflowExecutionTimedOut": "TimedOut",
    "WorkflowExecutionTerminated": "Terminated",
    "WorkflowExecutionUpdateAccepted": "UpdateAccepted",
    "WorkflowExecutionUpdateCompleted": "UpdateCompleted",
}


def definition_of(function: Callable[..., Any], hash_: str = "one") -> Definition:
    """Make a definition of a plain function, or take a workflow's own."""
    if hasattr(function, "definition"):
        return function.definition()
    return Definition(kind="workflow", name=function.__name__, function=function, hash=hash_)


def short_types(history: Sequence[HistoryEvent]) -> list[str]:
    """Names of the events; those of the execution itself without their long prefix."""
    return [SHORT.get(type(event).__name__, type(event).__name__) for event in history]


class Player:
    """One execution and its engine."""

    def __init__(
        self, function: Callable[..., Any], *args: Any, converter: Converter | None = None, run_id: str = "run-1"
    ) -> None:
        self.definition = definition_of(function)
        self.converter = converter or JsonConverter()
        self.run_id = run_id
        self.now = START
        self.history: list[HistoryEvent] = []
        self.activities: dict[int, ActivityTaskScheduled] = {}
        self.timers: dict[int, TimerStarted] = {}
        self.others = Others(self)
        self.cancel_requests: dict[int, int] = {}
        self.logs: list[tuple[int, str]] = []
        self.instance = self.fresh()
        self.args = args

    def fresh(self) -> WorkflowInstance:
        """Make an instance that has seen nothing."""
        return WorkflowInstance(self.run_id, self.definition, self.converter)

    def encode(self, value: Any) -> Payload:
        return self.converter.encode(value)

    # What the engine does.

    def start(self, **attributes: Any) -> Player:
        """Start the execution."""
        attributes = {"definition_hash": self.definition.hash, "random_seed": 7, **attributes}
        self.deliver(
            (
                WorkflowExecutionStarted,
                {
                    "workflow_type": self.definition.name,
                    "workflow_id": "wf-1",
                    "input": self.encode(list(self.args)),
                    **attributes,
                },
            )
        )
        return self

    def deliver(self, *made: tuple[type[HistoryEvent], dict[str, Any]], wait: int = 1000) -> Player:
        """Let events from outside reach the code, one activation, and record what it asks for."""
        self.now += wait
        events = []
        for cls, attributes in made:
            event = cls(event_id=len(self.history) + 1, event_time=self.now, **attributes)
            self.history.append(event)
            events.append(event)
            self._note(event)
        self.instance.activate(events)
        self.record()
        return self

    def record(self) -> None:
        """Record the outstanding commands."""
        for command in self.instance.outstanding:
            event = record(command, len(self.history) + 1, self.now)
            self.history.append(event)
            self.instance.confirm(event)
            self._note(event)
        self.logs += self.instance.logs
        self.instance.logs.clear()

    def _note(self, event: HistoryEvent) -> None:
        self.others.note(event)
        match event:
            case ActivityTaskScheduled():
                self.activities[event.event_id] = event
            case ActivityTaskCancelRequested():
                self.cancel_requests[event.scheduled_event_id] = event.event_id
            case ActivityTaskCompleted() | ActivityTaskFailed() | ActivityTaskTimedOut() | ActivityTaskCanceled():
                del self.activities[event.scheduled_event_id]
            case TimerStarted():
                self.timers[event.event_id] = event
            case TimerFired() | TimerCanceled():
                del self.timers[event.started_event_id]

    # What the world does.

    def pending(self, which: int | str = 0) -> ActivityTaskScheduled:
        """Find a pending activity by its place, or the oldest of a name."""
        if isinstance(which, str):
            return next(event for event in self.activities.values() if event.activity_type == which)
        return list(self.activities.values())[which]

    def _outcome(
        self, scheduled: ActivityTaskScheduled, cls: type[HistoryEvent], *, ran: bool = True, attempt: int = 1,
        last_failure: Failure | None = None, **attributes: Any,
    ) -> Player:  # fmt: skip
        position, made = len(self.history) + 1, []
        if ran:
            started = {
                "scheduled_event_id": scheduled.event_id,
                "attempt": attempt,
                "started_time": self.now,
                "last_failure": last_failure,
            }
            made.append((ActivityTaskStarted, started))
        attributes = {
            "scheduled_event_id": scheduled.event_id,
            "started_event_id": position if ran else None,
            **attributes,
        }
        return self.deliver(*made, (cls, attributes))

    def run(self, which: int | str = 0, **started: Any) -> Player:
        """Run a pending activity's own function, and tell its outcome."""
        scheduled = self.pending(which)
        activity = self.definition.function.__globals__[scheduled.activity_type]
        try:
            value = _value(activity.function(*self.converter.decode(scheduled.input)))
        except Exception as error:
            return self.fail(which, error, **started)
        return self.complete(which, value, **started)

    def complete(self, which: int | str = 0, result: Any = None, **started: Any) -> Player:
        return self._outcome(self.pending(which), ActivityTaskCompleted, result=self.encode(result), **started)

    def fail(
        self, which: int | str, error: BaseException, retry_state: str = "MAXIMUM_ATTEMPTS_REACHED", **started: Any
    ) -> Player:
        failure = failure_of_exception(error, self.converter)
        return self._outcome(
            self.pending(which), ActivityTaskFailed, failure=failure, retry_state=retry_state, **started
        )

    def time_out(
        self, which: int | str = 0, timeout_type: str = TimeoutType.START_TO_CLOSE, *, ran: bool = True, **started: Any
    ) -> Player:
        failure = timeout_failure(timeout_type, f"activity {timeout_type} timeout")
        return self._outcome(self.pending(which), ActivityTaskTimedOut, failure=failure, ran=ran, **started)

    def let_cancel(self, which: int | str = 0, *, ran: bool = True) -> Player:
        """Let an activity obey the cancellation that was requested."""
        scheduled = self.pending(which)
        requested = self.cancel_requests[scheduled.event_id]
        return self._outcome(scheduled, ActivityTaskCanceled, ran=ran, latest_cancel_requested_event_id=requested)

    def fire(self) -> Player:
        """Let time pass until the next timer is due."""
        timer = min(self.timers.values(), key=lambda timer: (timer.fire_time, timer.event_id))
        self.now = max(self.now, timer.fire_time)
        attributes = {"timer_id": timer.timer_id, "started_event_id": timer.event_id}
        return self.deliver((TimerFired, attributes), wait=0)

    def signal(self, name: str, *args: Any) -> Player:
        attributes = {"signal_name": name, "input": self.encode(list(args))}
        return self.deliver((WorkflowExecutionSignaled, attributes))

    def update(self, name: str, *args: Any, update_id: str | None = None) -> Player:
        """Have an update looked at, and handled if it is not rejected; raises what rejects it."""
        self.instance.validate_update(name, self.encode(list(args)))
        update_id = update_id or f"update-{len(self.history) + 1}"
        attributes = {"update_id": update_id, "update_name": name, "input": self.encode(list(args))}
        return self.deliver((WorkflowExecutionUpdateAccepted, attributes))

    def cancel(self, cause: str = "") -> Player:
        return self.deliver((WorkflowExecutionCancelRequested, {"cause": cause}))

    def pause(self) -> Player:
        return self.deliver((WorkflowExecutionPaused, {"reason": "lunch"}))

    def unpause(self) -> Player:
        return self.deliver((WorkflowExecutionUnpaused, {}))

    def terminate(self) -> Player:
        return self.deliver((WorkflowExecutionTerminated, {"reason": "enough"}))

    # What the test sees.

    @property
    def types(self) -> list[str]:
        """Names of the events so far."""
        return short_types(self.history)

    @property
    def status(self) -> str:
        return self.instance.state

    @property
    def result(self) -> Any:
        """What the execution returned."""
        closing = self.history[-1]
        assert hasattr(closing, "result"), f"not completed: {closing}"
        return self.converter.decode(closing.result)

    @property
    def failure(self) -> Failure:
        """How the execution failed."""
        closing = self.history[-1]
        assert hasattr(closing, "failure"), f"not failed: {closing}"
        return closing.failure

    def replayed(self, length: int | None = None) -> WorkflowInstance:
        """Rebuild the execution from the first events of its history; one cut off before its end ends live."""
        instance = self.fresh()
        until = len(self.history) if length is None else length
        rest = self.history[until : until + 1]
        replay(instance, self.history[:until], ends_live=any(type(event) in COMMAND_EVENTS for event in rest))
        return instance

    def close(self) -> None:
        self.instance.evict()


def _value(returned: Any) -> Any:
    """Run what an ``async def`` activity returned; it waits for nothing."""
    if not inspect.iscoroutine(returned):
        return returned
    try:
        returned.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError


def continue_with(player: Player, instance: WorkflowInstance, cut: int) -> list[HistoryEvent]:
    """Go on behind the first ``cut`` events with what came from outside later; returns the history that comes out."""
    written = list(player.history[:cut])
    waiting: list[HistoryEvent] = []

    def take_down(times: Sequence[HistoryEvent]) -> None:
        for command, at in zip(instance.outstanding, times, strict=False):
            event = record(command, len(written) + 1, at.event_time)
            written.append(event)
            instance.confirm(event)

    take_down(player.history[cut:])
    for event in player.history[cut:]:
        if type(event) in COMMAND_EVENTS:
            continue
        waiting.append(event)
        if type(event) is not ActivityTaskStarted:
            written += waiting
            instance.activate(waiting)
            waiting = []
            take_down(player.history[len(written) :])
    return written


def snapshot(instance: WorkflowInstance) -> dict[str, Any]:
    """Everything that can be seen of an execution from outside."""
    return {
        "state": instance.state,
        "closed": instance.is_closed,
        "cancel_requested": instance.cancel_requested,
        "activities": {
            key: (it.activity_type, it.activity_id, it.state, it.cancel_requested, it.done())
            for key, it in instance.activities.items()
        },
        "updates": {key: update.state for key, update in instance.updates.accepted.items()},
        "all_handlers_finished": instance.running_handlers.all_finished,
        "timers": {key: (timer.command.timer_id, timer.state) for key, timer in instance.timers.items()},
        "relations": others_of(instance),
        "awaited": [] if instance.is_closed else instance.messages.awaited,
    }
