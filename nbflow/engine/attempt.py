"""One try of an activity: what the runner gets, and what the activity's code talks to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from nbflow.core.activity_context import ActivityContext, ActivityInfo
from nbflow.core.definitions import Definition
from nbflow.core.payloads import Converter
from nbflow.core.task_tokens import TaskToken
from nbflow.engine.clock import Clock
from nbflow.engine.execution import ActivityTask, Outcome
from nbflow.engine.journal import Journal
from nbflow.engine.levels import level_name
from nbflow.exceptions import ActivityCancelled
from nbflow.store import HeartbeatRow, LogRow

__all__ = ["Attempt", "AttemptOwner"]

_HEARTBEAT_PERSISTED_EVERY = 1_000_000


class AttemptOwner(Protocol):
    """What an attempt needs of whoever started it."""

    clock: Clock
    journal: Journal
    converter: Converter
    post: Callable[..., None]

    def on_outcome(self, attempt: Attempt, outcome: Outcome) -> None:
        """Hear, on the engine's thread, how the attempt ended."""
        ...


class Attempt(ActivityContext):
    """One try of an activity.

    Parameters
    ----------
    owner
        Hears the outcome.
    task
        The activity.
    kind
        Where it runs: ``thread``, ``loop`` or ``process``.
    definition
        The code.
    """

    __slots__ = (
        "cancel_requested", "conflicts", "definition", "handle", "has_thread", "is_abandoned", "kind", "lock", "number",
        "owner", "task", "transaction",
    )  # fmt: skip

    def __init__(self, owner: AttemptOwner, task: ActivityTask, kind: str, definition: Definition) -> None:
        super().__init__()
        self.owner = owner
        self.task = task
        self.kind = kind
        self.number = task.attempt
        self.definition = definition
        self.cancel_requested = False
        self.is_abandoned = False
        self.handle: Any = None
        """The runner's own: a thread id, an asyncio task, a worker process."""
        self.lock = threading.Lock()
        self.has_thread = False
        """True while a thread has it, or will take it."""
        self.transaction: Any = None
        """The cursor of a transaction."""
        self.conflicts = 0

    def decode(self) -> tuple[list[Any], Mapping[str, Any]]:
        """Decode the arguments."""
        scheduled, decode = self.task.scheduled, self.owner.converter.decode
        kwargs = decode(scheduled.keyword_input) if scheduled.keyword_input is not None else {}
        return decode(scheduled.input), kwargs

    def report(self, outcome: Outcome) -> None:
        """Tell how it ended; from any thread, once."""
        self.owner.post(self.owner.on_outcome, self, outcome)

    def describe(self) -> ActivityInfo:
        """Make the attempt's description."""
        task = self.task
        event, run, details = task.scheduled, task.execution.run, task.heartbeat_details
        return ActivityInfo(
            activity_id=event.activity_id,
            activity_type=event.activity_type,
            attempt=self.number,
            workflow_id=run.workflow_id,
            run_id=run.run_id,
            workflow_type=run.workflow_type,
            scheduled_time=_utc(event.event_time),
            started_time=_utc(task.started_time),
            heartbeat_details=None if details is None else self.owner.converter.decode(details),
            idempotency_key=f"{run.run_id}/{event.activity_id}",
            start_to_close_timeout=event.start_to_close_timeout,
            heartbeat_timeout=event.heartbeat_timeout,
            task_token=TaskToken(*task.key, self.number).to_text(),
        )

    def heartbeat(self, details: Any) -> None:
        """Take a heartbeat: keep it for the next attempt, and tell the code if it shall stop."""
        task = self.task
        if self.is_abandoned or task.attempt != self.number or task.state != "Running":
            msg = f"attempt {self.number} of activity {task.scheduled.activity_type} is no longer wanted"
            raise ActivityCancelled(msg)
        now = self.owner.clock.now()
        if details is not None:
            task.latest_details = self.owner.converter.encode(details)
        task.last_heartbeat = now
        if now - task.persisted_heartbeat >= _HEARTBEAT_PERSISTED_EVERY:
            task.persisted_heartbeat = now
            row = HeartbeatRow(*task.key, self.number, now, task.latest_details)
            self.owner.post(lambda: self.owner.journal.batch.heartbeats.append(row))
        if self.cancel_requested:
            msg = f"cancellation of activity {task.scheduled.activity_type} was requested"
            raise ActivityCancelled(msg)

    def log(self, level: int, logger: str, message: str) -> None:
        """Take a log line."""
        run_id, event_id = self.task.key
        workflow_id = self.task.execution.workflow_id
        # names of files may hold what is no text, and the log takes only text
        text = message.encode("utf-8", "backslashreplace").decode()
        now = self.owner.clock.now()
        row = LogRow(run_id, workflow_id, event_id, self.number, now, level_name(level), logger, text)
        self.owner.post(lambda: self.owner.journal.batch.logs.append(row))


def _utc(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
