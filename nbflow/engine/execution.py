"""What the engine keeps of an execution, and of an activity, while it is in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbflow.core.definitions import Definition
from nbflow.core.events import (
    ActivityTaskScheduled,
    HistoryEvent,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
)
from nbflow.core.failures import Failure
from nbflow.core.instance import WorkflowInstance
from nbflow.core.payloads import Payload
from nbflow.core.retry import RetryPolicy

if TYPE_CHECKING:
    from nbflow.engine.deadlines import Deadline

__all__ = ["OPEN_STATUSES", "ActivityTask", "ChainOf", "Execution", "Outcome", "RunState"]


OPEN_STATUSES = frozenset({"Running", "Paused", "Suspended"})


@dataclass(slots=True, eq=False)
class RunState:
    """An execution in short: what is known of it even when it is not in memory."""

    run_id: str
    workflow_id: str
    workflow_type: str
    status: str
    definition_hash: str = ""
    closing_event: HistoryEvent | None = None
    """How it closed, if that was a short while ago."""
    next_run_id: str | None = None
    """The run that followed it, as far as known."""
    last_event_id: int = 0
    """Its last event taken down by this process; the log may lag behind it until the next commit."""

    @property
    def is_open(self) -> bool:
        """True until it closes: it runs, is paused, or is suspended."""
        return self.status in OPEN_STATUSES


class ChainOf(str):
    """The id of a run that stands for itself and for all that follow it."""

    __slots__ = ()


@dataclass(slots=True, eq=False)
class Execution:
    """One open execution in memory."""

    run: RunState
    definition: Definition
    instance: WorkflowInstance
    started: WorkflowExecutionStarted
    next_event_id: int = 1
    last_batch: int = 0
    """The journal's batch that holds its latest event."""
    tasks: dict[int, ActivityTask] = field(default_factory=dict)
    """Its activities without an outcome, by scheduled_event_id."""
    deadlines: dict[Any, Deadline] = field(default_factory=dict)
    """Its timers by started_event_id, and its own deadlines by name."""
    cancel_requests: dict[int, int] = field(default_factory=dict)
    """ActivityTaskCancelRequested events of open activities, by scheduled_event_id; known after a replay."""
    start_signal: WorkflowExecutionSignaled | None = None
    """What came together with the start."""
    is_delayed: bool = False
    """True until its start delay has passed."""
    replayed_events: int = 0
    last_event: HistoryEvent | None = None
    history: list[HistoryEvent] = field(default_factory=list)
    """Events to be taken down when it is taken in: those that it shares with an older run."""

    @property
    def run_id(self) -> str:
        """Which run."""
        return self.run.run_id

    @property
    def workflow_id(self) -> str:
        """Its id."""
        return self.run.workflow_id

    @property
    def first_events(self) -> list[HistoryEvent]:
        """What its code begins with."""
        return [self.started] if self.start_signal is None else [self.started, self.start_signal]

    @property
    def is_paused(self) -> bool:
        """True while its code does not run: somebody paused it, or it is suspended."""
        return self.instance.pause is not None

    def note_pause(self) -> None:
        """Let the status say whether it is paused."""
        pause = self.instance.pause
        self.run.status = "Running" if pause is None else "Paused" if pause.failure is None else "Suspended"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: with a result, a failure, or by letting a cancellation pass."""

    result: Payload | None = None
    failure: Failure | None = None
    conflict: bool = False
    """Of a transaction: another one was quicker, and this one may be made again."""
    is_left_open: bool = False
    """True if somebody else will complete the activity."""


@dataclass(slots=True, eq=False)
class ActivityTask:
    """One scheduled activity without an outcome."""

    execution: Execution
    scheduled: ActivityTaskScheduled
    policy: RetryPolicy
    attempt: int = 1
    """The attempt that runs or comes next."""
    state: str = "Queued"
    """Queued, Authorised, Running, Backoff, Blocked, Paused or Settled."""
    is_paused: bool = False
    """True while somebody paused this activity: no further attempt begins."""
    started_time: int = 0
    last_failure: Failure | None = None
    heartbeat_details: Payload | None = None
    """What the last attempt left to this one."""
    latest_details: Payload | None = None
    """What this attempt said last."""
    last_heartbeat: int = 0
    persisted_heartbeat: int = 0
    cancel_requested_event_id: int | None = None
    deadlines: tuple[Deadline, ...] = ()
    """Of the activity as a whole."""
    attempt_deadlines: tuple[Deadline, ...] = ()
    """Of the attempt under way, or of the backoff before the next."""
    running: Any = None
    """The runner's handle of the attempt under way."""
    is_left_open: bool = False
    """True while the attempt waits to be completed from outside; it has no place and no thread."""
    lane: Any = None
    """Where it runs, or waits to run."""

    @property
    def key(self) -> tuple[str, int]:
        """Its identity: run and scheduled event."""
        return self.execution.run_id, self.scheduled.event_id
