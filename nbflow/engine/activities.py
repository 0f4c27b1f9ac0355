"""Activities: authorised by a commit, run by a runner, retried by policy, settled by an event.

An attempt starts only after its authorisation is durable. Attempt 1 is authorised by the commit of
its ActivityTaskScheduled, unless the runner was full (the row is then marked deferred); every other
attempt by a dispatch row. So after a crash it is known which attempts may have run: one that was
authorised and has no outcome is Lost, counts as an attempt, and is followed by another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from nbflow.core.definitions import Definition
from nbflow.core.events import ActivityTaskCancelRequested, ActivityTaskScheduled, HistoryEvent
from nbflow.core.failures import APPLICATION, Failure, RetryState, TimeoutType, timeout_failure
from nbflow.core.payloads import Payload
from nbflow.core.retry import GiveUp, RetryPolicy, next_attempt
from nbflow.engine import outcomes
from nbflow.engine.attempt import Attempt, AttemptOwner
from nbflow.engine.execution import ActivityTask, Execution, Outcome
from nbflow.engine.levels import level_name
from nbflow.engine.parts import Parts
from nbflow.engine.places import Lane, Places
from nbflow.exceptions import MissingDefinitionError
from nbflow.store import AttemptRow, DispatchRow, LogRow, PendingAttempt

__all__ = ["LOST_LIMIT", "Activities", "Runner"]

LOST_LIMIT = 20
"""After so many lost attempts in a row an activity fails: it may be what kills the process."""

_DEFAULT_POLICY = RetryPolicy()
_LOST = "LostError"


class Runner(Protocol):
    """Runs attempts."""

    capacity: int

    def start(self, attempt: Attempt) -> None:
        """Begin; the attempt reports its outcome once."""
        ...

    def cancel(self, attempt: Attempt) -> None:
        """Ask the attempt's code to stop."""
        ...

    def abandon(self, attempt: Attempt) -> None:
        """Stop waiting for it; free its place."""
        ...

    def close(self) -> None:
        """Stop; running attempts are left to the next start."""
        ...


