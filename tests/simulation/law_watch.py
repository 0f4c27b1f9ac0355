"""The laws: what must hold after every commit, every start of an attempt, and every answer to a caller."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from law_store import OUTCOMES, Key, MemoryStore
from law_workflow import VERSIONS

from nbflow.core.definitions import Definition
from nbflow.core.event_json import attributes_json, initiated_event_id
from nbflow.core.events import (
    CLOSING_EVENTS,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    HistoryEvent,
    TimerFired,
    TimerStarted,
    WorkflowExecutionSignaled,
)
from nbflow.core.instance import WorkflowInstance
from nbflow.core.machines import ACTIVITY, CHILD, EXECUTION, EXTERNAL_CANCEL, EXTERNAL_SIGNAL, TIMER, UPDATE, Machine
from nbflow.core.payloads import JsonConverter
from nbflow.core.replay import replay
from nbflow.engine.attempt import Attempt
from nbflow.store import Batch

LAWS = {
    "I1": "event ids are dense",
    "I2": "every state machine takes every event",
    "I3": "nothing follows a closing event",
    "I4": "an activity has exactly one outcome",
    "I5": "no attempt starts before it is authorised durably",
    "I6": "no attempt starts twice, and none after its activity's outcome",
    "I7": "attempts are counted without gaps",
    "I8": "replay of every durable history equals the record",
    "I9": "what was acknowledged is durable",
    "I10": "a message is recorded at most once",
    "I11": "timers and retries are never early",
    "I12": "a calm program returns what it must",
    "I13": "queries agree with replay",
    "I14": "everything ends",
    "I15": "nothing fails inside the engine",
    "I16": "one workflow id has at most one open run",
}
_MACHINES: list[tuple[str, str, Machine]] = [
    ("ActivityTask", "activity", ACTIVITY),
    ("Timer", "timer", TIMER),
    ("WorkflowExecutionUpdate", "update", UPDATE),
    ("StartChildWorkflowExecution", "child", CHILD),
    ("ChildWorkflowExecution", "child", CHILD),
    ("RequestCancelExternalWorkflowExecution", "cancel", EXTERNAL_CANCEL),
    ("ExternalWorkflowExecutionCancel", "cancel", EXTERNAL_CANCEL),
    ("SignalExternalWorkflowExecution", "signal", EXTERNAL_SIGNAL),
    ("ExternalWorkflowExecutionSignaled", "signal", EXTERNAL_SIGNAL),
]
_BY_HASH = {version.hash: version for version in VERSIONS}


class LawBrokenError(AssertionError):
    """A law does not hold."""


class Watch:
    """Looks at what becomes durable.

    Parameters
    ----------
    store
        The log.
    now
        Tells the engine's time.
    """

    def __init__(self, store: MemoryStore, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._states: dict[tuple[Any, ...], str] = {}
        self._seen: dict[str, int] = defaultdict(int)
        self._started: set[tuple[str, int, int]] = set()
        self._messages: Counter[tuple[str, str]] = Counter()
        self._timers: dict[Key, int] = {}
        self._counted: dict[Key, int] = defaultdict(int)
        self.settled: set[Key] = set()

    @staticmethod
    def violated(law: str, text: str) -> None:
        """Say which law is broken."""
        raise LawBrokenError(f"{law} {LAWS[law]}: {text}")

    # After every commit.

    def committed(self, batch: Batch) -> set[str]:
        """Look at a batch that is durable now; return the runs that it moved."""
        for row in batch.attempts:
            self._count(row.run_id, row.scheduled_event_id, row.attempt)
        runs = {run_id for run_id, *_ in batch.events}
        for run_id in sorted(runs):
            history = self._store.histories[run_id]
            for event in history[self._seen[run_id] :]:
                self._look_at(run_id, event)
        self._look_at_ids({workflow_id for _, workflow_id, *_ in batch.events})
        return runs

    def _count(self, run_id: str, event_id: int, attempt: int) -> None:
        if attempt != self._counted[run_id, event_id] + 1:
            self.violated("I7", f"attempt {attempt} follows attempt {self._counted[run_id, event_id]} of {event_id}")
        self._counted[run_id, event_id] = attempt

    def _look_at(self, run_id: str, event: HistoryEvent) -> None:
        self._seen[run_id] += 1
        if event.event_id != self._seen[run_id]:
            self.violated("I1", f"run {run_id} has event {event.event_id} where {self._seen[run_id]} belongs")
        if self._states.get((run_id,)) in _CLOSED:
            self.violated("I3", f"run {run_id}: {event} follows the end")
        self._advance((run_id,), EXECUTION, event)
        for prefix, what, machine in _MACHINES:
            if type(event).__name__.startswith(prefix):
                self._advance((run_id, what, initiated_event_id(event) or event.event_id), machine, event)
                break
        match event:
            case TimerStarted():
                self._timers[run_id, event.event_id] = event.fire_time or 0
            case TimerFired():
                due = self._timers[run_id, event.started_event_id]
                if event.identity is None and event.event_time < due:
                    early = due - event.event_time
                    self.violated("I11", f"run {run_id}: timer {event.timer_id} fired {early} us early")
            case WorkflowExecutionSignaled():
                self._look_at_signal(run_id, event)
            case ActivityTaskStarted():
                if self._is_shared(run_id, event):
                    self._counted[run_id, event.scheduled_event_id] = event.attempt - 1
                self._count(run_id, event.scheduled_event_id, event.attempt)
        if isinstance(event, OUTCOMES):
            key = run_id, event.scheduled_event_id
            if key in self.settled:
                self.violated("I4", f"run {run_id}: {event} is another outcome")
            self.settled.add(key)

    def _is_shared(self, run_id: str, event: HistoryEvent) -> bool:
        """True if a reset took this event over from another run."""
        started: Any = self._store.histories[run_id][0]
        return started.reset_run_id is not None and event.event_id <= started.reset_event_id

    def _look_at_signal(self, run_id: str, event: WorkflowExecutionSignaled) -> None:
        word = str(event.input.tree)
        if "inner" in word:
            return  # a workflow said it: how often it did so is in its own history
        started: Any = self._store.histories[run_id][0]
        self._messages[run_id, word] += 1
        if started.reset_run_id is None:  # else it may have been taken over, or sent again
            self._messages["", word] += 1
        if max(self._messages[run_id, word], self._messages["", word]) > 1:
            self.violated("I10", f"signal {word} is recorded twice")

    def _look_at_ids(self, workflow_ids: set[str]) -> None:
        store = self._store
        runs: dict[str, list[str]] = defaultdict(list)
        for run_id, history in store.histories.items():
            if type(history[-1]) not in CLOSING_EVENTS:
                runs[store.workflow_ids[run_id]].append(run_id)
        for workflow_id in sorted(workflow_ids):
            if len(runs[workflow_id]) > 1:
                self.violated("I16", f"runs {runs[workflow_id]} of {workflow_id} are open")

    def _advance(self, subject: tuple[Any, ...], machine: Machine, event: HistoryEvent) -> None:
        state, kind = self._states.get(subject, "New"), type(event).__name__
        following = machine[state].get(kind)
        if following is None:
            self.violated("I2", f"{subject} is {state} and can't take {kind}")
        assert following is not None
        self._states[subject] = following

    # When an attempt starts.

    def attempt_starts(self, attempt: Attempt) -> None:
        """Look at an attempt whose code is about to run."""
        task, number = attempt.task, attempt.number
        run_id, event_id = key = task.key
        history = self._store.histories.get(run_id, [])
        if len(history) < event_id or type(history[event_id - 1]) is not ActivityTaskScheduled:
            self.violated("I5", f"attempt {number} of {key}: its ActivityTaskScheduled is not durable")
        dispatched = self._store.dispatched.get(key, 0)
        if dispatched < number and not (number == 1 and key not in self._store.deferred):
            self.violated("I5", f"attempt {number} of {key} was never authorised: dispatched are {dispatched}")
        if (*key, number) in self._started:
            self.violated("I6", f"attempt {number} of {key} starts again")
        if key in self.settled:
            self.violated("I6", f"attempt {number} of {key} starts although the activity has its outcome")
        self._started.add((*key, number))
        rows = self._store.attempts.get(key, [])
        due = rows[-1].next_attempt_time if rows else None
        is_told_to = any(note.kind == "ActivityRetried" for note in self._store.notes)
        if due is not None and self._now() < due and not is_told_to:
            self.violated("I11", f"attempt {number} of {key} starts {due - self._now()} us early")

    # Replay.

    def rebuild(self, run_id: str, until: int | None = None, code: Definition | None = None) -> WorkflowInstance:
        """Replay a durable history; what the code asks for must be what is recorded, all of it and no more."""
        history = self._store.histories[run_id][:until]
        started: Any = history[0]
        pinned = self._store.reader().pins([run_id]).get(run_id, started.definition_hash)
        instance = WorkflowInstance(run_id, code or _BY_HASH[pinned], JsonConverter())
        try:
            outstanding = replay(instance, history)
        except Exception as error:
            shown = "\n".join(f"  {e.event_id} {type(e).__name__} {attributes_json(e)[:150]}" for e in history)
            self.violated("I8", f"run {run_id}: {error!r}\n{shown}")
            raise
        if outstanding and until is None and type(history[-1]) not in CLOSING_EVENTS:
            instance.evict()
            self.violated("I8", f"run {run_id}: the code asks for {outstanding}, which is not recorded")
        return instance

    def check_replay(self, run_id: str) -> None:
        """Replay a durable history, and compare what is pending with what the state machines say."""
        history: Any = self._store.histories[run_id]
        if len(history) == 1 and history[0].first_workflow_task_backoff:
            return  # its code has not begun, and what ends the delay is not known
        instance = self.rebuild(run_id)
        try:
            if self._states[run_id,] == "Running":
                for what, found in (("activity", instance.activities), ("timer", instance.timers)):
                    expected = self._pending(run_id, what)
                    unknown = set(found) - expected
                    if unknown or (what == "timer" and expected != set(found)):
                        self.violated("I8", f"run {run_id}: pending {what}s are {set(found)}, recorded {expected}")
        finally:
            instance.evict()

    def _pending(self, run_id: str, what: str) -> set[int]:
        still = {"Scheduled", "Started", "CancelRequested", "Pending"}
        return {
            subject[2]
            for subject, state in self._states.items()
            if len(subject) == 3 and subject[:2] == (run_id, what) and state in still
        }


_CLOSED = frozenset(state for state, steps in EXECUTION.items() if not steps)
