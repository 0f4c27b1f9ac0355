"""Schedules: start executions at their times, one after the other as their overlap policies say.

What is due and what it starts are written in one batch: the row that says a time is done with stands beside the
WorkflowExecutionStarted, so a crash neither loses a run nor starts it twice. A schedule that rests costs an entry in
a heap; all of them together have one deadline.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.events import (
    HistoryEvent,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
)
from nbflow.core.failures import CANCELED, TERMINATED, Failure, TimeoutType, timeout_failure
from nbflow.core.options import WorkflowOptions
from nbflow.core.payloads import Payload
from nbflow.core.schedule_body import ScheduleBody
from nbflow.core.schedule_spec import Occasion
from nbflow.core.schedule_state import MAX_BUFFER, Decision, ScheduleState, Waiting, decide
from nbflow.engine.deadlines import Deadline
from nbflow.engine.execution import RunState
from nbflow.engine.parts import Parts
from nbflow.engine.requests import Answer, Requests, Start
from nbflow.exceptions import NbflowError
from nbflow.store import Reader, ScheduleRow

__all__ = ["Schedule", "Schedules"]

_MISSED_COUNTED = 10_000
"""So many overdue times are counted one by one; then the rest are passed over at once."""

_TIMES_TOLD = 100
"""So many times are named in a row that tells of several."""


@dataclass(slots=True, eq=False)
class Schedule:
    """One schedule in memory."""

    id: str
    body: ScheduleBody
    state: ScheduleState
    options: WorkflowOptions
    next: Occasion | None = None
    """The first time after its position."""
    problem: Exception | None = None
    """Why it can't start anything."""
    is_deleted: bool = False
    is_busy: bool = False
    is_asked_again: bool = False
    last_end: tuple[Payload | None, Failure | None] | None = None
    """What the last run that completed returned and how the one after it failed; None if not read yet."""
    entered: int = field(default=0)
    """Number of its entry in the heap that counts."""

    def advance(self, position: int) -> None:
        """Be done with the times up to ``position``."""
        self.state.position = position
        self.next = self.body.spec.next_occasion(position, self.id)

    @property
    def due(self) -> int | None:
        """When it acts next by itself."""
        return self.next.actual if self.next is not None and self.state.is_active else None