class Activities:
    """Runs the activities of all executions in memory.

    Parameters
    ----------
    parts
        The engine's parts.
    runners
        By the value of ``run_in``.
    """

    def __init__(self, parts: Parts, runners: Mapping[str, Runner]) -> None:
        self.clock = parts.clock
        self.journal = parts.journal
        self.converter = parts.converter
        self.post = parts.post
        self._deadlines = parts.deadlines
        self._interpreter = parts.interpreter
        self._find = parts.definitions.activity
        self._runners = runners
        self.places = Places(runners, parts.clock, parts.deadlines, self._dispatch)
        self._blocked: list[ActivityTask] = []
        self.transactions: AttemptOwner = self
        """Hears of the outcomes of transactions."""
        self.on_left_open: Callable[[ActivityTask], None]
        """Hears of an attempt that waits to be completed from outside."""
        self.under_way = 0
        """Attempts that a runner has."""

    @property
    def running(self) -> int:
        """Attempts that are authorised or under way."""
        return self.places.running

    # Taking activities on.

    def schedule(self, execution: Execution, event: ActivityTaskScheduled) -> bool:
        """Take on an activity; True if its first attempt must wait for a dispatch row."""
        task = ActivityTask(execution, event, _policy(event))
        execution.tasks[event.event_id] = task
        if event.schedule_to_close_timeout is not None or event.schedule_to_start_timeout is not None:
            self._watch_schedule(task)
        lane = self._lane_of(task)
        if lane is None or not self.places.take(task, lane):
            return True
        self.journal.after_commit(self._run, task, lane)
        return False

    def _lane_of(self, task: ActivityTask) -> Lane | None:
        """Where the activity runs; None, and the task is blocked, if nobody defined it yet."""
        definition = self._definition_of(task)
        if definition is None:
            self._blocked.append(task)
            return None
        return self.places.lane_of(definition)

    def _definition_of(self, task: ActivityTask) -> Definition | None:
        """Find an activity's code; None, told in the log once, if it is not here yet."""
        name = task.scheduled.activity_type
        try:
            definition = self._find(name)
            why = f"no activity {name!r} is defined here"
        except MissingDefinitionError as error:
            definition, why = None, str(error)
        if definition is None and task.state != "Blocked":
            task.state = "Blocked"
            self._log(task, f"{why}; run the cell that defines it and the workflow goes on")
        return definition

    def _dispatch(self, task: ActivityTask, lane: Lane) -> None:
        """Authorise an attempt that has a place by a dispatch row; neighbours share one."""
        run_id, event_id = task.key
        rows = self.journal.batch.dispatches
        last = rows[-1] if rows else None
        if last and (last.run_id, last.last_scheduled_event_id + 1, last.attempt) == (run_id, event_id, task.attempt):
            rows[-1] = DispatchRow(run_id, last.first_scheduled_event_id, event_id, last.attempt, last.time)
        else:
            rows.append(DispatchRow(run_id, event_id, event_id, task.attempt, self.clock.now()))
        self.journal.after_commit(self._run, task, lane)

    def unblock(self) -> None:
        """Look again for activities that nobody had defined."""
        blocked, self._blocked = self._blocked, []
        for task in blocked:
            if task.state == "Blocked":
                self._enqueue(task)

    def _enqueue(self, task: ActivityTask) -> None:
        if task.is_paused or task.execution.is_paused:
            task.state = "Paused"
            return
        lane = self._lane_of(task)
        if lane is None:
            return
        task.state = "Queued"
        if self.places.take(task, lane):
            self._dispatch(task, lane)

    def _run(self, task: ActivityTask, lane: Lane) -> None:
        """Start an authorised attempt."""
        definition = self._definition_of(task) if task.state == "Authorised" else None
        if definition is None:
            self.places.free(lane)
            if task.state == "Blocked":
                self._blocked.append(task)
            return
        task.state = "Running"
        task.started_time = self.clock.now()
        task.latest_details = task.heartbeat_details
        kind = lane.kind
        owner = self.transactions if kind == "transaction" else self
        attempt = task.running = Attempt(owner, task, kind, definition)
        self._watch_attempt(task)
        self.under_way += 1
        self._runners[kind].start(attempt)

    def _log(self, task: ActivityTask, message: str) -> None:
        run_id, event_id = task.key
        workflow_id = task.execution.workflow_id
        row = LogRow(run_id, workflow_id, event_id, None, self.clock.now(), level_name(40), "nbflow.engine", message)
        self.journal.batch.logs.append(row)

    # Pauses.

    def hold(self, tasks: Iterable[ActivityTask]) -> None:
        """Start no further attempt of paused activities; one that may run already goes on."""
        for task in tasks:
            if task.state == "Queued":
                task.state = "Paused"

    def let_go(self, tasks: Iterable[ActivityTask]) -> None:
        """Start the attempts that were due during a pause."""
        for task in tasks:
            if task.state == "Paused":
                self._enqueue(task)

    def retry_now(self, task: ActivityTask) -> None:
        """End the backoff before the next attempt."""
        for deadline in task.attempt_deadlines:
            deadline.cancel()
        self._end_backoff(task)

    @property
    def lacking(self) -> set[str]:
        """The activities that wait for somebody to define them."""
        return {task.scheduled.activity_type for task in self._blocked if task.state == "Blocked"}

    # Outcomes.

    def on_outcome(self, attempt: Attempt, outcome: Outcome) -> None:
        """Take an attempt's report: settle the activity, or retry it."""
        if attempt.is_abandoned:
            return
        task = attempt.task
        if outcome.is_left_open and task.state == "Running":
            self._leave_open(task)
            return
        self._end_attempt(task)
        if task.state != "Running":
            return
        if outcome.result is not None:
            result = outcome.result
            self._settle(task, lambda event_id, now: outcomes.completed(task, result, event_id, now))
        elif outcome.failure is None:
            self._settle(task, lambda event_id, now: outcomes.canceled(task, event_id, now, was_started=True))
        else:
            self._on_failure(task, outcome.failure, "Failed")

    def finish(self, task: ActivityTask) -> None:
        """Take an activity off whose outcome is durable already."""
        self._end_attempt(task)
        _forget(task)
        del task.execution.tasks[task.scheduled.event_id]

    # Attempts that are completed from outside.

    def _leave_open(self, task: ActivityTask) -> None:
        """Take its place and thread from an attempt that somebody else will complete; its deadlines stay."""
        deadlines, task.attempt_deadlines = task.attempt_deadlines, ()
        self._end_attempt(task)
        task.attempt_deadlines = deadlines
        task.is_left_open = True
        self.on_left_open(task)

    def _leave_open_again(self, task: ActivityTask, pending: PendingAttempt) -> None:
        """Go on waiting after a restart; while nobody could be heard, no heartbeat was missed."""
        task.state, task.is_left_open = "Running", True
        task.started_time, task.last_heartbeat = pending.left_open_since, self.clock.now()
        self._watch_attempt(task)

    def fail_from_outside(self, task: ActivityTask, failure: Failure) -> None:
        """Let an attempt fail whose outcome somebody else tells."""
        self._abandon(task)
        self._on_failure(task, failure, "Failed")

    def cancel_from_outside(self, task: ActivityTask) -> None:
        """Settle an activity of which somebody else tells that it let its cancellation pass."""
        self._abandon(task)
        self._settle(task, lambda event_id, now: outcomes.canceled(task, event_id, now, was_started=True))

    def _end_attempt(self, task: ActivityTask) -> None:
        task.running = None
        self.under_way -= 1
        if task.attempt_deadlines:
            for deadline in task.attempt_deadlines:
                deadline.cancel()
            task.attempt_deadlines = ()
        self.places.free(task.lane)

    def _on_failure(self, task: ActivityTask, failure: Failure, outcome: str) -> None:
        """Retry a failed attempt, or settle the activity."""
        now = self.clock.now()
        event = task.scheduled
        if task.cancel_requested_event_id is not None:
            self._fail(task, failure, RetryState.CANCEL_REQUESTED)
            return
        elapsed = (now - event.event_time) / 1_000_000
        decision = next_attempt(task.policy, task.attempt, failure, elapsed, event.schedule_to_close_timeout)
        if isinstance(decision, GiveUp):
            if decision.retry_state == RetryState.TIMEOUT:
                failure = timeout_failure(TimeoutType.SCHEDULE_TO_CLOSE, _NOT_ENOUGH_TIME, task.latest_details, failure)
            self._fail(task, failure, decision.retry_state)
            return
        due = now + round(decision.seconds * 1_000_000)
        self._take_down_attempt(task, failure, outcome, due)
        task.state = "Backoff"
        task.attempt_deadlines = (self._deadlines.add(due, self._end_backoff, task),)

    def _take_down_attempt(self, task: ActivityTask, failure: Failure, outcome: str, due: int | None) -> None:
        """Take down an attempt that another one follows, and turn to that."""
        now = self.clock.now()
        self.journal.batch.attempts.append(
            AttemptRow(
                *task.key, task.scheduled.activity_type, task.attempt, task.started_time or now, now, outcome, failure,
                due, task.latest_details,
            )
        )  # fmt: skip
        task.last_failure = failure
        task.heartbeat_details = task.latest_details
        task.attempt += 1
        task.last_heartbeat = task.persisted_heartbeat = 0

    def _end_backoff(self, task: ActivityTask) -> None:
        task.attempt_deadlines = ()
        self._enqueue(task)

    def complete(self, task: ActivityTask, result: Payload) -> None:
        """Settle an activity with a result that somebody has already; no attempt is waited for."""
        self._abandon(task)
        self._settle(task, lambda event_id, now: outcomes.completed(task, result, event_id, now))

    def _fail(self, task: ActivityTask, failure: Failure, retry_state: str, *, was_started: bool = True) -> None:
        self._settle(
            task,
            lambda event_id, now: outcomes.failed(task, failure, retry_state, event_id, now, was_started=was_started),
        )

    def _settle(self, task: ActivityTask, make: Callable[[int, int], list[HistoryEvent]]) -> None:
        """Write the outcome, and let the workflow react."""
        if task.state == "Settled":  # the execution closed before a posted settlement came
            return
        _forget(task)
        del task.execution.tasks[task.scheduled.event_id]
        self._interpreter.deliver(task.execution, make)

    def drop(self, execution: Execution) -> None:
        """Forget the activities of an execution that closed or leaves memory; attempts under way are told to stop."""
        for task in execution.tasks.values():
            _forget(task)
            if task.running is not None:
                self._runners[task.running.kind].cancel(task.running)
        execution.tasks.clear()

    # Cancellation and deadlines.

    def request_cancel(self, execution: Execution, event: ActivityTaskCancelRequested) -> None:
        """Pass on a cancellation, once it is durable."""
        task = execution.tasks.get(event.scheduled_event_id)
        if task is not None:
            task.cancel_requested_event_id = event.event_id
            self.journal.after_commit(self._cancel, task)

    def _cancel(self, task: ActivityTask) -> None:
        """Tell the attempt under way, or settle what does not run."""
        if task.running is not None:
            self._runners[task.running.kind].cancel(task.running)
        elif task.state != "Settled" and not task.is_left_open:  # whoever completes it hears by a heartbeat
            self._settle(task, lambda event_id, now: outcomes.canceled(task, event_id, now, was_started=False))

    def _watch_schedule(self, task: ActivityTask) -> None:
        event = task.scheduled
        for timeout_type, seconds in (
            (TimeoutType.SCHEDULE_TO_CLOSE, event.schedule_to_close_timeout),
            (TimeoutType.SCHEDULE_TO_START, event.schedule_to_start_timeout),
        ):
            if seconds is not None:
                due = event.event_time + round(seconds * 1_000_000)
                task.deadlines += (self._deadlines.add(due, self._on_schedule_timeout, task, timeout_type),)

    def _on_schedule_timeout(self, task: ActivityTask, timeout_type: str) -> None:
        is_to_start = timeout_type == TimeoutType.SCHEDULE_TO_START
        if is_to_start and (task.state == "Running" or task.attempt > 1):
            return
        was_started = task.running is not None or task.attempt > 1 or task.is_left_open
        self._abandon(task)
        message = f"activity {timeout_type} timeout"
        failure = timeout_failure(timeout_type, message, task.latest_details, task.last_failure)
        self._fail(task, failure, RetryState.TIMEOUT, was_started=was_started and not is_to_start)

    def _watch_attempt(self, task: ActivityTask) -> None:
        event = task.scheduled
        if event.start_to_close_timeout is not None:
            due = task.started_time + round(event.start_to_close_timeout * 1_000_000)
            deadline = self._deadlines.add(due, self._on_attempt_timeout, task, TimeoutType.START_TO_CLOSE)
            task.attempt_deadlines += (deadline,)
        if event.heartbeat_timeout is not None:
            due = task.started_time + round(event.heartbeat_timeout * 1_000_000)
            task.attempt_deadlines += (self._deadlines.add(due, self._check_heartbeat, task),)

    def _check_heartbeat(self, task: ActivityTask) -> None:
        timeout = round((task.scheduled.heartbeat_timeout or 0) * 1_000_000)
        due = max(task.last_heartbeat, task.started_time) + timeout
        if due > self.clock.now():
            task.attempt_deadlines += (self._deadlines.add(due, self._check_heartbeat, task),)
        else:
            self._on_attempt_timeout(task, TimeoutType.HEARTBEAT)

    def _on_attempt_timeout(self, task: ActivityTask, timeout_type: str) -> None:
        self._abandon(task)
        failure = timeout_failure(timeout_type, f"activity {timeout_type} timeout", task.latest_details)
        self._on_failure(task, failure, "TimedOut")

    def _abandon(self, task: ActivityTask) -> None:
        if task.is_left_open:
            task.is_left_open = False
            for deadline in task.attempt_deadlines:
                deadline.cancel()
            task.attempt_deadlines = ()
        if task.running is not None:
            attempt: Attempt = task.running
            self._runners[attempt.kind].abandon(attempt)
            self._end_attempt(task)

    # After a restart.

    def resume(self, execution: Execution, event: ActivityTaskScheduled, pending: PendingAttempt | None) -> None:
        """Take on an activity again that the log knows as open.

        Parameters
        ----------
        execution
            Its execution, replayed.
        event
            Its ActivityTaskScheduled.
        pending
            What the log knows of its attempts.
        """
        task = ActivityTask(execution, event, _policy(event))
        execution.tasks[event.event_id] = task
        handle = execution.instance.activities.get(event.event_id)
        if handle is not None and handle.cancel_requested:
            task.cancel_requested_event_id = execution.cancel_requests.get(event.event_id)
        self._watch_schedule(task)
        if pending is None:
            self._enqueue(task)
            return
        task.is_paused = pending.is_paused
        task.attempt = pending.attempt + 1
        task.last_failure = pending.failure
        task.heartbeat_details = task.latest_details = pending.heartbeat_details
        if pending.is_lost:
            task.attempt = pending.authorised_attempt
            beat = pending.last_heartbeat
            if beat is not None and beat.attempt == task.attempt:
                task.latest_details = beat.details
            self._lose(task)
        elif pending.is_left_open:
            task.attempt = pending.left_open_attempt
            beat = pending.last_heartbeat
            if beat is not None and beat.attempt == task.attempt:
                task.latest_details = beat.details
            self._leave_open_again(task, pending)
        elif task.cancel_requested_event_id is not None:
            self.post(self._cancel, task)
        elif pending.next_attempt_time is not None and pending.next_attempt_time > self.clock.now():
            task.state = "Backoff"
            task.attempt_deadlines = (self._deadlines.add(pending.next_attempt_time, self._end_backoff, task),)
        else:
            self._enqueue(task)

    def _lose(self, task: ActivityTask) -> None:
        """Count an attempt whose process died, and start another at once unless attempts are used up."""
        lost = 1 + (task.last_failure.info.get("lost", 0) if task.last_failure else 0)
        failure = Failure(
            message=f"attempt {task.attempt} was lost: the process that ran it ended without telling its outcome",
            kind=APPLICATION,
            info={"type": _LOST, "lost": lost},
        )
        if task.cancel_requested_event_id is not None:
            self.post(self._cancel, task)
        elif lost >= LOST_LIMIT or (task.policy.maximum_attempts and task.attempt >= task.policy.maximum_attempts):
            self.post(self._fail, task, failure, RetryState.MAXIMUM_ATTEMPTS_REACHED)
        else:
            self._take_down_attempt(task, failure, "Lost", None)
            self._enqueue(task)


_NOT_ENOUGH_TIME = "the next retry would begin after the activity's schedule-to-close timeout"


def _forget(task: ActivityTask) -> None:
    """Take a task out of every queue and heap."""
    task.state = "Settled"
    if task.deadlines or task.attempt_deadlines:
        for deadline in (*task.deadlines, *task.attempt_deadlines):
            deadline.cancel()
        task.deadlines = task.attempt_deadlines = ()


def _policy(event: ActivityTaskScheduled) -> RetryPolicy:
    return RetryPolicy.from_json(dict(event.retry_policy)) if event.retry_policy else _DEFAULT_POLICY
