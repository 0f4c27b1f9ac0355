"""Pauses: of executions, by somebody or because their code raised, and of single activities.

A paused execution goes on to take events down; its code does not run, and no attempt begins. A
suspended one is paused by its own failure: the activation that raised is taken back, and runs once
more, with what came meanwhile, when the execution is resumed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.events import (
    HistoryEvent,
    WorkflowExecutionPaused,
    WorkflowExecutionUnpaused,
)
from nbflow.core.failures import Failure, exception_of_failure
from nbflow.core.instance import WorkflowInstance
from nbflow.core.replay import replay
from nbflow.engine.activities import Activities
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.parts import Parts
from nbflow.engine.past import Past
from nbflow.engine.residency import Residency
from nbflow.exceptions import ClientError, WorkflowSuspendedError
from nbflow.store import LogRow, NoteRow

__all__ = ["Pausing"]


class Pausing:
    """Pauses and resumes executions and activities, on the engine's thread.

    Parameters
    ----------
    parts
        The engine's parts.
    residency
        Brings executions into memory.
    activities
        Holds attempts back.
    identity
        Who this process is, for the history.
    on_suspended
        Hears of an execution whose code raised.
    """

    def __init__(
        self,
        parts: Parts,
        residency: Residency,
        activities: Activities,
        identity: str,
        on_suspended: Callable[[RunState, Exception], None],
    ) -> None:
        self._clock = parts.clock
        self._converter = parts.converter
        self._journal = parts.journal
        self._interpreter = parts.interpreter
        self._definitions = parts.definitions
        self._past = Past(parts.reader, parts.journal)
        self._residency = residency
        self._activities = activities
        self._identity = identity
        self._on_suspended = on_suspended
        self.suspended: dict[str, RunState] = {}
        """Runs whose code raised and that wait to be mended."""
        self._tried: dict[str, str] = {}
        """Versions that did not fit, by run id."""
        parts.interpreter.suspend = self.suspend

    # Executions.

    def pause(self, execution: Execution, reason: str) -> bool:
        """Let the code of an execution rest; False if it rests already."""
        if execution.is_paused:
            return False
        self._take_down(
            execution,
            lambda event_id, now: [
                WorkflowExecutionPaused(event_id=event_id, event_time=now, reason=reason, identity=self._identity)
            ],
        )
        self._activities.hold(execution.tasks.values())
        return True

    def unpause(self, execution: Execution, reason: str) -> bool:
        """Let an execution go on that somebody paused; False if it is not paused.

        Raises
        ------
        ClientError
            When it is suspended.
        """
        if not execution.is_paused:
            return False
        if execution.run.status == "Suspended":
            msg = (
                f"execution {execution.workflow_id!r} is suspended, because its code raised: mend the workflow and "
                f"run its cell again, or call .resume()"
            )
            raise ClientError(msg)
        self._end_pause(execution, reason)
        return True

    def _end_pause(self, execution: Execution, reason: str) -> None:
        self._take_down(
            execution,
            lambda event_id, now: [
                WorkflowExecutionUnpaused(event_id=event_id, event_time=now, reason=reason, identity=self._identity)
            ],
        )
        if not execution.is_paused:  # it may have been suspended at once
            self._activities.let_go(list(execution.tasks.values()))

    def _take_down(self, execution: Execution, make: Callable[[int, int], list[HistoryEvent]]) -> None:
        self._interpreter.deliver(execution, make)
        if execution.run.is_open:
            execution.note_pause()

    # Suspended executions.

    def suspend(self, execution: Execution, failure: Failure) -> None:
        """Take an activation back whose code raised, and keep the execution open."""
        event = WorkflowExecutionPaused(
            event_id=execution.next_event_id,
            event_time=self._clock.now(),
            reason=failure.headline(),
            identity=self._identity,
            failure=failure,
        )
        self._interpreter.append(execution, event)
        self._stand(execution, execution.definition)
        self._activities.hold(execution.tasks.values())
        self.suspended[execution.run_id] = execution.run
        self._on_suspended(execution.run, self.error_of(execution.run, failure))

    def error_of(self, run: RunState, failure: Failure) -> WorkflowSuspendedError:
        """Return what a caller who waits for a suspended execution is told."""
        error = WorkflowSuspendedError(run.workflow_id, run.run_id, run.workflow_type, failure.headline())
        error.__cause__ = exception_of_failure(failure, self._converter)
        return error

    def _stand(self, execution: Execution, definition: Definition) -> None:
        """Bring the code of a paused execution to where its history stands."""
        history = self._past.history(execution.run_id)
        instance = WorkflowInstance(execution.run_id, definition, self._converter)
        with self._interpreter.watched(execution):
            replay(instance, history)
        execution.instance.evict()
        execution.instance, execution.definition = instance, definition
        for deadline in execution.deadlines.values():
            deadline.cancel()
        execution.deadlines.clear()
        execution.note_pause()
        self._residency.take_up_deadlines(execution, history)

    def resume(self, execution: Execution, definition: Definition | None = None) -> bool:
        """Let a suspended execution try again; False if it is not suspended.

        Parameters
        ----------
        execution
            In memory.
        definition
            The code to go on with; default what is current.

        Raises
        ------
        NondeterminismError
            When the code does not fit the history; the execution stays suspended.
        """
        if execution.run.status != "Suspended":
            return False
        definition = definition or self._current(execution)
        if definition.hash != execution.definition.hash:
            self._definitions.store(definition)
            self._stand(execution, definition)
            self._pin(execution, definition)
        self.suspended.pop(execution.run_id, None)
        self._end_pause(execution, "resumed")
        return True

    def _current(self, execution: Execution) -> Definition:
        return REGISTRY.current("workflow", execution.run.workflow_type) or execution.definition

    def _pin(self, execution: Execution, definition: Definition) -> None:
        last_event_id = execution.next_event_id - 1
        self._residency.pins.pin(execution.run_id, execution.workflow_id, definition.hash, last_event_id)

    def note(self, execution: Execution, kind: str, body: dict[str, Any]) -> None:
        """Take down what an operator did that is no event."""
        row = NoteRow(execution.run_id, execution.workflow_id, self._clock.now(), kind, json.dumps(body))
        self._journal.batch.notes.append(row)

    def tell_misfit(self, run: RunState, definition: Definition, error: Exception) -> None:
        """Take down why a suspended execution does not go on with the new code, and try that version no more."""
        self._tried[run.run_id] = definition.hash
        message = (
            f"the execution stays suspended: the new {run.workflow_type} (definition {definition.hash[:12]}) does not "
            f"fit it: {type(error).__name__}: {error}"
        )
        row = LogRow(run.run_id, run.workflow_id, None, None, self._clock.now(), "ERROR", "nbflow.engine", message)
        self._journal.batch.logs.append(row)

    def mended(self) -> list[tuple[RunState, Definition]]:
        """List suspended executions whose workflow has other code now than that which raised."""
        found = []
        current: dict[str, Definition | None] = {}
        for run in list(self.suspended.values()):
            if run.status != "Suspended":
                del self.suspended[run.run_id]
                continue
            if run.workflow_type not in current:
                current[run.workflow_type] = REGISTRY.current("workflow", run.workflow_type)
            definition = current[run.workflow_type]
            known = run.definition_hash, self._tried.get(run.run_id)
            if definition is not None and definition.hash not in known:
                found.append((run, definition))
        return found
