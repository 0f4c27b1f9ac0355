"""What operators ask for: pause, resume, retry at once. Each answers once it is durable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from nbflow.core.definitions import Definition
from nbflow.core.events import WorkflowExecutionPaused
from nbflow.engine.activities import Activities
from nbflow.engine.execution import ActivityTask, Execution, RunState
from nbflow.engine.journal import Journal
from nbflow.engine.parts import Parts
from nbflow.engine.past import Past
from nbflow.engine.pausing import Pausing
from nbflow.engine.requests import Requests, require_text
from nbflow.engine.residency import Residency
from nbflow.exceptions import ClientError, WorkflowClosedError, WorkflowSuspendedError
from nbflow.store import RunRow

__all__ = ["Operators"]

Answer = Future[Any]


class Operators:
    """Serves operators, on the engine's thread.

    Parameters
    ----------
    parts
        The engine's parts.
    residency
        Brings executions into memory.
    activities
        Holds attempts back, and starts them.
    requests
        Finds executions, and knows who waits for them.
    identity
        Who this process is, for the history.
    """

    def __init__(
        self, parts: Parts, residency: Residency, activities: Activities, requests: Requests, identity: str
    ) -> None:
        self._reader = parts.reader
        self._journal: Journal = parts.journal
        self._interpreter = parts.interpreter
        self._residency = residency
        self._activities = activities
        self._requests = requests
        self._identity = identity
        self._past = Past(parts.reader, parts.journal)
        self.pausing = Pausing(parts, residency, activities, identity, self._on_suspended)
        self._resuming: set[str] = set()
        requests.suspension = self._suspension

    def know(self, run_ids: Sequence[str], answer: Answer) -> None:
        """Read of many runs by one query what the requests that follow will ask."""
        runs = self._residency.runs
        for row in self._reader.runs([run_id for run_id in run_ids if run_id not in runs]).values():
            runs[row.run_id] = RunState(row.run_id, row.workflow_id, row.workflow_type, row.status, row.definition_hash)
        answer.set_result(None)

    # Executions.

    def pause(self, workflow_id: str, run_id: str | None, reason: str, answer: Answer) -> None:
        """Pause an execution; answers whether it was not paused already."""
        require_text("the reason of a pause", reason)
        self._do(workflow_id, run_id, answer, lambda execution: self.pausing.pause(execution, reason))

    def unpause(self, workflow_id: str, run_id: str | None, reason: str, answer: Answer) -> None:
        """Let a paused execution go on; answers whether it was paused."""
        require_text("the reason of the end of a pause", reason)
        self._do(workflow_id, run_id, answer, lambda execution: self.pausing.unpause(execution, reason))

    def resume(self, workflow_id: str, run_id: str | None, answer: Answer) -> None:
        """Let a suspended execution try again with today's code; answers whether it was suspended."""
        self._do(workflow_id, run_id, answer, self.pausing.resume)

    def _do(self, workflow_id: str, run_id: str | None, answer: Answer, action: Callable[[Execution], bool]) -> None:
        run = self._requests.find(workflow_id, run_id)
        if not run.is_open:
            raise WorkflowClosedError(run.workflow_id, run.run_id, run.status)
        self._requests.with_execution(run, answer, lambda execution: self._journal.answer(answer, action(execution)))

    # Suspended executions.

    def know_suspended(self, rows: Sequence[RunRow]) -> None:
        """Take note of the executions that an earlier process left suspended."""
        self._requests.know(rows)
        for row in rows:
            self.pausing.suspended[row.run_id] = self._requests.find(row.workflow_id, row.run_id)

    def resume_mended(self) -> None:
        """Resume suspended executions whose workflow has been defined anew, where the new code fits."""
        for run, definition in self.pausing.mended():
            self._resuming.add(run.run_id)
            self._residency.when_resident(run, partial(self._mend, run, definition))

    def _mend(self, run: RunState, definition: Definition, execution: Execution | None) -> None:
        self._resuming.discard(run.run_id)
        if execution is None:  # it is parked, and told so
            return
        try:
            self.pausing.resume(execution, definition)
        except Exception as error:  # noqa: BLE001  the new code does not fit: it stays suspended
            self.pausing.tell_misfit(run, definition, error)
            self._on_suspended(run, self._suspension_of(run, error))

    def _on_suspended(self, run: RunState, error: Exception) -> None:
        self._requests.tell_waiting(run, error)
        self._journal.after_commit(self._requests.updates.on_problem, run, error)

    def _suspension(self, run: RunState) -> Exception | None:
        """Return what a caller who would wait for a run is told; None if the run goes on by itself."""
        if run.status != "Suspended" or run.run_id in self._resuming:
            return None
        return self._suspension_of(run, None)

    def _suspension_of(self, run: RunState, why: Exception | None) -> WorkflowSuspendedError:
        pauses = [event for event in self._past.history(run.run_id) if type(event) is WorkflowExecutionPaused]
        failure = pauses[-1].failure
        assert failure is not None
        error = self.pausing.error_of(run, failure)
        if why is not None:
            error.__cause__ = why
        return error

    # Activities.

    def pause_activity(
        self, workflow_id: str, run_id: str | None, activity: int | str, reason: str, answer: Answer
    ) -> None:
        """Start no further attempt of an activity; answers with how many were not paused already."""
        require_text("the reason of a pause", reason)

        def act(execution: Execution) -> None:
            tasks = [task for task in pending(execution, activity) if not task.is_paused]
            for task in tasks:
                task.is_paused = True
                self._note(execution, "ActivityPaused", task, reason)
            self._activities.hold(tasks)
            self._journal.answer(answer, len(tasks))

        self._requests.with_execution(self._requests.find(workflow_id, run_id), answer, act)

    def unpause_activity(
        self, workflow_id: str, run_id: str | None, activity: int | str, reason: str, answer: Answer
    ) -> None:
        """Let a paused activity go on; answers with how many were paused."""
        require_text("the reason of the end of a pause", reason)

        def act(execution: Execution) -> None:
            tasks = [task for task in pending(execution, activity) if task.is_paused]
            for task in tasks:
                task.is_paused = False
                self._note(execution, "ActivityUnpaused", task, reason)
            self._activities.let_go(tasks)
            self._journal.answer(answer, len(tasks))

        self._requests.with_execution(self._requests.find(workflow_id, run_id), answer, act)

    def retry_now(self, workflow_id: str, run_id: str | None, activity: int | str | None, answer: Answer) -> None:
        """Begin the next attempt of activities that wait for one; answers with how many."""

        def act(execution: Execution) -> None:
            tasks = [task for task in pending(execution, activity) if task.state == "Backoff"]
            if not tasks:
                which = "activity" if activity is None else f"activity {activity!r}"
                msg = f"no {which} of execution {execution.workflow_id!r} waits for its next attempt"
                raise ClientError(msg)
            for task in tasks:
                self._note(execution, "ActivityRetried", task, "")
                self._activities.retry_now(task)
            self._journal.answer(answer, len(tasks))

        self._requests.with_execution(self._requests.find(workflow_id, run_id), answer, act)

    def fire(self, workflow_id: str, run_id: str | None, timer_id: str | None, answer: Answer) -> None:
        """Fire a pending timer before its time: the one named, or the next one due."""
        run = self._requests.find(workflow_id, run_id)

        def act(execution: Execution) -> None:
            timers = execution.instance.timers
            chosen = [
                (timer.when(), event_id)
                for event_id, timer in timers.items()
                if timer_id is None or timer.command.timer_id == timer_id
            ]
            if not chosen:
                which = "pending timer" if timer_id is None else f"pending timer {timer_id!r}"
                msg = f"execution {run.workflow_id!r} has no {which}"
                raise ClientError(msg)
            self._interpreter.fire_timer(execution, min(chosen)[1], self._identity)
            self._journal.answer(answer, None)

        self._requests.with_execution(run, answer, act)

    def _note(self, execution: Execution, kind: str, task: ActivityTask, reason: str) -> None:
        event = task.scheduled
        body = {"scheduled_event_id": event.event_id, "activity_id": event.activity_id, "attempt": task.attempt}
        self.pausing.note(execution, kind, {**body, "reason": reason, "identity": self._identity})


def pending(execution: Execution, activity: int | str | None) -> list[ActivityTask]:
    """Find activities without an outcome.

    Parameters
    ----------
    execution
        In memory.
    activity
        A scheduled_event_id, an activity id, an activity type; or None for all.

    Raises
    ------
    ClientError
        When there is none.
    """
    tasks = list(execution.tasks.values())
    if activity is None:
        return tasks
    if isinstance(activity, int):
        found = [task for task in tasks if task.scheduled.event_id == activity]
    else:
        found = [task for task in tasks if task.scheduled.activity_id == activity]
        found = found or [task for task in tasks if task.scheduled.activity_type == activity]
    if not found:
        known = ", ".join(f"{task.scheduled.event_id} ({task.scheduled.activity_type})" for task in tasks[:5]) or "none"
        msg = f"execution {execution.workflow_id!r} has no pending activity {activity!r}; pending are: {known}"
        raise ClientError(msg)
    return found
