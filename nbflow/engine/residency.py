"""Which executions are in memory: those that move, and the most recently moved of those that wait.

An execution that waits costs nothing but its rows. It comes back, with all others that are due,
by one query and a replay.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from nbflow.core.events import (
    CLOSING_EVENTS,
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskTimedOut,
    HistoryEvent,
    TimerStarted,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
)
from nbflow.core.instance import WorkflowInstance
from nbflow.core.replay import replay
from nbflow.engine.activities import Activities
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.interpreter import STATUS_OF_CLOSING_EVENT
from nbflow.engine.parts import Parts
from nbflow.engine.pins import Pins
from nbflow.exceptions import HistoryCorruptedError, StoreError
from nbflow.store import PendingAttempt

__all__ = ["Residency"]

_BATCH = 250
_MANY = 8
_SOON = 1_000_000
"""Microseconds: an execution that is due so soon does not leave memory before."""


class _Problems(Protocol):
    def __call__(self, run: RunState, error: Exception) -> None: ...


class Residency:
    """Brings executions into memory and lets them go.

    Parameters
    ----------
    parts
        The engine's parts.
    activities
        Takes up the activities of executions that come back.
    on_problem
        Hears of an execution that can't be brought back, and why.
    capacity
        How many waiting executions stay in memory.
    """

    def __init__(self, parts: Parts, activities: Activities, on_problem: _Problems, capacity: int) -> None:
        self._clock = parts.clock
        self._reader = parts.reader
        self._converter = parts.converter
        self._journal = parts.journal
        self._deadlines = parts.deadlines
        self._interpreter = parts.interpreter
        self._definitions = parts.definitions
        self._activities = activities
        self._on_problem = on_problem
        self._capacity = capacity
        self._wanted: dict[str, list[Callable[[Execution | None], None]]] = {}
        self._lagging: dict[str, list[Callable[[Execution | None], None]]] = {}
        self._horizon = 0
        self._expected: list[str] = []
        self.stopped: Exception | None = None
        """Why no execution comes back any more."""
        self.executions: OrderedDict[str, Execution] = OrderedDict()
        """In memory, by run id, least recently moved first."""
        self.runs: dict[str, RunState] = {}
        """What is known of executions: those in memory, and those that closed a short while ago."""
        self.pins = Pins(parts.reader, parts.journal, parts.clock, self.runs)
        """Which version of its code each execution runs."""
        self.on_returned: Callable[[Execution], None] = lambda execution: None  # noqa: ARG005
        self.on_forgotten: Callable[[RunState], None] = lambda run: None  # noqa: ARG005

    def add(self, execution: Execution) -> None:
        """Take in an execution that has just started."""
        self.executions[execution.run_id] = execution

    def remove(self, execution: Execution) -> None:
        """Let an execution go for good."""
        if self.executions.pop(execution.run_id, None) is not None:
            execution.instance.evict()

    def forget(self, run: RunState) -> None:
        """Drop what is known of an execution that is not in memory: the log knows it too."""
        if run.run_id not in self.executions and self.runs.pop(run.run_id, None) is run:
            self.on_forgotten(run)

    def touch(self, execution: Execution) -> None:
        """Note that an execution moved."""
        self.executions.move_to_end(execution.run_id)

    # Coming back.

    def when_resident(self, run: RunState, action: Callable[[Execution | None], None]) -> None:
        """Call back with the execution: now if it is in memory, else after the next :meth:`load_wanted`.

        ``None`` is handed over when it could not be brought back.
        """
        execution = self.executions.get(run.run_id)
        if execution is not None:
            self.touch(execution)
            action(execution)
        else:
            self._wanted.setdefault(run.run_id, []).append(action)

    @property
    def has_wanted(self) -> bool:
        """True if somebody waits for an execution to come back."""
        return bool(self._wanted)

    def load_wanted(self) -> None:
        """Bring back, by one query, up to a few hundred executions somebody waits for."""
        run_ids = list(self._wanted)[:_BATCH]
        waiting = {run_id: self._wanted.pop(run_id) for run_id in run_ids}
        missing = [run_id for run_id in run_ids if run_id not in self.executions]
        for run_id in self.load([*missing, *self._read_ahead(missing)]):
            if run_id in waiting:
                self._lagging.setdefault(run_id, []).extend(waiting.pop(run_id))
                self._journal.after_commit(self._want_lagging)
        for run_id, actions in waiting.items():
            for action in actions:
                action(self.executions.get(run_id))

    def expect(self, run_ids: Iterable[str]) -> None:
        """Take note of executions that may be wanted soon: those open when the store was opened."""
        self._expected += run_ids

    def _read_ahead(self, missing: Sequence[str]) -> list[str]:
        """Choose what else to bring back: who wants many at once after a start wants the others next."""
        if len(missing) < _MANY or not self._expected:
            return []
        room = min(_BATCH, self._capacity - len(self.executions)) - len(missing)
        chosen: list[str] = []
        while self._expected and len(chosen) < room:
            run_id = self._expected.pop()
            if run_id not in self.executions and run_id not in missing:
                chosen.append(run_id)
        return chosen

    def _want_lagging(self) -> None:
        for run_id, actions in self._lagging.items():
            self._wanted.setdefault(run_id, []).extend(actions)
        self._lagging.clear()

    def load(self, run_ids: Sequence[str]) -> list[str]:
        """Bring executions back: read their histories, replay them, take up their timers and activities.

        Parameters
        ----------
        run_ids
            Runs that are not in memory.

        Returns
        -------
        list of str
            Those that can't be brought back before the next commit: the log lags behind what was taken down.
        """
        if not run_ids:
            return []
        try:
            histories = self._reader.histories(run_ids)
            unsettled = [run_id for run_id, history in histories.items() if _has_open_activities(history)]
            pending = self._reader.pending_attempts(unsettled) if unsettled else {}
            pins = self.pins.of(run_ids)
        except StoreError as error:
            return self._load_one_by_one(run_ids, error)
        lagging = []
        for run_id in run_ids:
            history = histories.get(run_id)
            known = self.runs.get(run_id)
            if known is not None and known.is_open and len(history or ()) < known.last_event_id:
                lagging.append(run_id)
                continue
            if not history:
                continue
            run = self._run_of(run_id, history, pins)
            if type(history[-1]) in CLOSING_EVENTS:
                run.status = STATUS_OF_CLOSING_EVENT[type(history[-1])]
            if not run.is_open:  # or closed in memory, by an event that is not durable yet
                continue
            try:
                self._bring_back(run, history, pending)
            except Exception as error:  # noqa: BLE001  this one is parked, the others live
                self._park(run, error)
        return lagging

    def _load_one_by_one(self, run_ids: Sequence[str], error: StoreError) -> list[str]:
        """Find out whose history can't be read, so that the others live."""
        if len(run_ids) > 1:
            return [lagging for run_id in run_ids for lagging in self.load([run_id])]
        (run_id,) = run_ids
        self._on_problem(self.runs.get(run_id) or RunState(run_id, "", "", "Running"), error)
        return []

    def _park(self, run: RunState, error: Exception) -> None:
        """Take down what came back only in part."""
        execution = self.executions.get(run.run_id)
        if execution is not None:
            self._activities.drop(execution)
            for deadline in execution.deadlines.values():
                deadline.cancel()
            self.remove(execution)
        self._on_problem(run, error)

    def _bring_back(
        self, run: RunState, history: list[HistoryEvent], pending: Mapping[tuple[str, int], PendingAttempt]
    ) -> None:
        execution = self._rebuild(run, history)
        self.executions[run.run_id] = execution
        if execution.instance.outstanding:  # the code asks for more than it did: it was changed at its end
            self._interpreter.take_down_commands(execution)
        for event_id in list(execution.instance.activities):
            if event_id <= len(history):
                scheduled = history[event_id - 1]
                assert isinstance(scheduled, ActivityTaskScheduled)
                self._activities.resume(execution, scheduled, pending.get((run.run_id, event_id)))
        if run.run_id in self.executions:
            self.on_returned(execution)

    def _run_of(self, run_id: str, history: list[HistoryEvent], pins: Mapping[str, str]) -> RunState:
        run = self.runs.get(run_id)
        if run is None:
            started = history[0]
            if not isinstance(started, WorkflowExecutionStarted):
                msg = f"the history of run {run_id} does not begin with WorkflowExecutionStarted"
                raise HistoryCorruptedError(msg)
            pinned = pins.get(run_id, started.definition_hash)
            run = RunState(run_id, started.workflow_id, started.workflow_type, "Running", pinned)
            self.runs[run_id] = run
        return run

    def _rebuild(self, run: RunState, history: list[HistoryEvent]) -> Execution:
        started = history[0]
        assert isinstance(started, WorkflowExecutionStarted)
        definition = self._definitions.workflow(run.definition_hash, started.workflow_type)
        instance = WorkflowInstance(run.run_id, definition, self._converter)
        execution = Execution(run, definition, instance, started, next_event_id=len(history) + 1)
        execution.replayed_events = len(history)
        execution.last_event = history[-1]
        if len(history) > 1 and type(signal := history[1]) is WorkflowExecutionSignaled and signal.with_start:
            execution.start_signal = signal
        if len(history) == len(execution.first_events) and started.first_workflow_task_backoff:
            self._interpreter.begin(execution)
            return execution
        with self._interpreter.watched(execution):
            replay(instance, history)
        execution.note_pause()
        for event in history:
            if type(event) is ActivityTaskCancelRequested:
                execution.cancel_requests[event.scheduled_event_id] = event.event_id
        self.take_up_deadlines(execution, history)
        return execution

    def take_up_deadlines(self, execution: Execution, history: list[HistoryEvent]) -> None:
        """Enter what an execution waits for among the deadlines."""
        for event_id in execution.instance.timers:
            timer = history[event_id - 1]
            assert isinstance(timer, TimerStarted)
            self._interpreter.start_timer(execution, timer)
        self._interpreter.watch_expiration(execution)

    # Leaving.

    def evict_surplus(self) -> None:
        """Let the least recently moved waiting executions go, down to the capacity."""
        surplus = len(self.executions) - self._capacity
        if surplus <= 0:
            return
        soon = self._clock.now() + _SOON
        for execution in list(itertools.islice(self.executions.values(), surplus)):
            earliest = min((deadline.due for deadline in execution.deadlines.values()), default=None)
            moves = execution.tasks or execution.is_delayed or execution.last_batch > self._journal.committed
            if moves or (earliest is not None and earliest <= soon):
                self.touch(execution)
            else:
                self._evict(execution, earliest)

    def _evict(self, execution: Execution, earliest: int | None) -> None:
        for deadline in execution.deadlines.values():
            deadline.cancel()
        execution.deadlines.clear()
        if earliest is not None and earliest <= self._horizon:
            self._deadlines.add(earliest, self._wake, execution.run_id)
        self.remove(execution)
        self.forget(execution.run)

    # Deadlines of executions that are not in memory.

    def look_ahead(self, window: int) -> None:
        """Enter the deadlines of executions not in memory for the next ``window`` microseconds; then look again."""
        now = self._clock.now()
        self._horizon = now + window
        for run_id, due in self._reader.due(self._horizon):
            if run_id not in self.executions:
                self._deadlines.add(due, self._wake, run_id)
        self._deadlines.add(self._horizon, self.look_ahead, window)

    def _wake(self, run_id: str) -> None:
        run = self.runs.get(run_id)
        if run_id not in self.executions and (run is None or run.is_open):
            self._wanted.setdefault(run_id, [])

    def give_up(self, error: Exception) -> None:
        """Tell everybody who waits for an execution why it will not come back."""
        self.stopped = error
        self._want_lagging()
        wanted, self._wanted = self._wanted, {}
        for actions in wanted.values():
            for action in actions:
                action(None)

    def recover(self, run_ids: Iterable[str]) -> None:
        """Bring back what was running when the last process ended."""
        for run_id in run_ids:
            self._wanted.setdefault(run_id, [])


def _has_open_activities(history: list[HistoryEvent]) -> bool:
    scheduled = sum(type(event) is ActivityTaskScheduled for event in history)
    return scheduled > sum(type(event) in _ACTIVITY_OUTCOMES for event in history)


_ACTIVITY_OUTCOMES = frozenset({ActivityTaskCompleted, ActivityTaskFailed, ActivityTaskTimedOut, ActivityTaskCanceled})
