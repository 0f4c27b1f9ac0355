"""Which executions are in memory: those that move, and the most recently moved of those that wait.

An execution that waits costs nothing but its rows. It comes back, with all others that are due,
by one query and a replay.
"""

from __future__ import annotations

import itertools
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from nbflow.core.definitions import REGISTRY, Definition, DefinitionKind
from nbflow.core.events import (
    CLOSING_EVENTS,
    ActivityTaskCancelRequested,
    ActivityTaskScheduled,
    HistoryEvent,
    TimerStarted,
    WorkflowExecutionStarted,
)
from nbflow.core.instance import WorkflowInstance
from nbflow.core.payloads import Converter
from nbflow.core.replay import replay
from nbflow.core.restore import restore_definition
from nbflow.engine.activities import Activities
from nbflow.engine.clock import Clock
from nbflow.engine.deadlines import Deadlines
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.interpreter import STATUS_OF_CLOSING_EVENT, Interpreter
from nbflow.engine.journal import Journal
from nbflow.exceptions import HistoryCorruptedError, MissingDefinitionError
from nbflow.store import DefinitionRow, PendingAttempt, Reader

__all__ = ["Definitions", "Residency"]

_BATCH = 250
_SOON = 1_000_000
"""Microseconds: an execution that is due so soon does not leave memory before."""


class Definitions:
    """Finds definitions: of this process, or rebuilt from the store.

    Parameters
    ----------
    reader
        Reads stored definitions.
    journal, clock
        Take down definitions that the store does not have yet.
    """

    def __init__(self, reader: Reader, journal: Journal, clock: Clock) -> None:
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._stored: dict[tuple[str, str], str] = {}
        """Hash of the latest stored definition, by kind and name; as far as known."""
        self._restored: dict[tuple[str, str], Definition] = {}
        self._this_turn: dict[str, Definition] = {}

    def activity(self, name: str) -> Definition | None:
        """Return an activity's current definition, or the stored one; None if there is neither."""
        definition = self._this_turn.get(name)
        if definition is None:
            definition = REGISTRY.current("activity", name)
            if definition is not None:
                self.store(definition)
            else:
                definition = self._latest("activity", name)
            if definition is not None:
                self._this_turn[name] = definition
        return definition

    def begin_turn(self) -> None:
        """Look anew for current definitions: they may have changed since the last turn."""
        self._this_turn.clear()

    def workflow(self, hash_: str, name: str) -> Definition:
        """Return the workflow definition that an execution is pinned to.

        Raises
        ------
        MissingDefinitionError
            When it is neither here nor can be rebuilt.
        """
        definition = REGISTRY.by_hash("workflow", hash_)
        if definition is None:
            current = REGISTRY.current("workflow", name)
            if current is not None and current.hash == hash_:
                return current
            row = self._reader.definition(hash_)
            if row is None:
                msg = f"the definition {hash_[:12]} of workflow {name!r} is neither in this process nor in the store"
                raise MissingDefinitionError(msg)
            definition = REGISTRY.remember(self._restore(row))
        return definition

    def _latest(self, kind: DefinitionKind, name: str) -> Definition | None:
        row = self._reader.latest_definition(kind, name)
        return None if row is None else self._restore(row)

    def _find(self, kind: DefinitionKind, name: str) -> Definition | None:
        return REGISTRY.current(kind, name) or self._latest(kind, name)

    def _restore(self, row: DefinitionRow) -> Definition:
        key = (row.kind, row.hash)
        if key not in self._restored:
            kind: DefinitionKind = "workflow" if row.kind == "workflow" else "activity"
            self._restored[key] = restore_definition(kind, row.name, row.hash, row.source, row.manifest, self._find)
        return self._restored[key]

    def store(self, definition: Definition) -> None:
        """Take a definition down, unless it is the latest of its name in the store."""
        name = (definition.kind, definition.name)
        if self._stored.get(name) == definition.hash:
            return
        if name not in self._stored:
            row = self._reader.latest_definition(*name)
            if row is not None and row.hash == definition.hash:
                self._stored[name] = definition.hash
                self._store_used(definition)
                return
        self._stored[name] = definition.hash
        self._journal.batch.definitions.append(
            DefinitionRow(
                definition.hash,
                definition.kind,
                definition.name,
                definition.source,
                definition.manifest,
                self._clock.now(),
            )
        )
        self._store_used(definition)

    def _store_used(self, definition: Definition) -> None:
        """Take down what a definition calls too: a process without the cells will need it."""
        for entry in (json.loads(definition.manifest or "{}").get("globals") or {}).values():
            if "definition" in entry:
                used = REGISTRY.current(*entry["definition"])
                if used is not None:
                    self.store(used)

    def find_class(self, module: str, qualname: str) -> type | None:
        """Find a class of a notebook whose cells have not run, among rebuilt definitions."""
        for definition in self._restored.values():
            found = definition.bindings.get(qualname)
            if isinstance(found, type) and found.__module__ == module:
                return found
        return None


