"""Activities that are completed from outside: their attempt's function has returned, or will, and somebody else tells.

Such an attempt has no place and no thread. That it waits is a note in the log, so that a restart
neither counts it as lost nor runs it again; its timeouts go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.core.task_tokens import TaskToken
from nbflow.engine.activities import Activities
from nbflow.engine.execution import ActivityTask, Execution
from nbflow.engine.parts import Parts
from nbflow.engine.requests import Requests
from nbflow.exceptions import ActivityNotFoundError, ClientError
from nbflow.store import HeartbeatRow, NoteRow

__all__ = ["Completions", "Target"]

Answer = Future[Any]


@dataclass(frozen=True, slots=True)
class Target:
    """Which activity is meant: by its token, or by the ids of its execution and its own."""

    token: TaskToken | None = None
    workflow_id: str = ""
    run_id: str | None = None
    activity_id: str = ""

    def __str__(self) -> str:
        if self.token is not None:
            return f"activity {self.token.scheduled_event_id} of run {self.token.run_id}, attempt {self.token.attempt}"
        return f"activity {self.activity_id} of workflow {self.workflow_id}"


class Completions:
    """Serves those who complete activities from outside, on the engine's thread.

    Parameters
    ----------
    parts
        The engine's parts.
    activities
        Settles activities.
    requests
        Finds executions.
    """

    def __init__(self, parts: Parts, activities: Activities, requests: Requests) -> None:
        self._clock = parts.clock
        self._journal = parts.journal
        self._activities = activities
        self._requests = requests
        activities.on_left_open = self._note

    def _note(self, task: ActivityTask) -> None:
        """Take down that an attempt waits to be completed from outside."""
        run_id, event_id = task.key
        body = {"scheduled_event_id": event_id, "attempt": task.attempt, "started_time": task.started_time}
        row = NoteRow(run_id, task.execution.workflow_id, self._clock.now(), "CompleteLater", json.dumps(body))
        self._journal.batch.notes.append(row)

    def complete(self, target: Target, result: Payload, answer: Answer) -> None:
        """Settle the activity with a result; answers when that is durable."""

        def act(task: ActivityTask) -> None:
            self._activities.complete(task, result)
            self._journal.answer(answer)

        self._with_task(target, answer, act)

    def fail(self, target: Target, failure: Failure, answer: Answer) -> None:
        """Let the attempt fail: it is retried by its policy; answers when that is durable."""

        def act(task: ActivityTask) -> None:
            self._activities.fail_from_outside(task, failure)
            self._journal.answer(answer)

        self._with_task(target, answer, act)

    def heartbeat(self, target: Target, details: Payload | None, answer: Answer) -> None:
        """Take a heartbeat; answers with whether cancellation was requested."""

        def act(task: ActivityTask) -> None:
            now = self._clock.now()
            if details is not None:
                task.latest_details = details
            task.last_heartbeat = task.persisted_heartbeat = now
            self._journal.batch.heartbeats.append(HeartbeatRow(*task.key, task.attempt, now, task.latest_details))
            self._journal.answer(answer, task.cancel_requested_event_id is not None)

        self._with_task(target, answer, act)

    def report_cancellation(self, target: Target, answer: Answer) -> None:
        """Settle the activity as cancelled; answers when that is durable."""

        def act(task: ActivityTask) -> None:
            if task.cancel_requested_event_id is None:
                msg = f"{target} can't be reported as cancelled: nobody asked it to cancel"
                raise ClientError(msg)
            self._activities.cancel_from_outside(task)
            self._journal.answer(answer)

        self._with_task(target, answer, act)

    def _with_task(self, target: Target, answer: Answer, act: Callable[[ActivityTask], None]) -> None:
        token = target.token
        run = self._requests.find(target.workflow_id, target.run_id if token is None else token.run_id)
        self._requests.with_execution(run, answer, lambda execution: act(_task_of(execution, target)))


def _task_of(execution: Execution, target: Target) -> ActivityTask:
    token = target.token
    if token is not None:
        task = execution.tasks.get(token.scheduled_event_id)
    else:
        found = [task for task in execution.tasks.values() if task.scheduled.activity_id == target.activity_id]
        task = found[0] if found else None
    if task is None:
        msg = f"{target} is not open: it has its outcome already, or there is no such activity"
        raise ActivityNotFoundError(msg)
    if task.state != "Running" or (token is not None and token.attempt != task.attempt):
        msg = f"{target} is over, or has not begun: attempt {task.attempt} is {task.state.lower()}"
        raise ActivityNotFoundError(msg)
    return task