class Schedules:
    """Acts for the schedules of a store; on the engine's thread.

    Parameters
    ----------
    parts
        The engine's parts.
    requests
        Starts, cancels and terminates executions.
    acts
        False to leave what is due to another process: for those that only look and change.
    """

    def __init__(self, parts: Parts, requests: Requests, *, acts: bool) -> None:
        self.clock = parts.clock
        self.journal = parts.journal
        self.definitions = parts.definitions
        self._reader: Reader = parts.reader
        self._deadlines = parts.deadlines
        self._post = parts.post
        self._requests = requests
        self._acts = acts
        self._heap: list[tuple[int, int, Schedule]] = []
        self._entries = 0
        self._deadline: Deadline | None = None
        self._by_run: dict[str, Schedule] = {}
        self._absent: set[str] = set()
        """Workflow ids of due times that, looked up together, are nobody's."""
        self.all: dict[str, Schedule] = {}
        requests.on_end = self._on_end

    # Coming back.

    def recover(self) -> None:
        """Take up the schedules of the store, and what happened to their runs while nobody looked."""
        for schedule_id, state, body in self._reader.schedules():
            self.add(schedule_id, ScheduleBody.from_json(json.loads(body)), ScheduleState.from_json(json.loads(state)))
        running = {it.state.running[1]: it for it in self.all.values() if it.state.running is not None}
        while running:
            self._by_run.update(running)
            ends = self._reader.closing_events(list(running))
            followers: dict[str, Schedule] = {}
            for run_id, event in ends.items():
                schedule = running[run_id]
                self._ended(schedule, run_id, event, goes_on=self._acts)
                if schedule.state.running is not None and schedule.state.running[1] != run_id:
                    followers[schedule.state.running[1]] = schedule
            running = followers
        for schedule in self.all.values():
            if self._acts and schedule.state.waiting:
                self._post(self.work_off, schedule)

    def add(self, schedule_id: str, body: ScheduleBody, state: ScheduleState) -> Schedule:
        """Take in a schedule."""
        schedule = self.all[schedule_id] = Schedule(schedule_id, body, state, WorkflowOptions.read(body.options))
        schedule.advance(state.position)
        self.enter(schedule)
        return schedule

    def replace(self, schedule: Schedule, body: ScheduleBody) -> Schedule:
        """Give a schedule another body."""
        schedule.body, schedule.options = body, WorkflowOptions.read(body.options)
        schedule.advance(schedule.state.position)
        self.enter(schedule)
        return schedule

    def remove(self, schedule: Schedule) -> None:
        """Delete a schedule."""
        schedule.is_deleted = True
        del self.all[schedule.id]
        if schedule.state.running is not None:
            self._by_run.pop(schedule.state.running[1], None)
        self.enter(schedule)
        self.write(schedule, "Deleted")

    def latest_run(self, workflow_id: str) -> RunState | None:
        """Return the newest run of a workflow id, or None."""
        return self._requests.latest([workflow_id]).get(workflow_id)

    # What is due.

    def enter(self, schedule: Schedule) -> None:
        """Note when it acts next; what was noted before no longer counts."""
        due = schedule.due
        self._entries += 1
        schedule.entered = self._entries
        if due is not None and self._acts and not schedule.is_deleted:
            heapq.heappush(self._heap, (due, schedule.entered, schedule))
            self._watch()

    def _watch(self) -> None:
        """Have one deadline, for the first of all."""
        while self._heap and self._heap[0][2].entered != self._heap[0][1]:
            heapq.heappop(self._heap)
        due = self._heap[0][0] if self._heap else None
        if self._deadline is not None:
            if self._deadline.callback is not None and self._deadline.due == due:
                return
            self._deadline.cancel()
        self._deadline = None if due is None else self._deadlines.add(due, self._on_due)

    def _on_due(self) -> None:
        now = self.clock.now()
        due: list[Schedule] = []
        while self._heap and self._heap[0][0] <= now:
            _, entry, schedule = heapq.heappop(self._heap)
            if schedule.entered == entry:
                due.append(schedule)
        ids = [workflow_id_of(schedule, schedule.next.nominal) for schedule in due if schedule.next is not None]
        self._absent = set(ids).difference(self._requests.latest(ids))
        for schedule in due:
            self._post(self.catch_up, schedule)
        self._watch()

    def catch_up(self, schedule: Schedule) -> None:
        """Act on the times that have come, also those that came while nobody looked."""
        if schedule.is_deleted or not schedule.state.is_active:
            return
        now = self.clock.now()
        self._miss(schedule, now - round(schedule.body.catchup_window * 1_000_000))
        arrived: list[Waiting] = []
        while schedule.next is not None and schedule.next.actual <= now and len(arrived) < MAX_BUFFER:
            arrived.append(Waiting(schedule.next.nominal))
            schedule.advance(schedule.next.nominal)
        self.work_off(schedule, arrived)
        if schedule.due is not None and schedule.due <= now:
            self._post(self.catch_up, schedule)  # others have their turn in between
        else:
            self.enter(schedule)

    def _miss(self, schedule: Schedule, oldest: int) -> None:
        """Pass over the times that are overdue by more than the catch-up window."""
        first, count = schedule.next, 0
        while schedule.next is not None and schedule.next.actual < oldest:
            count += 1
            schedule.advance(schedule.next.nominal if count < _MISSED_COUNTED else oldest - 1)
        if count and first is not None:
            schedule.state.missed += count
            body = {"count": count, "or_more": count >= _MISSED_COUNTED}
            self.write(schedule, "MissedCatchup", nominal=first.nominal, body=body)

    # Acting.

    def work_off(self, schedule: Schedule, arrived: Iterable[Waiting] = ()) -> list[tuple[Waiting, RunState]]:
        """Do with the times that wait what the overlap policies say.

        Parameters
        ----------
        schedule
            Whose times.
        arrived
            Times that join those that wait.

        Returns
        -------
        list
            The times acted on, each with the execution it started.
        """
        fresh, started = list(arrived), []
        if schedule.is_busy:  # called by the end of a run that it just started, cancelled or terminated
            schedule.state.waiting += fresh
            schedule.is_asked_again = True
            return []
        schedule.is_busy = True
        try:
            schedule.is_asked_again = True
            while schedule.is_asked_again and not schedule.is_deleted:
                schedule.is_asked_again = False
                started += self._work_off_once(schedule, fresh)
                fresh = []
        finally:
            schedule.is_busy = False
        return started

    def _work_off_once(self, schedule: Schedule, fresh: list[Waiting]) -> list[tuple[Waiting, RunState]]:
        state = schedule.state
        waiting = [*state.waiting, *fresh]
        if not waiting:
            return []
        definition = self._definition_of(schedule)
        decision = Decision(kept=waiting)
        if definition is not None:
            is_running = state.running is not None
            decision = decide(waiting, schedule.body.overlap, is_running=is_running, is_paused=state.paused)
        state.waiting, dropped = decision.kept[:MAX_BUFFER], decision.kept[MAX_BUFFER:]
        self._tell_skipped(schedule, decision.skipped, "another run had not ended")
        self._tell_skipped(schedule, dropped, f"{MAX_BUFFER} wait already")
        buffered = [one for one in fresh if one in state.waiting]
        if buffered:
            self.write(schedule, "Buffered", nominal=buffered[0].nominal, body=_told(buffered))
        if definition is None:
            return []
        if decision.beside or decision.next is not None:
            self._pin(schedule, definition)
        starts = [(one, False) for one in decision.beside]
        starts += [(decision.next, True)] if decision.next is not None else []
        started = [(one, self._start(schedule, definition, one, alone=alone)) for one, alone in starts]
        if decision.terminate:
            self._end_running(schedule, terminate=True)
        elif decision.cancel:
            self._end_running(schedule, terminate=False)
        return [(one, run) for one, run in started if run is not None]

    def _definition_of(self, schedule: Schedule) -> Definition | None:
        """Find what to start: this process's version, else the one that the schedule was given last."""
        body = schedule.body
        try:
            definition = REGISTRY.current("workflow", body.workflow_type)
            if definition is None:
                definition = self.definitions.workflow(body.definition_hash, body.workflow_type)
        except Exception as error:  # noqa: BLE001  told to who asks; the times wait
            schedule.problem = error
            return None
        schedule.problem = None
        return definition

    def _pin(self, schedule: Schedule, definition: Definition) -> None:
        """Take down that a schedule starts another version from now on, for processes that have no other."""
        if definition.hash != schedule.body.definition_hash:
            self.definitions.store(definition)
            schedule.body = replace(schedule.body, definition_hash=definition.hash)
            self.write(schedule, "Updated", body=schedule.body.to_json(), payloads=schedule.body.payloads)

    def pin_all(self) -> None:
        """Take down this process's versions, before it ends."""
        current: dict[str, Definition | None] = {}
        for workflow_type in {schedule.body.workflow_type for schedule in self.all.values()}:
            with suppress(NbflowError):  # the version taken down before stays
                current[workflow_type] = REGISTRY.current("workflow", workflow_type)
        for schedule in self.all.values():
            definition = current.get(schedule.body.workflow_type)
            if definition is not None:
                self._pin(schedule, definition)

    def look_again(self) -> None:
        """Something was defined: what lacked it may go on."""
        for schedule in self.all.values():
            if schedule.problem is not None:
                self.work_off(schedule)

    def _start(self, schedule: Schedule, definition: Definition, one: Waiting, *, alone: bool) -> RunState | None:
        state, body = schedule.state, schedule.body
        if not one.manual and state.remaining == 0:
            self._tell_skipped(schedule, [one], "no actions are left")
            return None
        workflow_id = self._free_id(schedule, one)
        if workflow_id is None:
            self._tell_skipped(schedule, [one], "the execution of this time has not ended")
            return None
        result, failure = self._last_end(schedule) if alone else (None, None)
        attributes = {
            **(schedule.options.search_attributes or {}),
            "TemporalScheduledStartTime": rfc3339(one.nominal),
            "TemporalScheduledById": schedule.id,
        }
        options = replace(
            schedule.options, id=workflow_id, id_conflict="fail", id_reuse="allow", search_attributes=attributes
        )
        start = Start(body.input, body.keyword_input, options, body.memo, result, failure)
        run = self._requests.start_now(definition, start, workflow_id)
        state.actions += 1
        if state.remaining is not None and not one.manual:
            state.remaining -= 1
        if alone:
            state.running = (run.workflow_id, run.run_id)
            self._by_run[run.run_id] = schedule
        self.write(schedule, "Fired", nominal=one.nominal, run=run, body={"manual": True} if one.manual else {})
        if run.closing_event is not None:
            self._on_end(run, run.closing_event)
        return run

    def _free_id(self, schedule: Schedule, one: Waiting) -> str | None:
        """Name the execution of a time; None if one of this name is open."""
        workflow_id = workflow_id_of(schedule, one.nominal)
        if workflow_id in self._absent:
            self._absent.discard(workflow_id)
            return workflow_id
        run = self.latest_run(workflow_id)
        return None if run is not None and run.is_open else workflow_id

    def _end_running(self, schedule: Schedule, *, terminate: bool) -> None:
        """Have the run under way make room."""
        running = schedule.state.running
        if running is None:
            return
        reason = f"schedule {schedule.id!r} starts the next run"
        ask = self._requests.terminate if terminate else self._requests.cancel
        ask(*running, reason, Answer())

    # Ends of runs.

    def _on_end(self, run: RunState, event: HistoryEvent) -> None:
        """Hear, before the commit, that an execution closed."""
        schedule = self._by_run.get(run.run_id)
        if schedule is None:
            return
        self._ended(schedule, run.run_id, event, goes_on=True)
        running = schedule.state.running
        follower = None if running is None else self._requests.known(running[1])
        if follower is not None and follower.run_id != run.run_id and follower.closing_event is not None:
            self._on_end(follower, follower.closing_event)

    def _ended(self, schedule: Schedule, run_id: str, event: HistoryEvent, *, goes_on: bool) -> None:
        self._by_run.pop(run_id, None)
        state = schedule.state
        if state.running is None or state.running[1] != run_id:
            return
        follower: str | None = getattr(event, "new_execution_run_id", None)
        if follower:
            state.running = (state.running[0], follower)
            self._by_run[follower] = schedule
            return
        state.running = None
        if isinstance(event, WorkflowExecutionCompleted):
            state.completed_run_id, state.failed_run_id = run_id, None
        else:
            state.failed_run_id = run_id
        schedule.last_end = None
        failed = isinstance(event, (WorkflowExecutionFailed, WorkflowExecutionTimedOut))
        if failed and schedule.body.pause_on_failure and not state.paused and not schedule.is_deleted:
            state.paused = True
            state.note = f"paused because a run did not complete: {_failure_of(event).message}"
            self.write(schedule, "Paused")
            self.enter(schedule)
        if goes_on and not schedule.is_deleted:
            self.work_off(schedule)

    def _last_end(self, schedule: Schedule) -> tuple[Payload | None, Failure | None]:
        """What the run before returned, and how it failed if it did."""
        if schedule.last_end is None:
            state = schedule.state
            completed, failed = state.completed_run_id, state.failed_run_id
            ends = {run_id: self._end_of(run_id) for run_id in (completed, failed) if run_id is not None}
            result = ends.get(completed) if completed is not None else None
            failure = ends.get(failed) if failed is not None else None
            schedule.last_end = (
                result.result if isinstance(result, WorkflowExecutionCompleted) else None,
                None if failure is None else _failure_of(failure),
            )
        return schedule.last_end

    def _end_of(self, run_id: str) -> HistoryEvent | None:
        run = self._requests.known(run_id)
        if run is not None and run.closing_event is not None:
            return run.closing_event
        return self._reader.closing_events([run_id]).get(run_id)

    # Rows.

    def write(
        self,
        schedule: Schedule,
        kind: str,
        *,
        nominal: int | None = None,
        run: RunState | None = None,
        body: dict[str, Any] | None = None,
        payloads: tuple[Payload, ...] = (),
    ) -> None:
        """Take down a change or an action, with the state that it leaves."""
        self.journal.batch.schedules.append(
            ScheduleRow(
                schedule.id,
                self.clock.now(),
                kind,
                nominal,
                None if run is None else run.workflow_id,
                None if run is None else run.run_id,
                None if schedule.is_deleted else schedule.due,
                _json(schedule.state.to_json()),
                _json(body or {}),
                payloads,
            )
        )

    def _tell_skipped(self, schedule: Schedule, skipped: list[Waiting], why: str) -> None:
        if skipped:
            schedule.state.skipped += len(skipped)
            self.write(schedule, "Skipped", nominal=skipped[0].nominal, body={"reason": why, **_told(skipped)})


def workflow_id_of(schedule: Schedule, nominal: int) -> str:
    """Name the execution of a time."""
    return f"{schedule.id}-{rfc3339(nominal)}"


def rfc3339(microseconds: int) -> str:
    """Write a moment as Temporal does in the ids of scheduled executions."""
    text = datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat()
    return text.replace("+00:00", "Z")


def _told(several: list[Waiting]) -> dict[str, Any]:
    return {"count": len(several), "times": [rfc3339(one.nominal) for one in several[:_TIMES_TOLD]]}


def _failure_of(event: HistoryEvent) -> Failure:
    match event:
        case WorkflowExecutionFailed():
            return event.failure
        case WorkflowExecutionTimedOut():
            return timeout_failure(TimeoutType.START_TO_CLOSE, "the workflow's time was up")
        case WorkflowExecutionTerminated():
            return Failure(message=event.reason or "the workflow was terminated", kind=TERMINATED)
        case WorkflowExecutionCanceled():
            return Failure(message="the workflow was cancelled", kind=CANCELED)
    return Failure(message=f"the workflow ended with {type(event).__name__}")


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
