"""Activities: authorised by a commit, run by a runner, retried by policy, settled by an event.

An attempt starts only after its authorisation is durable. Attempt 1 is authorised by the commit of
its ActivityTaskScheduled, unless the runner was full (the row is then marked deferred); every other
attempt by a dispatch row. So after a crash it is known which attempts may have run: one that was
authorised and has no outcome is Lost, counts as an attempt, and is followed by another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from nbflow.core.activity_context import ActivityContext, ActivityInfo
from nbflow.core.definitions import Definition
from nbflow.core.events import (
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    ActivityTaskTimedOut,
    HistoryEvent,
)
from nbflow.core.failures import APPLICATION, Failure, RetryState, TimeoutType, timeout_failure
from nbflow.core.payloads import Converter, Payload
from nbflow.core.retry import GiveUp, RetryPolicy, next_attempt
from nbflow.engine.clock import Clock
from nbflow.engine.deadlines import Deadlines
from nbflow.engine.execution import ActivityTask, Execution, Outcome
from nbflow.engine.interpreter import Interpreter, level_name
from nbflow.engine.journal import Journal
from nbflow.engine.runners import Attempt, Runner
from nbflow.exceptions import ActivityCancelled
from nbflow.store import AttemptRow, DispatchRow, HeartbeatRow, LogRow, PendingAttempt

__all__ = ["LOST_LIMIT", "Activities"]

LOST_LIMIT = 20
"""After so many lost attempts in a row an activity fails: it may be what kills the process."""

_HEARTBEAT_PERSISTED_EVERY = 1_000_000
_DEFAULT_POLICY = RetryPolicy()
_LOST = "LostError"


class Activities:
    """Runs the activities of all executions in memory.

    Parameters
    ----------
    clock, journal, deadlines, interpreter, converter
        The engine's parts.
    post
        Hands a callback to the engine's thread.
    find
        Finds the definition of an activity by name; None if nobody defined it yet.
    runners
        By the value of ``run_in``.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        deadlines: Deadlines,
        interpreter: Interpreter,
        converter: Converter,
        post: Callable[..., None],
        find: Callable[[str], Definition | None],
        runners: Mapping[str, Runner],
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._deadlines = deadlines
        self._interpreter = interpreter
        self._converter = converter
        self._post = post
        self._find = find
        self._runners = runners
        self._queues: dict[str, deque[ActivityTask]] = {name: deque() for name in runners}
        self._occupied = dict.fromkeys(runners, 0)
        self._blocked: list[ActivityTask] = []
        self.running = 0
        """Attempts that are authorised or under way."""
        self.completed = 0
        """Activities that got their outcome in this process."""

    # Taking activities on.

    def schedule(self, execution: Execution, event: ActivityTaskScheduled) -> bool:
        """Take on an activity; True if its first attempt must wait for a dispatch row."""
        policy = _policy(event)
        task = ActivityTask(execution, event, policy)
        execution.tasks[event.event_id] = task
        if event.schedule_to_close_timeout is not None or event.schedule_to_start_timeout is not None:
            self._watch_schedule(task)
        kind = self._kind_of(task)
        if kind is None:
            return True
        if self._queues[kind] or not self._has_room(kind, task):
            self._queues[kind].append(task)
            return True
        self._occupy(kind, task)
        self._journal.after_commit(self._run, task, kind)
        return False

    def _kind_of(self, task: ActivityTask) -> str | None:
        """Where the activity runs; None, and the task is blocked, if nobody defined it yet."""
        name = task.scheduled.activity_type
        definition = self._find(name)
        if definition is None:
            task.state = "Blocked"
            self._blocked.append(task)
            self._log(task, 40, f"no activity {name!r} is defined here; run the cell that defines it and it goes on")
            return None
        return definition.options.get("run_in") or ("loop" if definition.is_async else "thread")

    def _has_room(self, kind: str, task: ActivityTask) -> bool:
        """True if the task may be authorised now. One that counts attempts or time is not handed out ahead of its turn."""
        capacity = self._runners[kind].capacity
        return self._occupied[kind] < (capacity if _is_strict(task) else 3 * capacity)

    def _occupy(self, kind: str, task: ActivityTask) -> None:
        task.state = "Authorised"
        self._occupied[kind] += 1
        self.running += 1

    def _free(self, kind: str) -> None:
        self._occupied[kind] -= 1
        self.running -= 1
        queue = self._queues[kind]
        while queue and (queue[0].state != "Queued" or self._has_room(kind, queue[0])):
            task = queue.popleft()
            if task.state == "Queued":
                self._dispatch(task, kind)

    def _dispatch(self, task: ActivityTask, kind: str) -> None:
        """Authorise an attempt by a dispatch row; neighbours share one."""
        self._occupy(kind, task)
        run_id, event_id = task.key
        rows = self._journal.batch.dispatches
        last = rows[-1] if rows else None
        if last and (last.run_id, last.last_scheduled_event_id + 1, last.attempt) == (run_id, event_id, task.attempt):
            rows[-1] = last._replace(last_scheduled_event_id=event_id)
        else:
            rows.append(DispatchRow(run_id, event_id, event_id, task.attempt, self._clock.now()))
        self._journal.after_commit(self._run, task, kind)

    def unblock(self) -> None:
        """Look again for activities that nobody had defined."""
        blocked, self._blocked = self._blocked, []
        for task in blocked:
            if task.state == "Blocked":
                self._enqueue(task)

    def _enqueue(self, task: ActivityTask) -> None:
        kind = self._kind_of(task)
        if kind is None:
            return
        task.state = "Queued"
        if self._queues[kind] or not self._has_room(kind, task):
            self._queues[kind].append(task)
        else:
            self._dispatch(task, kind)

    # Running attempts.

    def _run(self, task: ActivityTask, kind: str) -> None:
        """Start an authorised attempt."""
        if task.state != "Authorised":
            self._free(kind)
            return
        definition = self._find(task.scheduled.activity_type)
        if definition is None:
            self._free(kind)
            self._enqueue(task)
            return
        task.state = "Running"
        task.started_time = self._clock.now()
        task.latest_details = task.heartbeat_details
        attempt = Attempt(
            definition,
            task.scheduled.input,
            task.scheduled.keyword_input,
            self._converter,
            self._context(task),
            lambda attempt, outcome: self._post(self._on_outcome, task, attempt, kind, outcome),
        )
        task.running = (attempt, kind)
        if task.scheduled.start_to_close_timeout is not None or task.scheduled.heartbeat_timeout is not None:
            self._watch_attempt(task)
        self._runners[kind].start(attempt)

    def _context(self, task: ActivityTask) -> ActivityContext:
        attempt_number = task.attempt

        def heartbeat(details: Any) -> None:
            self._heartbeat(task, attempt_number, details)

        def log(level: int, logger: str, message: str) -> None:
            self._log(task, level, message, logger, attempt_number)

        return ActivityContext(lambda: self._info(task), heartbeat, log)

    def _info(self, task: ActivityTask) -> ActivityInfo:
        event, run = task.scheduled, task.execution.run
        details = task.heartbeat_details
        return ActivityInfo(
            activity_id=event.activity_id,
            activity_type=event.activity_type,
            attempt=task.attempt,
            workflow_id=run.workflow_id,
            run_id=run.run_id,
            workflow_type=run.workflow_type,
            scheduled_time=_utc(event.event_time),
            started_time=_utc(task.started_time),
            heartbeat_details=None if details is None else self._converter.decode(details),
            idempotency_key=f"{run.run_id}/{event.activity_id}",
            start_to_close_timeout=event.start_to_close_timeout,
            heartbeat_timeout=event.heartbeat_timeout,
        )

    def _heartbeat(self, task: ActivityTask, attempt_number: int, details: Any) -> None:
        """Take a heartbeat; called on the attempt's own thread."""
        if task.attempt != attempt_number or task.state != "Running":
            msg = f"attempt {attempt_number} of {task.scheduled.activity_type} is no longer wanted"
            raise ActivityCancelled(msg)
        now = self._clock.now()
        if details is not None:
            task.latest_details = self._converter.encode(details)
        task.last_heartbeat = now
        if now - task.persisted_heartbeat >= _HEARTBEAT_PERSISTED_EVERY:
            task.persisted_heartbeat = now
            row = HeartbeatRow(*task.key, attempt_number, now, task.latest_details)
            self._post(self._journal_append, "heartbeats", row)
        if task.cancel_requested_event_id is not None:
            msg = f"cancellation of {task.scheduled.activity_type} was requested"
            raise ActivityCancelled(msg)

    def _journal_append(self, table: str, row: Any) -> None:
        getattr(self._journal.batch, table).append(row)

    def _log(self, task: ActivityTask, level: int, message: str, logger: str = "nbflow", attempt: int | None = None) -> None:
        run, event_id = task.execution.run, task.scheduled.event_id
        row = LogRow(
            run.run_id, run.workflow_id, event_id, attempt, self._clock.now(), level_name(level), logger, message
        )
        self._post(self._journal_append, "logs", row)

    # Outcomes.

    def _on_outcome(self, task: ActivityTask, attempt: Attempt, kind: str, outcome: Outcome) -> None:
        if attempt.is_abandoned:
            return
        self._end_attempt(task, kind)
        if task.state != "Running":
            return
        if outcome.result is not None:
            self._complete(task, outcome.result)
        elif outcome.failure is None:
            self._settle_canceled(task, was_running=True)
        else:
            self._on_failure(task, outcome.failure, "Failed")

    def _end_attempt(self, task: ActivityTask, kind: str) -> None:
        task.running = None
        for deadline in task.attempt_deadlines:
            deadline.cancel()
        task.attempt_deadlines.clear()
        self._free(kind)

    def _on_failure(self, task: ActivityTask, failure: Failure, outcome: str) -> None:
        """Retry a failed attempt, or settle the activity."""
        now = self._clock.now()
        event = task.scheduled
        if task.cancel_requested_event_id is not None:
            self._settle_failed(task, failure, RetryState.CANCEL_REQUESTED)
            return
        elapsed = (now - event.event_time) / 1_000_000
        decision = next_attempt(task.policy, task.attempt, failure, elapsed, event.schedule_to_close_timeout)
        if isinstance(decision, GiveUp):
            self._settle_failed(task, failure, decision.retry_state)
            return
        due = now + round(decision.seconds * 1_000_000)
        self._take_down_attempt(task, failure, outcome, now, due)
        self._prepare_next(task, failure)
        task.state = "Backoff"
        task.attempt_deadlines.append(self._deadlines.add(due, self._end_backoff, task))

    def _take_down_attempt(self, task: ActivityTask, failure: Failure, outcome: str, now: int, due: int | None) -> None:
        row = AttemptRow(
            *task.key, task.scheduled.activity_type, task.attempt, task.started_time or now, now, outcome, failure, due,
            task.latest_details,
        )  # fmt: skip
        self._journal.batch.attempts.append(row)

    def _prepare_next(self, task: ActivityTask, failure: Failure) -> None:
        task.last_failure = failure
        task.heartbeat_details = task.latest_details
        task.attempt += 1
        task.last_heartbeat = task.persisted_heartbeat = 0

    def _end_backoff(self, task: ActivityTask) -> None:
        task.attempt_deadlines.clear()
        self._enqueue(task)

    def _complete(self, task: ActivityTask, result: Payload) -> None:
        self._settle(
            task,
            lambda event_id, started_id, now: ActivityTaskCompleted(
                event_id=event_id, event_time=now, scheduled_event_id=task.scheduled.event_id,
                started_event_id=started_id, result=result,
            ),
        )  # fmt: skip

    def _settle_failed(self, task: ActivityTask, failure: Failure, retry_state: str) -> None:
        is_timeout = failure.kind == "timeout"
        was_running = failure.info.get("timeout_type") not in (TimeoutType.SCHEDULE_TO_START,)

        def make(event_id: int, started_id: int | None, now: int) -> HistoryEvent:
            if is_timeout:
                return ActivityTaskTimedOut(
                    event_id=event_id, event_time=now, scheduled_event_id=task.scheduled.event_id,
                    started_event_id=started_id, failure=failure, retry_state=retry_state,
                )  # fmt: skip
            return ActivityTaskFailed(
                event_id=event_id, event_time=now, scheduled_event_id=task.scheduled.event_id,
                started_event_id=started_id or 0, failure=failure, retry_state=retry_state,
            )  # fmt: skip

        self._settle(task, make, was_running=was_running)

    def _settle_canceled(self, task: ActivityTask, *, was_running: bool) -> None:
        self._settle(
            task,
            lambda event_id, started_id, now: ActivityTaskCanceled(
                event_id=event_id, event_time=now, scheduled_event_id=task.scheduled.event_id,
                started_event_id=started_id, latest_cancel_requested_event_id=task.cancel_requested_event_id,
            ),
            was_running=was_running,
        )  # fmt: skip

    def _settle(
        self, task: ActivityTask, make: Callable[[int, Any, int], HistoryEvent], *, was_running: bool = True
    ) -> None:
        """Write ActivityTaskStarted and the outcome, and let the workflow react."""
        self.forget(task)
        execution, scheduled = task.execution, task.scheduled
        del execution.tasks[scheduled.event_id]
        self.completed += 1

        def events(event_id: int, now: int) -> list[HistoryEvent]:
            if not was_running:
                return [make(event_id, None, now)]
            started = ActivityTaskStarted(
                event_id=event_id, event_time=now, scheduled_event_id=scheduled.event_id, attempt=task.attempt,
                started_time=task.started_time or now, last_failure=task.last_failure,
            )  # fmt: skip
            return [started, make(event_id + 1, event_id, now)]

        self._interpreter.deliver(execution, events)

    def forget(self, task: ActivityTask) -> None:
        """Take a task out of every queue and heap; an attempt under way is told to stop."""
        task.state = "Settled"
        for deadline in (*task.deadlines, *task.attempt_deadlines):
            deadline.cancel()
        task.deadlines.clear()
        task.attempt_deadlines.clear()

    def drop(self, execution: Execution) -> None:
        """Forget the activities of an execution that closed or leaves memory."""
        for task in execution.tasks.values():
            self.forget(task)
            if task.running is not None:
                attempt, kind = task.running
                self._runners[kind].cancel(attempt)
        execution.tasks.clear()

    # Cancellation and deadlines.

    def request_cancel(self, execution: Execution, event: ActivityTaskCancelRequested) -> None:
        """Pass on a cancellation: to the attempt under way, or by settling what does not run."""
        task = execution.tasks.get(event.scheduled_event_id)
        if task is None:
            return
        task.cancel_requested_event_id = event.event_id
        if task.running is not None:
            attempt, kind = task.running
            self._runners[kind].cancel(attempt)
        else:
            self._post(self._cancel_waiting, task)

    def _cancel_waiting(self, task: ActivityTask) -> None:
        if task.state in ("Queued", "Backoff", "Blocked", "Authorised"):
            self._settle_canceled(task, was_running=False)

    def _watch_schedule(self, task: ActivityTask) -> None:
        event = task.scheduled
        for timeout_type, seconds in (
            (TimeoutType.SCHEDULE_TO_CLOSE, event.schedule_to_close_timeout),
            (TimeoutType.SCHEDULE_TO_START, event.schedule_to_start_timeout),
        ):
            if seconds is not None:
                due = event.event_time + round(seconds * 1_000_000)
                task.deadlines.append(self._deadlines.add(due, self._on_schedule_timeout, task, timeout_type))

    def _on_schedule_timeout(self, task: ActivityTask, timeout_type: str) -> None:
        if timeout_type == TimeoutType.SCHEDULE_TO_START and (task.state == "Running" or task.attempt > 1):
            return
        was_running = task.running is not None
        self._abandon(task)
        failure = timeout_failure(timeout_type, f"activity {timeout_type} timeout", task.latest_details, task.last_failure)
        if timeout_type == TimeoutType.SCHEDULE_TO_START or not was_running:
            self._settle_timed_out_waiting(task, failure)
        else:
            self._settle_failed(task, failure, RetryState.TIMEOUT)

    def _settle_timed_out_waiting(self, task: ActivityTask, failure: Failure) -> None:
        self._settle(
            task,
            lambda event_id, started_id, now: ActivityTaskTimedOut(
                event_id=event_id, event_time=now, scheduled_event_id=task.scheduled.event_id,
                started_event_id=started_id, failure=failure, retry_state=RetryState.TIMEOUT,
            ),
            was_running=task.attempt > 1 and failure.info.get("timeout_type") != TimeoutType.SCHEDULE_TO_START,
        )  # fmt: skip

    def _watch_attempt(self, task: ActivityTask) -> None:
        event = task.scheduled
        if event.start_to_close_timeout is not None:
            due = task.started_time + round(event.start_to_close_timeout * 1_000_000)
            task.attempt_deadlines.append(
                self._deadlines.add(due, self._on_attempt_timeout, task, TimeoutType.START_TO_CLOSE)
            )
        if event.heartbeat_timeout is not None:
            due = task.started_time + round(event.heartbeat_timeout * 1_000_000)
            task.attempt_deadlines.append(self._deadlines.add(due, self._check_heartbeat, task))

    def _check_heartbeat(self, task: ActivityTask) -> None:
        timeout = round((task.scheduled.heartbeat_timeout or 0) * 1_000_000)
        due = max(task.last_heartbeat, task.started_time) + timeout
        if due > self._clock.now():
            task.attempt_deadlines.append(self._deadlines.add(due, self._check_heartbeat, task))
        else:
            self._on_attempt_timeout(task, TimeoutType.HEARTBEAT)

    def _on_attempt_timeout(self, task: ActivityTask, timeout_type: str) -> None:
        self._abandon(task)
        failure = timeout_failure(timeout_type, f"activity {timeout_type} timeout", task.latest_details)
        self._on_failure(task, failure, "TimedOut")

    def _abandon(self, task: ActivityTask) -> None:
        if task.running is not None:
            attempt, kind = task.running
            self._runners[kind].abandon(attempt)
            self._end_attempt(task, kind)

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
        self._watch_schedule(task)
        if pending is None:
            self._enqueue(task)
            return
        task.attempt = pending.attempt + 1
        task.last_failure = pending.failure
        task.heartbeat_details = pending.heartbeat_details
        beat = pending.last_heartbeat
        if pending.is_lost:
            task.attempt = pending.authorised_attempt
            if beat is not None and beat.attempt == task.attempt:
                task.heartbeat_details = beat.details
            self._lose(task)
        elif pending.next_attempt_time is not None and pending.next_attempt_time > self._clock.now():
            task.state = "Backoff"
            task.attempt_deadlines.append(self._deadlines.add(pending.next_attempt_time, self._end_backoff, task))
        else:
            self._enqueue(task)

    def _lose(self, task: ActivityTask) -> None:
        """Count an attempt whose process died, and start another at once unless it is used up."""
        lost = 1 + (task.last_failure.info.get("lost", 0) if task.last_failure else 0)
        failure = Failure(
            message=f"attempt {task.attempt} was lost: the process that ran it ended without telling its outcome",
            kind=APPLICATION,
            info={"type": _LOST, "lost": lost},
        )
        task.latest_details = task.heartbeat_details
        if lost >= LOST_LIMIT or (task.policy.maximum_attempts and task.attempt >= task.policy.maximum_attempts):
            self._post(self._settle_failed, task, failure, RetryState.MAXIMUM_ATTEMPTS_REACHED)
            return
        self._take_down_attempt(task, failure, "Lost", self._clock.now(), None)
        self._prepare_next(task, failure)
        self._enqueue(task)


def _policy(event: ActivityTaskScheduled) -> RetryPolicy:
    return RetryPolicy.from_json(dict(event.retry_policy)) if event.retry_policy else _DEFAULT_POLICY


def _is_strict(task: ActivityTask) -> bool:
    event = task.scheduled
    return bool(
        task.policy.maximum_attempts
        or event.start_to_close_timeout
        or event.heartbeat_timeout
        or event.schedule_to_start_timeout
    )


def _utc(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