class _Problems(Protocol):
    def __call__(self, run: RunState, error: Exception) -> None: ...


class Residency:
    """Brings executions into memory and lets them go.

    Parameters
    ----------
    clock, reader, converter, journal, deadlines, interpreter, activities, definitions
        The engine's parts.
    on_problem
        Hears of an execution that can't be brought back, and why.
    capacity
        How many waiting executions stay in memory.
    """

    def __init__(
        self,
        clock: Clock,
        reader: Reader,
        converter: Converter,
        journal: Journal,
        deadlines: Deadlines,
        interpreter: Interpreter,
        activities: Activities,
        definitions: Definitions,
        on_problem: _Problems,
        capacity: int,
    ) -> None:
        self._clock = clock
        self._reader = reader
        self._converter = converter
        self._journal = journal
        self._deadlines = deadlines
        self._interpreter = interpreter
        self._activities = activities
        self._definitions = definitions
        self._on_problem = on_problem
        self._capacity = capacity
        self._wanted: dict[str, list[Callable[[Execution | None], None]]] = {}
        self._horizon = 0
        self.executions: OrderedDict[str, Execution] = OrderedDict()
        """In memory, by run id, least recently moved first."""
        self.runs: dict[str, RunState] = {}
        """What is known of executions: those in memory, and those that closed a short while ago."""
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
        self.load([run_id for run_id in run_ids if run_id not in self.executions])
        for run_id, actions in waiting.items():
            for action in actions:
                action(self.executions.get(run_id))

    def load(self, run_ids: Sequence[str]) -> None:
        """Bring executions back: read their histories, replay them, take up their timers and activities."""
        if not run_ids:
            return
        histories = self._reader.histories(run_ids)
        pending = self._reader.pending_attempts(run_ids)
        for run_id in run_ids:
            history = histories.get(run_id)
            if not history:
                continue
            run = self._run_of(run_id, history)
            if type(history[-1]) in CLOSING_EVENTS:
                run.status = STATUS_OF_CLOSING_EVENT[type(history[-1])]
            if run.status != "Running":  # or closed in memory, by an event that is not durable yet
                continue
            try:
                self._bring_back(run, history, pending)
            except Exception as error:  # noqa: BLE001  this one is parked, the others live
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

    def _run_of(self, run_id: str, history: list[HistoryEvent]) -> RunState:
        run = self.runs.get(run_id)
        if run is None:
            started = history[0]
            if not isinstance(started, WorkflowExecutionStarted):
                msg = f"the history of run {run_id} does not begin with WorkflowExecutionStarted"
                raise HistoryCorruptedError(msg)
            run = RunState(run_id, started.workflow_id, started.workflow_type, "Running", started.definition_hash)
            self.runs[run_id] = run
        return run

    def _rebuild(self, run: RunState, history: list[HistoryEvent]) -> Execution:
        started = history[0]
        assert isinstance(started, WorkflowExecutionStarted)
        definition = self._definitions.workflow(started.definition_hash, started.workflow_type)
        instance = WorkflowInstance(run.run_id, definition, self._converter)
        execution = Execution(run, definition, instance, started, next_event_id=len(history) + 1)
        execution.replayed_events = len(history)
        execution.last_event = history[-1]
        if len(history) == 1 and started.first_workflow_task_backoff:
            self._interpreter.begin(execution)
            return execution
        replay(instance, history)
        for event in history:
            if type(event) is ActivityTaskCancelRequested:
                execution.cancel_requests[event.scheduled_event_id] = event.event_id
        self._take_up_deadlines(execution, history)
        return execution

    def _take_up_deadlines(self, execution: Execution, history: list[HistoryEvent]) -> None:
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
        """Enter the deadlines, of executions not in memory, that come within ``window`` microseconds; then look again."""
        now = self._clock.now()
        self._horizon = now + window
        for run_id, due in self._reader.due(self._horizon):
            if run_id not in self.executions:
                self._deadlines.add(due, self._wake, run_id)
        self._deadlines.add(self._horizon, self.look_ahead, window)

    def _wake(self, run_id: str) -> None:
        run = self.runs.get(run_id)
        if run_id not in self.executions and (run is None or run.status == "Running"):
            self._wanted.setdefault(run_id, [])

    def give_up(self) -> None:
        """Tell everybody who waits for an execution that it will not come back."""
        wanted, self._wanted = self._wanted, {}
        for actions in wanted.values():
            for action in actions:
                action(None)

    def recover(self, run_ids: Iterable[str]) -> None:
        """Bring back what was running when the last process ended."""
        for run_id in run_ids:
            self._wanted.setdefault(run_id, [])
