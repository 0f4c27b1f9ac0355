"""Reset, rewind, fork: a new run that begins with the first events of an old one and goes on with today's code.

The new run's events, and the end of the old one, are taken down in one batch: a crash leaves both or neither.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from nbflow.core import branching
from nbflow.core.compatibility import has_not_begun
from nbflow.core.definitions import Definition
from nbflow.core.events import (
    COMMAND_EVENTS,
    ActivityTaskCompleted,
    ActivityTaskScheduled,
    HistoryEvent,
    TimerFired,
    TimerStarted,
    WorkflowExecutionPaused,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionUnpaused,
    WorkflowExecutionUpdateAccepted,
)
from nbflow.core.instance import WorkflowInstance
from nbflow.core.payloads import Payload
from nbflow.core.replay import replay
from nbflow.core.run_times import expiration
from nbflow.core.workflow_tasks import has_workflow_tasks
from nbflow.engine.activities import Activities
from nbflow.engine.clock import new_run_id, new_seed
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.parts import Parts
from nbflow.engine.past import Past
from nbflow.engine.requests import Requests, require_text
from nbflow.engine.residency import Residency
from nbflow.exceptions import ClientError, WorkflowAlreadyStartedError, WorkflowNotFoundError
from nbflow.store import PendingAttempt

__all__ = ["Branch", "ForkRequest", "ResetRequest", "Resetting"]

Answer = Future[Any]


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """Where to begin (an event id, ``first``, ``last`` or ``last_failure``), why, and what to send again."""

    point: int | str
    reason: str
    reapply: str


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """Where to begin, and what is different in the new execution."""

    point: int | str
    workflow_id: str | None
    definition: Definition | None
    results: Mapping[int, Payload]


@dataclass(frozen=True, kw_only=True)
class Branch:
    """What becomes of an old run's history in a new run.

    Parameters
    ----------
    shared
        The events that both have.
    later
        The old run's events behind them.
    reapply
        What of those the new run gets again: ``none``, ``signals`` (and updates), or ``work`` (outcomes and fired
        timers too).
    failed
        Activities whose outcomes it does not get, by scheduled_event_id.
    results
        Results of activities under way, by scheduled_event_id.
    """

    shared: Sequence[HistoryEvent]
    later: Sequence[HistoryEvent]
    reapply: str
    failed: frozenset[int] = frozenset()
    results: Mapping[int, Payload] = field(default_factory=dict)


class Resetting:
    """Serves reset, rewind and fork, on the engine's thread.

    Parameters
    ----------
    parts
        The engine's parts.
    residency, activities, requests
        Take the new run in.
    identity
        Who this process is, for the history.
    """

    def __init__(
        self, parts: Parts, residency: Residency, activities: Activities, requests: Requests, identity: str
    ) -> None:
        self._clock = parts.clock
        self._converter = parts.converter
        self._journal = parts.journal
        self._interpreter = parts.interpreter
        self._definitions = parts.definitions
        self._past = Past(parts.reader, parts.journal)
        self._residency = residency
        self._activities = activities
        self._requests = requests
        self._identity = identity

    # Requests.

    def reset(self, workflow_id: str, run_id: str | None, request: ResetRequest, answer: Answer) -> None:
        """Run an execution again from an event; answers with the new run."""
        require_text("the reason of a reset", request.reason)
        if request.reapply not in ("signals", "none"):
            msg = f"reapply must be 'signals' or 'none', not {request.reapply!r}"
            raise ClientError(msg)
        run, history = self._history(workflow_id, run_id)
        shared = branching.shared(history, _event_id(history, request.point))
        branch = Branch(shared=shared, later=history[len(shared) :], reapply=request.reapply)
        self._replace(run, branch, request.reason, answer)

    def rewind(self, workflow_id: str, run_id: str | None, reason: str, answer: Answer) -> None:
        """Run a failed execution again from what failed; answers with the new run."""
        require_text("the reason of a rewind", reason)
        run, history = self._history(workflow_id, run_id)
        point, failed = branching.rewind_point(history)
        shared = branching.shared(history, point)
        branch = Branch(shared=shared, later=history[len(shared) :], reapply="work", failed=failed)
        self._replace(run, branch, reason, answer)

    def fork(self, workflow_id: str, run_id: str | None, request: ForkRequest, answer: Answer) -> None:
        """Start another execution with the first events of this one; answers with its run."""
        run, history = self._history(workflow_id, run_id)
        shared = branching.shared(history, _event_id(history, request.point))
        shared, left = branching.with_results(shared, request.results)
        now = self._clock.now()
        new_id = request.workflow_id or f"{run.workflow_id}-fork-{new_run_id(now)[-12:]}"
        require_text("a workflow id", new_id)
        latest = self._requests.latest([new_id]).get(new_id)
        if latest is not None and latest.is_open:
            raise WorkflowAlreadyStartedError(new_id, latest.run_id, latest.workflow_type)
        branch = Branch(shared=shared, later=(), reapply="none", results=left)
        nobodys = {
            "workflow_id": new_id, "original_execution_run_id": None, "first_execution_run_id": None,
            "continued_execution_run_id": None, "parent_workflow_id": None, "parent_run_id": None,
            "parent_initiated_event_id": None, "root_workflow_id": None, "root_run_id": None,
        }  # fmt: skip
        execution = self._branch_off(run, branch, f"forked from {run.workflow_id!r}", request.definition, nobodys)
        self._go_on(execution, branch)
        self._journal.answer(answer, execution.run)

    def _history(self, workflow_id: str, run_id: str | None) -> tuple[RunState, list[HistoryEvent]]:
        run = self._requests.find(workflow_id, run_id)
        history = self._past.history(run.run_id)
        if not history:
            raise WorkflowNotFoundError(run.workflow_id, run.run_id)
        if has_workflow_tasks(history):
            msg = f"run {run.run_id} is a record of Temporal's: no run of this store can begin with its events"
            raise ClientError(msg)
        return run, history

    def _replace(self, run: RunState, branch: Branch, reason: str, answer: Answer) -> None:
        """Let a new run take the place of the open one, if there is one."""
        started = branch.shared[0]
        assert isinstance(started, WorkflowExecutionStarted)
        ancestors = {
            "original_execution_run_id": started.original_execution_run_id or run.run_id,
            "first_execution_run_id": started.first_execution_run_id or run.run_id,
        }
        execution = self._branch_off(run, branch, reason, None, ancestors)
        current = self._requests.latest([run.workflow_id]).get(run.workflow_id)
        if current is not None and current.is_open:
            told = f"{reason}; " if reason else ""
            self._requests.end(current, f"{told}reset: goes on as run {execution.run_id}")
        self._go_on(execution, branch)
        self._journal.answer(answer, execution.run)

    # The new run.

    def _branch_off(
        self, run: RunState, branch: Branch, reason: str, definition: Definition | None, changes: Mapping[str, Any]
    ) -> Execution:
        """Rebuild a new run from the shared events; nothing is taken down yet.

        Raises
        ------
        NondeterminismError
            When the code does not fit the events.
        """
        if definition is None:
            definition = self._definitions.current_workflow(run.workflow_type, run.definition_hash)
        now = self._clock.now()
        started = branch.shared[0]
        assert isinstance(started, WorkflowExecutionStarted)
        new = RunState(
            new_run_id(now), changes.get("workflow_id", run.workflow_id), definition.name, "Running", definition.hash
        )
        last = len(branch.shared)
        execution_start = _new_start(started, definition, now, last)
        execution_start = dataclasses.replace(
            execution_start, reset_run_id=run.run_id, reset_event_id=last, reset_reason=reason or None,
            identity=self._identity, **changes,
        )  # fmt: skip
        history = _refreshed([execution_start, *branch.shared[1:]], now, self._identity)
        instance = WorkflowInstance(new.run_id, definition, self._converter)
        execution = Execution(new, definition, instance, execution_start)
        # What the code does in the last activation is not in the shared events, or was never done: patches apply there.
        is_cut = bool(branch.later) and type(branch.later[0]) in COMMAND_EVENTS
        ends_live = is_cut or has_not_begun(branch.shared) or len(history) > len(branch.shared)
        with self._interpreter.watched(execution):
            replay(instance, history, ends_live=ends_live)
        execution.history = history
        return execution

    def _go_on(self, execution: Execution, branch: Branch) -> None:
        """Take the new run down, and let it run."""
        history, execution.history = execution.history, []
        run = execution.run
        self._definitions.store(execution.definition)
        self._requests.adopt(run)
        self._residency.add(execution)
        pending = branching.open_activities(history)
        for event in history:
            self._interpreter.append(execution, event, deferred=event.event_id in pending)
        self._residency.take_up_deadlines(execution, history)
        if execution.instance.outstanding:
            self._interpreter.take_down_commands(execution)
        if not self._lives(execution):
            return
        for event_id, scheduled in pending.items():
            if event_id in execution.instance.activities:
                self._activities.resume(execution, scheduled, _never_tried(run.run_id, scheduled))
        for event_id, result in branch.results.items():
            self._complete(execution, event_id, result)
        self._reapply(execution, branch)

    def _lives(self, execution: Execution) -> bool:
        return execution.run.is_open and self._residency.executions.get(execution.run_id) is execution

    # What the old run got later.

    def _reapply(self, execution: Execution, branch: Branch) -> None:
        """Let the new run get what the old one got behind the events that they share, in that order."""
        if branch.reapply == "none":
            return
        scheduled = branching.scheduled((*branch.shared, *branch.later))
        timers = {event.event_id: event for event in (*branch.shared, *branch.later) if isinstance(event, TimerStarted)}
        for event in branch.later:
            if not self._lives(execution) or execution.is_paused:
                return
            if isinstance(event, WorkflowExecutionSignaled):
                self._deliver_again(execution, event)
            elif isinstance(event, WorkflowExecutionUpdateAccepted):
                if event.update_name in execution.instance.updates.names:
                    self._deliver_again(execution, event)
            elif branch.reapply != "work":
                continue
            elif isinstance(event, ActivityTaskCompleted) and event.scheduled_event_id not in branch.failed:
                self._complete_twin(execution, scheduled[event.scheduled_event_id], event.result)
            elif isinstance(event, TimerFired):
                self._fire_twin(execution, timers[event.started_event_id])

    def _deliver_again(self, execution: Execution, event: HistoryEvent) -> None:
        if isinstance(event, WorkflowExecutionSignaled):  # the new run's start was without it
            event = dataclasses.replace(event, with_start=None)
        self._interpreter.deliver(
            execution, lambda event_id, now: [dataclasses.replace(event, event_id=event_id, event_time=now)]
        )

    def _complete_twin(self, execution: Execution, scheduled: ActivityTaskScheduled, result: Payload) -> None:
        """Give a result to the activity that the new run asked for as the old run did, if it waits for one."""
        twins = [task.scheduled for task in execution.tasks.values() if _same_call(task.scheduled, scheduled)]
        if twins:
            twins.sort(key=lambda event: (event.activity_id != scheduled.activity_id, event.event_id))
            self._complete(execution, twins[0].event_id, result)

    def _complete(self, execution: Execution, scheduled_event_id: int, result: Payload) -> None:
        task = execution.tasks.get(scheduled_event_id)
        if task is not None:
            self._activities.complete(task, result)

    def _fire_twin(self, execution: Execution, started: TimerStarted) -> None:
        for event_id, timer in execution.instance.timers.items():
            command = timer.command
            asked = command.timer_id, command.start_to_fire_timeout
            if asked == (started.timer_id, started.start_to_fire_timeout):
                self._interpreter.fire_timer(execution, event_id, self._identity)
                return


def _event_id(history: Sequence[HistoryEvent], point: int | str) -> int:
    if isinstance(point, int):
        return point
    if point == "first":
        return 1
    if point == "last":
        return branching.last_reaction(history)
    if point == "last_failure":
        return branching.last_failure(history)
    msg = f"an event is given by its id, or as 'first', 'last' or 'last_failure', not {point!r}"
    raise ClientError(msg)


def _new_start(
    started: WorkflowExecutionStarted, definition: Definition, now: int, last_event_id: int
) -> WorkflowExecutionStarted:
    """Return the first event of a run that shares events up to ``last_event_id`` with an old one."""
    kept = {event_id: seed for event_id, seed in (started.reseeds or {}).items() if int(event_id) < last_event_id}
    anew = last_event_id == 1
    return dataclasses.replace(
        started,
        event_time=now,
        workflow_type=definition.name,
        definition_hash=definition.hash,
        workflow_execution_expiration_time=expiration(now, started.workflow_execution_timeout),
        first_workflow_task_backoff=None if anew else started.first_workflow_task_backoff,
        original_start_time=None if anew else started.original_start_time or started.event_time,
        reseeds={**kept, str(last_event_id): new_seed()},
    )


def _refreshed(events: list[HistoryEvent], now: int, identity: str) -> list[HistoryEvent]:
    """Schedule anew what was under way, and end a pause."""
    for event_id, scheduled in branching.open_activities(events).items():
        events[event_id - 1] = dataclasses.replace(scheduled, event_time=now)
    pauses = [event for event in events if type(event) in (WorkflowExecutionPaused, WorkflowExecutionUnpaused)]
    if pauses and type(pauses[-1]) is WorkflowExecutionPaused:
        events.append(WorkflowExecutionUnpaused(event_id=len(events) + 1, event_time=now, identity=identity))
    return events


def _never_tried(run_id: str, scheduled: ActivityTaskScheduled) -> PendingAttempt:
    return PendingAttempt(
        run_id, scheduled.event_id, scheduled.activity_type, 0, None, None, None, 0, True, None
    )  # fmt: skip


def _same_call(one: ActivityTaskScheduled, other: ActivityTaskScheduled) -> bool:
    return (one.activity_type, one.input, one.keyword_input) == (other.activity_type, other.input, other.keyword_input)
