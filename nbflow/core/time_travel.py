"""An execution as it was at an event of its past: rebuilt in memory, looked at, and let go again.

What is seen is copied before the code leaves memory, so it stays as it was.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from nbflow.core import guard
from nbflow.core.commands import Command, CompleteWorkflowExecution, FailWorkflowExecution, SourceLine
from nbflow.core.compatibility import has_not_begun, source_line
from nbflow.core.definitions import Definition
from nbflow.core.events import CLOSING_EVENTS, COMMAND_EVENTS, ActivityTaskStarted, HistoryEvent, TimerStarted
from nbflow.core.failures import Failure
from nbflow.core.frames import frames_of_error, user_frames
from nbflow.core.instance import WorkflowInstance
from nbflow.core.payloads import Converter, Payload
from nbflow.core.replay import replay

__all__ = ["Frame", "Moment", "Pending", "Place", "ProducedCommand", "ask_past", "moments"]

_PLAIN = (int, float, str, bytes, bool, type(None))


@dataclass(frozen=True, slots=True)
class Place:
    """A line of source code."""

    file: str
    line: int
    text: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}"
        return f"{place}: {self.text}" if self.text else place


@dataclass(frozen=True, slots=True)
class Frame:
    """A function of user code that waits, or that raised: its name, where it stands, and its local variables."""

    function: str
    place: Place
    locals: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ProducedCommand:
    """Something the code asked for: by which event it was moved, the command as text, and the line that gave it."""

    event_id: int
    command: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Something the execution waits for: an ``"activity"``, a ``"timer"`` or a ``"signal"``.

    ``event_id`` is that of the event that began it (a signal has none), ``due`` microseconds since the epoch.
    """

    kind: str
    name: str
    event_id: int | None = None
    due: int | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What an execution was at one event."""

    event_id: int
    status: str
    tasks: Mapping[str, Sequence[Frame]]
    """Frames of each task that waits, the outermost first."""
    commands: Sequence[ProducedCommand]
    """Those of the whole replay; the first ``command_count`` of them had been asked for by then."""
    command_count: int
    pending: Sequence[Pending]
    result: Payload | None = None
    failure: Failure | None = None
    failed_at: Sequence[Frame] = ()
    """Where the code raised what failed the execution, the innermost last."""


class _Traveller(WorkflowInstance):
    """An instance that stops at events on the way and is looked at."""

    def __init__(self, run_id: str, definition: Definition, converter: Converter) -> None:
        super().__init__(run_id, definition, converter)
        self.stops: list[int] = []
        self.looks = True
        self.seen: dict[int, Moment] = {}
        self._commands: list[ProducedCommand] = []
        self._failed_at: Sequence[Frame] = ()
        self._due: dict[int, int | None] = {}

    def replay(self, activations: Iterable[Sequence[HistoryEvent]]) -> None:
        """Apply activations up to the last stop, and look at the execution at each stop.

        The whole history is known to the code, as it is in any replay; only no more of it is told than up to there.
        """
        self.is_replaying = True
        with self._surroundings:
            for part in (part for events in activations for part in _parts(events)):
                self._stop_below(part[-1].event_id)
                if not self.stops:
                    break
                self._context.run(self._advance, part)
                self._note_commands(part)
                self._stop_below(part[-1].event_id + 1)
            self._stop_below(math.inf)
        self.is_replaying = False

    def _stop_below(self, event_id: float) -> None:
        """Look at the execution for the stops before an event: events told together leave it as it was before them."""
        while self.stops and self.stops[0] < event_id:
            stop = self.stops.pop(0)
            if self.looks:
                with guard.allow_io(), self.loop.not_running():
                    self.seen[stop] = self._moment(stop)

    def _note_commands(self, part: Sequence[HistoryEvent]) -> None:
        event = part[-1]
        if type(event) is TimerStarted:
            self._due[event.event_id] = event.fire_time
        if type(event) not in COMMAND_EVENTS and type(event) is not ActivityTaskStarted:
            new = self.outstanding
            self._commands += [ProducedCommand(event.event_id, it.describe(), _place(it.line)) for it in new]

    def _line(self, command: Command) -> Command:
        """Note the line of every command."""
        recorded, self.recorded_commands = self.recorded_commands, ()
        try:
            return super()._line(command)
        finally:
            self.recorded_commands = recorded

    def _fail(self, error: BaseException) -> None:
        with guard.allow_io(), self.loop.not_running():
            self._failed_at = [self._frame(frame, line) for frame, line in frames_of_error(error)]
        super()._fail(error)

    def _moment(self, event_id: int) -> Moment:
        closing = self._closing_command
        failed = isinstance(closing, FailWorkflowExecution)
        return Moment(
            event_id=event_id,
            status=self._status(),
            tasks=self._tasks(),
            commands=self._commands,
            command_count=len(self._commands),
            pending=self._pending(),
            result=closing.result if isinstance(closing, CompleteWorkflowExecution) else None,
            failure=closing.failure if isinstance(closing, FailWorkflowExecution) else None,
            failed_at=self._failed_at if failed else (),
        )

    def _status(self) -> str:
        if self.pause is not None:
            return "Suspended" if self.pause.failure else "Paused"
        return "Running" if self.state == "New" else self.state

    def _tasks(self) -> dict[str, list[Frame]]:
        found: dict[str, list[Frame]] = {}
        for task in self.loop.tasks:
            frames = [self._frame(frame, frame.f_lasti) for frame in user_frames(task)]
            if frames:
                name = task.get_name()
                name = frames[0].function if name == "workflow task" else name
                number = sum(other == name or other.startswith(f"{name} #") for other in found)
                found[f"{name} #{number + 1}" if number else name] = frames
        return found

    def _frame(self, frame: FrameType, instruction: int) -> Frame:
        place = _place(SourceLine(frame.f_code, instruction))
        assert place is not None
        values = {name: self._copied(value) for name, value in dict(frame.f_locals).items()}
        return Frame(frame.f_code.co_name, place, values)

    def _copied(self, value: Any) -> Any:
        if type(value) in _PLAIN:
            return value
        try:
            # what belongs to the execution itself is not to be copied along
            return copy.deepcopy(value, {id(it): it for it in (self, self.loop)})
        except Exception:  # noqa: BLE001  whatever a class does when it is copied
            try:
                return repr(value)
            except Exception:  # noqa: BLE001  whatever a class does when it is written
                return f"<{type(value).__name__}>"

    def _pending(self) -> list[Pending]:
        activities = [Pending("activity", it.activity_type, event_id) for event_id, it in self.activities.items()]
        timers = [
            Pending("timer", timer.command.summary or timer.command.timer_id, event_id, self._due.get(event_id))
            for event_id, timer in self.timers.items()
        ]
        return [*activities, *timers, *(Pending("signal", name) for name in self.messages.awaited)]


def _parts(events: Sequence[HistoryEvent]) -> Iterator[Sequence[HistoryEvent]]:
    """Give the events at the beginning of an activation that move no code one by one, and then the rest."""
    first = 0
    while first < len(events) and (type(events[first]) in COMMAND_EVENTS or type(events[first]) is ActivityTaskStarted):
        yield events[first : first + 1]
        first += 1
    if first < len(events):
        yield events[first:]


def _place(line: SourceLine | None) -> Place | None:
    if line is None:
        return None
    return Place(line.code.co_filename, line.number, source_line(str(line)))


def moments(
    run_id: str, definition: Definition, converter: Converter, history: Sequence[HistoryEvent], stops: Iterable[int]
) -> dict[int, Moment]:
    """Rebuild an execution and look at it at some events.

    Parameters
    ----------
    run_id
        Which run.
    definition
        The code.
    converter
        Decodes values.
    history
        All of its events.
    stops
        Event ids.

    Returns
    -------
    dict of int to Moment
        By event id, in order.

    Raises
    ------
    NondeterminismError
        When the code does not fit the history.
    """
    return _travel(run_id, definition, converter, history, sorted(set(stops)), looks=True).seen


def _travel(
    run_id: str,
    definition: Definition,
    converter: Converter,
    history: Sequence[HistoryEvent],
    stops: list[int],
    *,
    looks: bool,
) -> _Traveller:
    instance = _Traveller(run_id, definition, converter)
    instance.stops, instance.looks = stops, looks
    if has_not_begun(history):
        instance.seen = {stop: Moment(stop, "Running", {}, (), 0, ()) for stop in stops}
    else:
        replay(instance, history)
    if looks:
        instance.evict()
    return instance


def ask_past(  # noqa: PLR0917  what a replay takes, and the query
    run_id: str,
    definition: Definition,
    converter: Converter,
    history: Sequence[HistoryEvent],
    until: int,
    query: tuple[str, Sequence[Any]],
) -> Any:
    """Rebuild an execution as it was at an event and ask it a query; its answer has gone through the converter.

    Parameters
    ----------
    run_id, definition, converter, history
        As :func:`moments` takes them.
    until
        The event. At a closing one the execution is asked as it was before it.
    query
        Name and arguments.
    """
    if type(history[until - 1]) in CLOSING_EVENTS:
        until -= 1
    instance = _travel(run_id, definition, converter, history, [until], looks=False)
    try:
        return converter.decode(converter.encode(instance.query(*query)))
    finally:
        instance.evict()
