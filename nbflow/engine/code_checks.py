"""Live code: new code is tried on the open executions of its type, and those that it fits are moved to it.

Each history is replayed with the new code, in memory. The work is cut into slices that take their turn
in the engine's inbox, so that executions go on meanwhile; within a slice an execution stands still, so
it is moved exactly where its history was read to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nbflow.core.compatibility import CheckedExecution, Misfit, misfit_of
from nbflow.core.definitions import Definition
from nbflow.core.events import CLOSING_EVENTS, HistoryEvent, WorkflowExecutionStarted
from nbflow.core.instance import WorkflowInstance
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.parts import Parts
from nbflow.engine.residency import Residency
from nbflow.exceptions import StoreError

__all__ = ["CodeChecks", "Trial"]

_SLICE = 250
"""Executions between two looks at what else there is to do: about 0.1 s."""


@dataclass(slots=True, eq=False)
class Trial:
    """New code on trial.

    Parameters
    ----------
    definition
        The code.
    total
        How many executions it is tried on; known once it has begun.
    checked
        What came of it so far.
    """

    definition: Definition
    total: int = 0
    checked: list[CheckedExecution] = field(default_factory=list)
    waiting: deque[tuple[str, str]] = field(default_factory=deque)
    """Run and workflow ids of those to come."""
    lagging: list[tuple[str, str]] = field(default_factory=list)
    """Those whose last events are not in the log yet."""
    coming: set[str] = field(default_factory=set)
    """Runs that are to be in memory when they are moved, since the new code asks for something at once."""
    came: set[str] = field(default_factory=set)


class CodeChecks:
    """Tries new code on open executions; on the engine's thread.

    Parameters
    ----------
    parts
        The engine's parts.
    residency
        Has executions in memory, and knows which version each runs.
    problems
        Why parked executions can't go on, by run id: other code may be what they need.
    tell_if_stopped
        Remembers an answer, to be refused if the engine stops before it comes.
    """

    def __init__(
        self,
        parts: Parts,
        residency: Residency,
        problems: dict[str, Exception],
        tell_if_stopped: Callable[[Future[Any]], None],
    ) -> None:
        self._parts = parts
        self._residency = residency
        self._problems = problems
        self._tell_if_stopped = tell_if_stopped

    def behind(self, versions: Mapping[str, str], answer: Future[Any]) -> None:
        """Answer with how many open executions run another version of their code, by workflow type.

        Parameters
        ----------
        versions
            Definition hash of each type's current version.
        answer
            Gets a dict; types that have none are left out.
        """
        self._tell_if_stopped(answer)

        def count() -> dict[str, int]:
            counts: dict[str, int] = {}
            for run_id, _, name, started_with in self._parts.reader.open_versions(list(versions)):
                if self._is_behind(run_id, started_with, versions[name]):
                    counts[name] = counts.get(name, 0) + 1
            return counts

        self._parts.journal.answer_later(answer, count)

    def _is_behind(self, run_id: str, recorded: str, current: str) -> bool:
        known = self._residency.runs.get(run_id)
        return (recorded if known is None else known.definition_hash) != current

    def run(self, trial: Trial, answer: Future[Any]) -> None:
        """Try code on every open execution of its type that runs other code; answers with the trial.

        Parameters
        ----------
        trial
            To be filled.
        answer
            Comes once all moves are durable.
        """
        self._tell_if_stopped(answer)
        self._parts.journal.after_commit(self._begin, trial, answer)

    def _begin(self, trial: Trial, answer: Future[Any]) -> None:
        definition = trial.definition
        trial.waiting.extend(
            (run_id, workflow_id)
            for run_id, workflow_id, _, recorded in self._parts.reader.open_versions([definition.name])
            if self._is_behind(run_id, recorded, definition.hash)
        )
        trial.total = len(trial.waiting)
        self._parts.post(self._go_on, trial, answer)

    def _go_on(self, trial: Trial, answer: Future[Any]) -> None:
        if not trial.waiting and not trial.lagging:
            if not trial.coming:
                self._parts.journal.answer(answer, trial)
            return  # else whoever comes goes on
        if not trial.waiting:
            trial.waiting.extend(trial.lagging)
            trial.lagging.clear()
            self._parts.journal.after_commit(self._parts.post, self._go_on, trial, answer)
            return
        some = [trial.waiting.popleft() for _ in range(min(_SLICE, len(trial.waiting)))]
        try:
            self._try_slice(trial, some)
        except StoreError as error:
            self._try_one_by_one(trial, some, error)
        for run_id, workflow_id in some:
            if run_id in trial.coming:
                run = RunState(run_id, workflow_id, trial.definition.name, "Running")
                self._residency.when_resident(run, partial(self._come, trial, answer, run))
        self._parts.post(self._go_on, trial, answer)

    def _come(self, trial: Trial, answer: Future[Any], run: RunState, execution: Execution | None) -> None:  # noqa: ARG002
        """Go on with an execution that is in memory now, or can't be brought there."""
        is_idle = not trial.waiting and not trial.lagging
        trial.coming.discard(run.run_id)
        trial.came.add(run.run_id)
        trial.waiting.append((run.run_id, run.workflow_id))
        if is_idle:
            self._parts.post(self._go_on, trial, answer)

    def _try_one_by_one(self, trial: Trial, some: Sequence[tuple[str, str]], error: StoreError) -> None:
        """Find out whose history can't be read, so that the others are tried."""
        if len(some) > 1:
            for one in some:
                try:
                    self._try_slice(trial, [one])
                except StoreError as its_own:
                    self._try_one_by_one(trial, [one], its_own)
            return
        ((run_id, workflow_id),) = some
        misfit = Misfit(f"{type(error).__name__}: {error}", "restore the store's file from a backup")
        trial.checked.append(CheckedExecution(workflow_id, run_id, trial.definition.name, misfit))

    def _try_slice(self, trial: Trial, some: Sequence[tuple[str, str]]) -> None:
        histories = self._parts.reader.histories([run_id for run_id, _ in some])
        for run_id, workflow_id in some:
            history = histories.get(run_id, [])
            run = self._residency.runs.get(run_id)
            if run is not None and (run.closing_event is not None or run.definition_hash == trial.definition.hash):
                continue
            if run is not None and len(history) < run.last_event_id:
                trial.lagging.append((run_id, workflow_id))
            elif history and type(history[-1]) not in CLOSING_EVENTS:
                # a suspended one is resumed by its operators, with the code that it then moves to
                moves = run is None or run.status != "Suspended"
                misfit = self._try(trial, run_id, workflow_id, history, moves=moves)
                if run_id in trial.coming or (misfit is None and not moves):
                    continue
                trial.checked.append(CheckedExecution(workflow_id, run_id, trial.definition.name, misfit))

    def _try(
        self, trial: Trial, run_id: str, workflow_id: str, history: list[HistoryEvent], *, moves: bool
    ) -> Misfit | None:
        """Try code on one execution, and move it if the code fits."""
        definition = trial.definition
        started = history[0]
        assert isinstance(started, WorkflowExecutionStarted)
        instance = WorkflowInstance(run_id, definition, self._parts.converter)
        run = RunState(run_id, workflow_id, definition.name, "Running", definition.hash)
        resident = self._residency.executions.get(run_id)
        has_begun = resident is not None and not resident.is_delayed
        try:
            with self._parts.interpreter.watched(Execution(run, definition, instance, started)):
                misfit = misfit_of(instance, history, has_begun=has_begun)
        except Exception as error:  # noqa: BLE001  whatever is wrong with it, the others are to be tried
            return Misfit(f"{type(error).__name__}: {error}", "mend the code and run the cell again")
        if misfit is None and moves:
            self._parts.definitions.store(definition)
            self._move(trial, instance, run, history)
        elif misfit is None:
            instance.evict()
        return misfit

    def _move(self, trial: Trial, instance: WorkflowInstance, run: RunState, history: list[HistoryEvent]) -> None:
        execution = self._residency.executions.get(run.run_id)
        asks_for_more = bool(instance.outstanding)
        if asks_for_more and execution is None and run.run_id not in trial.came:
            # so that the move and what the code asks for are in one commit
            trial.coming.add(run.run_id)
            instance.evict()
            return
        self._residency.pins.pin(run.run_id, run.workflow_id, run.definition_hash, len(history))
        was_parked = self._problems.pop(run.run_id, None) is not None
        if execution is not None:
            self._parts.interpreter.replace_code(execution, instance.definition, instance)
            return
        instance.evict()
        if asks_for_more or was_parked:
            self._residency.recover([run.run_id])
