"""What workflow code asks of its execution, answered by commands, by waiting, or at once.

Every method first checks that the code may ask at all: a query and a wait condition may only read,
and the cleanup code of an execution that leaves memory gets nothing any more.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from nbflow.core import guard
from nbflow.core.commands import (
    ActivityOptions,
    CancelTimer,
    Command,
    ModifyWorkflowProperties,
    RecordMarker,
    RequestCancelActivityTask,
    ScheduleActivityTask,
    SourceLine,
    StartTimer,
    UpsertSearchAttributes,
)
from nbflow.core.continuing import continue_as_new
from nbflow.core.definitions import Definition
from nbflow.core.events import ActivityTaskScheduled, HistoryEvent, WorkflowExecutionStarted
from nbflow.core.frames import is_user_code
from nbflow.core.handlers import RunningHandlers
from nbflow.core.history_size import HistorySize
from nbflow.core.loop import DeterministicLoop, OrderedFuture
from nbflow.core.messages import Messages
from nbflow.core.operations import ActivityHandle, DurableTimer, SleepFuture
from nbflow.core.options import WorkflowOptions
from nbflow.core.outbox import Outbox
from nbflow.core.patches import Patches, is_listed
from nbflow.core.payloads import Converter, Payload
from nbflow.core.relations import Relations
from nbflow.core.runtime import WorkflowInfo
from nbflow.core.search_attributes import checked_search_attributes
from nbflow.core.self_description import SelfDescription
from nbflow.core.updates import Updates
from nbflow.core.workflow_info import info_of
from nbflow.exceptions import ConfigurationError, ContinueAsNew, ReadOnlyContextError, WorkflowEvicted

__all__ = ["EmbeddedRuntime", "LogLine"]

_MICROSECOND = 1_000_000
_LAST_MOMENT = 253_402_300_799
"""Seconds since the epoch: the end of the year 9999, which is as far as ``datetime`` goes."""

_REFUSALS_BEFORE_PARKING = 100

LogLine = tuple[int, str]
"""Level and message."""


class EmbeddedRuntime:
    """The :class:`~nbflow.core.runtime.Runtime` of one embedded execution.

    Parameters
    ----------
    run_id
        Which run it is.
    definition
        The code, at the version the execution is pinned to.
    converter
        Encodes arguments and results at the moment a command is made.
    """

    messages: Messages
    updates: Updates
    running_handlers: RunningHandlers
    relations: Relations

    def __init__(self, run_id: str, definition: Definition, converter: Converter) -> None:
        self.run_id = run_id
        self.definition = definition
        self.converter = converter
        self.loop = DeterministicLoop(self, run_id)  # type: ignore[abstract]  # the rest is set by name, in a loop
        self.is_replaying = False
        self.sdk_turns = False
        """True in the replay of a history that Temporal's own SDK wrote: waking takes as many turns as there."""
        self.logs: list[LogLine] = []
        """Lines that the code logged since the owner last took them."""
        self.recorded_commands: Sequence[HistoryEvent] = ()
        """Events that record commands, as far as a replay knows them."""
        self.recorded_side_effects: dict[str, Payload] = {}
        """Values of markers that replay will ask for, by marker id."""
        self.description = SelfDescription(converter)
        self.patches = Patches()
        self.history_size = HistorySize()
        self._outbox = Outbox()
        self._confirmed = 0
        self._last_event_id = 0
        self._conditions: list[tuple[Callable[[], object], OrderedFuture]] = []
        self._started: WorkflowExecutionStarted | None = None
        self._time = 0
        self._activity_count = 0
        self._timer_count = 0
        self._side_effect_count = 0
        self._random: random.Random | None = None
        self._reader = ""
        """Who may only read at this moment: a query, a wait condition; empty if nobody."""
        self._is_evicted = False
        self._refusals = 0
        self._closing = False

    # May the code ask?

    def check_may_change(self, what: str) -> None:
        """Raise ReadOnlyContextError while a query or a wait condition runs."""
        if self._reader:
            msg = f"{self._reader} may only read: it can't {what}"
            raise ReadOnlyContextError(msg)

    def _refuses(self, what: str) -> bool:
        """Say whether this evicted code must be parked; raises WorkflowEvicted the first times it asks for anything."""
        if self._reader:
            self.check_may_change(what)
        if not self._is_evicted:
            return False
        self._refusals += 1
        if self._refusals <= _REFUSALS_BEFORE_PARKING:
            raise WorkflowEvicted(self.run_id)
        return True

    def _read_only_call(self, function: Callable[[], Any], reader: str) -> Any:
        """Call a function that may only read."""
        outer, self._reader = self._reader, reader
        ready = self.loop.ready_count
        try:
            return function()
        finally:
            self._reader = outer
            if self.loop.ready_count > ready:
                self._refuse_wakings(self.loop.ready_count - ready, reader)

    def _refuse_wakings(self, count: int, reader: str) -> None:
        self.loop.forget_newest(count)
        msg = f"{reader} may only read: it woke something that waits"
        raise ReadOnlyContextError(msg)

    def settle_in_turns(self, turns: int, future: OrderedFuture, settle: Callable[[], None]) -> None:
        """Settle a future as :meth:`in_turns` wakes, unless it is done by then."""

        def unless_done() -> None:
            if not future.done():
                settle()

        self.in_turns(turns, unless_done)

    def in_turns(self, turns: int, wake: Callable[[], None]) -> None:
        """Wake something: at once, or in a history of Temporal's SDK so many turns of the loop later, as there."""
        if not self.sdk_turns or turns == 0:
            wake()
        else:
            self.loop.call_soon(lambda: self.in_turns(turns - 1, wake))

    # Commands.

    def _emit(self, command: Command, target: Any = None) -> None:
        if not self._closing:
            self._outbox.add(command, target)

    def _next_recorded(self) -> HistoryEvent | None:
        """The event that will record the next command, if this is a replay and nothing was withdrawn."""
        position = self._confirmed + len(self._outbox)
        return self.recorded_commands[position] if position < len(self.recorded_commands) else None

    def _line(self, command: Command) -> Command:
        """Note where user code is; only a misfit with history needs it, so only replay asks."""
        if not self.is_replaying:
            return command
        recorded = self._next_recorded()
        if recorded is None or not command.fits(recorded):
            object.__setattr__(command, "line", _line_of_user_code())
        return command

    # For core's other parts.

    @property
    def started(self) -> WorkflowExecutionStarted:
        """The execution's first event."""
        assert self._started is not None
        return self._started

    @property
    def last_event_id(self) -> int:
        """How long the history was when the code last had something to react to."""
        return self._last_event_id

    @property
    def is_evicted(self) -> bool:
        """True while the execution leaves memory."""
        return self._is_evicted

    @property
    def next_recorded(self) -> HistoryEvent | None:
        """The event that will record the next command, if this is a replay and nothing was withdrawn."""
        return self._next_recorded()

    def refuses(self, what: str) -> bool:
        """Say whether this evicted code must be parked; raises if the code may only read, or is evicted."""
        return self._refuses(what)

    def ask_for(self, command: Command, target: Any = None) -> None:
        """Ask for something; ``target`` hears when it is recorded."""
        self._emit(self._line(command), target)

    def noting_line(self, command: Command) -> Command:
        """Note where user code is, for a command that is asked for later."""
        return self._line(command)

    def withdraw(self, command: Command) -> None:
        """Ask no more for something that was asked for in this activation."""
        self._outbox.withdraw(command)

    def continue_as_new(
        self,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
        options: WorkflowOptions | None = None,
    ) -> ContinueAsNew:
        """Make what workflow code raises to go on as a new run."""
        return continue_as_new(self, name, args, kwargs, options)

    def start_activity(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, options: ActivityOptions
    ) -> Any:
        """Schedule an activity; see :class:`~nbflow.core.runtime.Runtime`."""
        if (self._reader or self._is_evicted) and self._refuses(f"start activity {name}"):
            return OrderedFuture(loop=self.loop)
        self._activity_count += 1
        activity_id = str(self._activity_count)
        recorded = self._recorded_activity(activity_id, name) if self.is_replaying else None
        if recorded is not None:  # its arguments were encoded then
            positional, keywords = recorded.input, recorded.keyword_input
        else:
            positional = self.converter.encode(list(args))
            keywords = self.converter.encode(dict(kwargs)) if kwargs else None
        command = ScheduleActivityTask(
            activity_id=activity_id, activity_type=name, input=positional, keyword_input=keywords, options=options
        )
        handle = ActivityHandle(self, command)
        self._emit(self._line(command), handle)
        return handle

    def _recorded_activity(self, activity_id: str, name: str) -> ActivityTaskScheduled | None:
        recorded = self._next_recorded()
        if type(recorded) is not ActivityTaskScheduled:
            return None
        return recorded if (recorded.activity_id, recorded.activity_type) == (activity_id, name) else None

    def cancel_activity(self, handle: ActivityHandle, reason: Any) -> bool:
        """Cancel an activity the way its cancellation type says; False if it was done."""
        if handle.done():
            return False
        self.check_may_change(f"cancel activity {handle.activity_type}")
        if self._is_evicted:
            return handle.cancel_now(reason)
        if handle.scheduled_event_id is None:
            self._outbox.withdraw(handle.command)
            return handle.cancel_now(reason)
        kind = handle.command.options.cancellation_type
        if kind != "ABANDON" and not handle.cancel_requested:
            handle.cancel_requested = True
            self._emit(self._line(RequestCancelActivityTask(scheduled_event_id=handle.scheduled_event_id)), handle)
        return True if kind == "WAIT_CANCELLATION_COMPLETED" else handle.cancel_now(reason)

    def start_timer(self, seconds: float, callback: Callable[[], object], summary: str | None = None) -> DurableTimer:
        """Start a durable timer that calls back."""
        is_parked = self._refuses("start a timer")
        if not math.isfinite(seconds) or self.loop.now + seconds > _LAST_MOMENT:
            msg = f"a timer can't wait {seconds!r} s: it must be due before the year 10000"
            raise ConfigurationError(msg)
        seconds = round(seconds, 6)
        self._timer_count += 1
        command = StartTimer(timer_id=str(self._timer_count), start_to_fire_timeout=seconds, summary=summary)
        timer = DurableTimer(self, command, self.loop.now + seconds, callback)
        if not is_parked:
            self._emit(self._line(command), timer)
        return timer

    def cancel_timer(self, timer: DurableTimer) -> None:
        """Forget a timer; one started in this activation leaves no event."""
        self.check_may_change(f"cancel timer {timer.command.timer_id}")
        timer.cancel_now()
        if self._is_evicted or self._closing:
            return
        if timer.started_event_id is None:
            self._outbox.withdraw(timer.command)
        else:
            command = CancelTimer(timer_id=timer.command.timer_id, started_event_id=timer.started_event_id)
            self._emit(self._line(command), timer)

    def side_effect(self, function: Callable[[], Any]) -> Any:
        """Run a function once and record what it returned."""
        if self._refuses("have a side effect"):
            return None
        self._side_effect_count += 1
        marker_id = str(self._side_effect_count)
        recorded = self.recorded_side_effects.pop(marker_id, None)
        if recorded is None:
            with guard.allow_io(), self.loop.not_running():
                value = function()
            recorded = self.converter.encode(value)
        details = {"id": Payload(f'"{marker_id}"'), "data": recorded}
        self._emit(self._line(RecordMarker(marker_name="side_effect", details=details)))
        return self.converter.decode(recorded)

    # What the execution says of itself.

    def upsert_search_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Change the search attributes."""
        if not self._refuses("change search attributes"):
            checked = checked_search_attributes(attributes, may_remove=True)
            self.description.change_search_attributes(checked)
            self._emit(self._line(UpsertSearchAttributes(search_attributes=checked)))

    def upsert_memo(self, memo: Mapping[str, Any]) -> None:
        """Change the memo."""
        if not self._refuses("change the memo"):
            self._emit(self._line(ModifyWorkflowProperties(upserted_memo=self.description.change_memo(memo))))

    def set_details(self, details: str) -> None:
        """Say how things stand."""
        if not self._refuses("set details"):
            self.description.details = str(details)

    def patched(self, patch_id: str, *, deprecated: bool = False) -> bool:
        """Say whether the code takes a patch's path; the first True leaves a marker."""
        answer = self.patches.known(patch_id)
        if answer is not None or self._refuses(f"ask for patch {patch_id!r}"):
            return bool(answer)
        goes_over_old_ground = self.is_replaying and self._last_event_id < self.patches.live_from
        answer = self.patches.decide(patch_id, is_replaying=goes_over_old_ground)
        if answer:
            self._emit(self._line(self.patches.marker(patch_id, deprecated=deprecated)))
            listed = self.patches.change_version()
            self.description.change_search_attributes(listed.search_attributes)
            if not goes_over_old_ground or is_listed(self.recorded_commands, patch_id):
                self._emit(self._line(listed))
        return answer

    # Waiting.

    def sleep(self, seconds: float, summary: str | None = None) -> Any:
        """Start a timer; the future is done when it fires."""
        future = SleepFuture(loop=self.loop)
        future.timer = self.start_timer(seconds, lambda: self.in_turns(1, future.wake), summary)
        return future

    def wait_condition(
        self, predicate: Callable[[], object], timeout: float | None = None, summary: str | None = None
    ) -> Awaitable[None]:
        """Wait until ``predicate()`` is true; TimeoutError after ``timeout`` seconds."""
        self._refuses("wait for a condition")
        return self._wait_condition(predicate, timeout, summary)

    async def _wait_condition(
        self, predicate: Callable[[], object], timeout: float | None, summary: str | None
    ) -> None:
        if self._read_only_call(predicate, "a wait condition"):
            return
        future = OrderedFuture(loop=self.loop)
        self._conditions.append((predicate, future))
        try:
            await self.wait_for(future, timeout, summary)
        finally:
            del future  # as in wait_for

    def _wake_conditions(self) -> bool:
        """Look at the wait conditions in order; True if one of them holds."""
        woken, waiting = False, []
        for predicate, future in self._conditions:
            if future.done():
                continue
            try:
                if not self._read_only_call(predicate, "a wait condition"):
                    waiting.append((predicate, future))
                    continue
                future.set_result(None)
            except BaseException as error:  # noqa: BLE001  handed to whoever waits
                _hand_over(error, future)
            woken = True
        self._conditions = waiting
        return woken

    async def wait_for(self, future: OrderedFuture, timeout: float | None, summary: str | None = None) -> Any:
        """Await a future, at most ``timeout`` seconds; TimeoutError then."""
        if timeout is None:
            return await future

        # One turn later, so that what arrived in the same activation comes first.
        timer = self.start_timer(timeout, partial(self.loop.call_soon, _expire, future, timeout), summary)
        try:
            return await future
        finally:
            timer.cancel()
            del future  # it holds the error, whose traceback holds this frame

    def wait_for_signal(self, name: str, timeout: float | None = None, summary: str | None = None) -> Any:
        """Wait for the next signal of this name."""
        self._refuses(f"wait for signal {name!r}")
        return self.messages.wait_for(name, timeout, summary)

    def set_handler(self, kind: str, name: str, handler: Callable[..., Any], unfinished_policy: str = "warn") -> None:
        """Let a function answer signals, queries or updates, or look at updates first."""
        self.check_may_change(f"handle {kind} {name!r}")
        if kind == "update":
            self.updates.set_handler(name, handler, unfinished_policy)
        elif kind == "validator":
            self.updates.set_validator(name, handler)
        else:
            self.messages.set_handler(kind, name, handler, unfinished_policy)

    def all_handlers_finished(self) -> bool:
        """Say whether no handler of a signal or an update is under way."""
        return self.running_handlers.all_finished

    # Answers.

    @property
    def info(self) -> WorkflowInfo:
        """What the execution knows of itself."""
        return info_of(self)

    def now(self) -> datetime:
        """Return the time of the current activation, UTC."""
        return _utc(self._time)

    def random(self) -> random.Random:
        """Return the execution's own generator."""
        if self._random is None:
            self._random = random.Random(self._started.random_seed if self._started else 0)
        return self._random

    def log(self, level: int, message: str) -> None:
        """Log a line, once however often history is replayed."""
        if not self.is_replaying:
            self.logs.append((level, message))

    def on_loop_exception(self, context: dict[str, Any]) -> None:
        """Hear of an exception that nobody retrieved."""
        error, source = context.get("exception"), context.get("task") or context.get("future")
        what = context.get("message", "a callback raised")
        if isinstance(source, asyncio.Task):
            what = f"task {source.get_name()!r} failed and nobody asked for its result"
        try:
            text = repr(error)
        except Exception:  # noqa: BLE001  a __repr__ that raises must not hide the message
            text = type(error).__name__
        self.log(40, f"{what}: {text}")


def _hand_over(error: BaseException, future: OrderedFuture) -> None:
    """Let an exception come out where a future is awaited."""
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    elif isinstance(error, StopIteration):
        wrapped = RuntimeError("a wait condition raised StopIteration")
        wrapped.__cause__ = error
        future.set_exception(wrapped)
    else:
        future.set_exception(error)


def _expire(future: OrderedFuture, timeout: float) -> None:
    if not future.done():
        future.set_exception(TimeoutError(f"nothing came within {timeout:g} s"))


def _line_of_user_code() -> SourceLine | None:
    frame = sys._getframe(1)  # noqa: SLF001  the only way up the stack
    while frame is not None:
        if is_user_code(frame.f_code.co_filename):
            return SourceLine(frame.f_code, frame.f_lasti)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _utc(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / _MICROSECOND, UTC)
