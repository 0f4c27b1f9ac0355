"""An event log in memory, with the answers that the engine's Reader gives: prefixes of whole batches, nothing else.

``test_law.py`` compares it with the real store, so that it may stand in for DuckDB in most seeds.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from nbflow.core.event_json import attributes_json, event_from_attributes, initiated_event_id
from nbflow.core.events import (
    CLOSING_EVENTS,
    ActivityTaskCanceled,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskTimedOut,
    ChildWorkflowExecutionStarted,
    HistoryEvent,
    StartChildWorkflowExecutionInitiated,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionPaused,
    WorkflowExecutionUnpaused,
)
from nbflow.store import AttemptRow, Batch, DefinitionRow, HeartbeatRow, NoteRow, Owed, PendingAttempt, RunRow

_INITIATED = frozenset(
    {
        "StartChildWorkflowExecutionInitiated",
        "SignalExternalWorkflowExecutionInitiated",
        "RequestCancelExternalWorkflowExecutionInitiated",
    }
)
_ANSWERS = frozenset(
    {
        "StartChildWorkflowExecutionFailed",
        *(f"ChildWorkflowExecution{how}" for how in ("Completed", "Failed", "Canceled", "TimedOut", "Terminated")),
        "ExternalWorkflowExecutionSignaled",
        "SignalExternalWorkflowExecutionFailed",
        "ExternalWorkflowExecutionCancelRequested",
        "RequestCancelExternalWorkflowExecutionFailed",
    }
)
OUTCOMES = (ActivityTaskCompleted, ActivityTaskFailed, ActivityTaskTimedOut, ActivityTaskCanceled)
PAUSES = (WorkflowExecutionPaused, WorkflowExecutionUnpaused)
Key = tuple[str, int]


class MemoryStore:
    """Committed batches, kept in memory; what survives a crash of the simulated process."""

    path = ":simulated:"

    def __init__(self) -> None:
        self.histories: dict[str, list[HistoryEvent]] = {}
        self.workflow_ids: dict[str, str] = {}
        self.deferred: set[Key] = set()
        self.attempts: dict[Key, list[AttemptRow]] = defaultdict(list)
        self.dispatched: dict[Key, int] = defaultdict(int)
        self.beats: dict[Key, list[HeartbeatRow]] = defaultdict(list)
        self.definitions: list[DefinitionRow] = []
        self.notes: list[NoteRow] = []
        self.batches: list[Batch] = []

    def commit(self, batch: Batch) -> None:
        """Take a batch down, whole; events are read back from their JSON, as from disk."""
        self.batches.append(batch)
        for run_id, workflow_id, event, deferred in batch.events:
            tree = json.loads(attributes_json(event))
            read = event_from_attributes(type(event).__name__, event.event_id, event.event_time, tree)
            self.histories.setdefault(run_id, []).append(read)
            self.workflow_ids[run_id] = workflow_id
            if deferred:
                self.deferred.add((run_id, event.event_id))
        for row in batch.attempts:
            self.attempts[row.run_id, row.scheduled_event_id].append(row)
        for dispatch in batch.dispatches:
            for event_id in range(dispatch.first_scheduled_event_id, dispatch.last_scheduled_event_id + 1):
                key = dispatch.run_id, event_id
                self.dispatched[key] = max(self.dispatched[key], dispatch.attempt)
        for beat in batch.heartbeats:
            self.beats[beat.run_id, beat.scheduled_event_id].append(beat)
        self.definitions += batch.definitions
        self.notes += batch.notes

    def reader(self) -> MemoryReader:
        """Return what answers the engine."""
        return MemoryReader(self)


class MemoryReader:
    """Answers as :class:`nbflow.store.Reader` does."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def _is_open(self, run_id: str) -> bool:
        return type(self._store.histories[run_id][-1]) not in CLOSING_EVENTS

    def _open(self) -> list[str]:
        return [run_id for run_id in self._store.histories if self._is_open(run_id)]

    def histories(self, run_ids: Sequence[str]) -> dict[str, list[HistoryEvent]]:
        """Read whole histories."""
        known = self._store.histories
        return {run_id: list(known[run_id]) for run_id in sorted(run_ids) if run_id in known}

    def run(self, run_id: str) -> RunRow | None:
        """Tell one run in short."""
        history: Any = self._store.histories.get(run_id)
        if history is None:
            return None
        first, last = history[0], history[-1]
        is_closed = type(last) in CLOSING_EVENTS
        pin = self.pins([run_id]).get(run_id, first.definition_hash)
        return RunRow(
            run_id,
            self._store.workflow_ids[run_id],
            first.workflow_type,
            type(last).__name__[len("WorkflowExecution") :] if is_closed else self._open_status(history),
            first.event_time,
            last.event_time if is_closed else None,
            len(history),
            pin,
        )

    @staticmethod
    def _open_status(history: list[HistoryEvent]) -> str:
        pauses: Any = [event for event in history if type(event) in PAUSES]
        if not pauses or type(pauses[-1]) is WorkflowExecutionUnpaused:
            return "Running"
        return "Paused" if pauses[-1].failure is None else "Suspended"

    def latest_runs(self, workflow_ids: Sequence[str]) -> dict[str, RunRow]:
        """Tell the newest run of each workflow id that has one."""
        newest = {self._store.workflow_ids[run_id]: run_id for run_id in self._store.histories}
        found: Any = {it: self.run(newest[it]) for it in workflow_ids if it in newest}
        return found

    def pins(self, run_ids: Sequence[str]) -> dict[str, str]:
        """Tell which version of its code each of these runs was moved to."""
        pinned = [note for note in self._store.notes if note.kind == "Pinned" and note.run_id in run_ids]
        return {note.run_id: json.loads(note.body)["definition_hash"] for note in pinned}

    def open_runs_with_pending_activities(self) -> list[str]:
        """Name the open runs that wait for an activity."""
        return sorted(run_id for run_id in self._open() if self._unsettled(run_id))

    def _unsettled(self, run_id: str) -> list[ActivityTaskScheduled]:
        history = self._store.histories[run_id]
        done = {initiated_event_id(event) for event in history if isinstance(event, OUTCOMES)}
        return [it for it in history if type(it) is ActivityTaskScheduled and it.event_id not in done]

    def runs(self, run_ids: Sequence[str]) -> dict[str, RunRow]:
        """Tell runs in short."""
        found: Any = {run_id: self.run(run_id) for run_id in run_ids if run_id in self._store.histories}
        return found

    def owes_something(self) -> Owed:
        """Find what executions still owed each other when the last process ended."""
        if not any(self._asked(run_id) for run_id in self._store.histories):
            return Owed(False, [], [], [])
        unsettled = [run_id for run_id in sorted(self._open()) if self._waits_for_what_happened(run_id)]
        return Owed(True, unsettled, self._undelivered(), self._forsaken())

    def _asked(self, run_id: str) -> list[Any]:
        return [event for event in self._store.histories[run_id] if type(event).__name__ in _INITIATED]

    def _unanswered(self, run_id: str) -> list[Any]:
        """What a run asked of others and has no outcome of."""
        history = self._store.histories[run_id]
        done = {initiated_event_id(event) for event in history if type(event).__name__ in _ANSWERS}
        return [event for event in self._asked(run_id) if event.event_id not in done]

    def _open_children(self) -> list[tuple[str, Any]]:
        starts: list[tuple[str, Any]] = [(run_id, self._store.histories[run_id][0]) for run_id in self._open()]
        return [(run_id, started) for run_id, started in starts if started.parent_run_id]

    def _waits_for_what_happened(self, run_id: str) -> bool:
        children = {
            started.parent_initiated_event_id for _, started in self._open_children() if started.parent_run_id == run_id
        }
        return any(event.event_id not in children for event in self._unanswered(run_id))

    def _undelivered(self) -> list[tuple[str, HistoryEvent]]:
        settled = {
            (note.run_id, json.loads(note.body)["initiated_event_id"])
            for note in self._store.notes
            if note.kind == "RequestSettled"
        }
        found: list[tuple[str, Any]] = []
        for run_id, history in self._store.histories.items():
            if self._is_open(run_id):
                continue
            begun = {initiated_event_id(it) for it in history if isinstance(it, ChildWorkflowExecutionStarted)}
            for event in self._unanswered(run_id):
                is_child = isinstance(event, StartChildWorkflowExecutionInitiated)
                is_wanted = not is_child or event.parent_close_policy == "ABANDON"
                if is_wanted and event.event_id not in begun and (run_id, event.event_id) not in settled:
                    found.append((run_id, event))
        return sorted(found, key=lambda it: (it[1].event_time, it[0], it[1].event_id))

    def _forsaken(self) -> list[tuple[str, str, str, str, str]]:
        found = []
        for run_id, started in sorted(self._open_children(), key=lambda it: it[0]):
            parent = self._store.histories.get(started.parent_run_id)
            if parent is None or self._is_open(started.parent_run_id) or started.event_time > parent[-1].event_time:
                continue
            asked = {type(event) for event in self._store.histories[run_id]}
            for event in self._unanswered(started.parent_run_id):
                is_mine = event.event_id == started.parent_initiated_event_id
                if is_mine and event.parent_close_policy != "ABANDON" and WorkflowExecutionCancelRequested not in asked:
                    ids = self._store.workflow_ids
                    policy, parent_id = event.parent_close_policy, started.parent_run_id
                    found.append((run_id, ids[run_id], policy, parent_id, ids[parent_id]))
        return found

    def closed_children(
        self, workflow_ids: Sequence[str], parent_run_ids: Sequence[str]
    ) -> list[tuple[str, int, str, HistoryEvent]]:
        """Read how children of these parents closed."""
        last: dict[tuple[str, int], str] = {}
        for run_id, history in self._store.histories.items():
            started: Any = history[0]
            if self._store.workflow_ids[run_id] in workflow_ids and started.parent_run_id in parent_run_ids:
                last[started.parent_run_id, started.parent_initiated_event_id] = run_id
        found = [
            (*key, run_id, self._store.histories[run_id][-1])
            for key, run_id in last.items()
            if not self._is_open(run_id)
        ]
        return sorted(found, key=lambda it: (it[3].event_time, it[2]))

    def open_runs(self, limit: int) -> list[RunRow]:
        """Return the newest open runs."""
        rows: Any = [self.run(run_id) for run_id in self._open()]
        rows.sort(key=lambda row: row.start_time, reverse=True)
        return [row._replace(history_length=0) for row in rows[:limit]]

    def suspended_runs(self) -> list[RunRow]:
        """Return the open runs that are suspended."""
        rows: Any = [self.run(run_id) for run_id in self._open()]
        return [row for row in rows if row.status == "Suspended"]

    def pending_attempts(self, run_ids: Sequence[str]) -> dict[Key, PendingAttempt]:
        """Tell what is known of the attempts of these runs' open activities."""
        return {
            (run_id, event.event_id): self._pending(run_id, event)
            for run_id in sorted(run_ids)
            if run_id in self._store.histories
            for event in self._unsettled(run_id)
        }

    def _pending(self, run_id: str, event: ActivityTaskScheduled) -> PendingAttempt:
        key = run_id, event.event_id
        tried = self._store.attempts.get(key, [])
        last = max(tried, key=lambda row: row.attempt, default=None)
        detailed = [row for row in tried if row.heartbeat_details is not None]
        details = max(detailed, key=lambda row: row.attempt).heartbeat_details if detailed else None
        beats = enumerate(self._store.beats.get(key, []))
        beat = max(beats, key=lambda it: (it[1].attempt, it[1].time, it[0]), default=(0, None))[1]
        paused, retried = self._operated(run_id, event.event_id)
        ended = max((row.ended_time for row in tried), default=None)
        is_cut_short = retried is not None and ended is not None and retried >= ended
        return PendingAttempt(
            run_id=run_id,
            scheduled_event_id=event.event_id,
            activity_type=event.activity_type,
            attempt=last.attempt if last else 0,
            failure=last.failure if last else None,
            next_attempt_time=None if last is None or is_cut_short else last.next_attempt_time,
            heartbeat_details=details,
            dispatch_attempt=self._store.dispatched.get(key, 0),
            deferred=key in self._store.deferred,
            last_heartbeat=beat,
            is_paused=paused,
        )

    def _operated(self, run_id: str, event_id: int) -> tuple[bool, int | None]:
        """Tell what operators did to an activity: is it paused, and when was it last told to try at once?"""
        paused, retried = False, None
        for note in self._store.notes:
            if note.run_id != run_id or not note.kind.startswith("Activity"):
                continue
            if json.loads(note.body)["scheduled_event_id"] != event_id:
                continue
            if note.kind == "ActivityRetried":
                retried = max(note.time, retried or 0)
            else:
                paused = note.kind == "ActivityPaused"
        return paused, retried

    def due(self, until: int) -> list[tuple[str, int]]:
        """List open runs by their earliest deadline."""
        earliest = {run_id: min(self._deadlines(run_id), default=until + 1) for run_id in self._open()}
        return sorted(((run_id, due) for run_id, due in earliest.items() if due <= until), key=lambda it: it[::-1])

    def _deadlines(self, run_id: str) -> list[int]:
        history: Any = self._store.histories[run_id]
        started = history[0]
        ended = {initiated_event_id(event) for event in history if type(event) in (TimerFired, TimerCanceled)}
        found = [it.fire_time for it in history if type(it) is TimerStarted and it.event_id not in ended]
        if started.first_workflow_task_backoff and len(history) == 1:
            found.append(started.event_time + round(started.first_workflow_task_backoff * 1_000_000))
        if started.workflow_execution_expiration_time is not None:
            found.append(started.workflow_execution_expiration_time)
        return found

    def next_deadline(self, after: int) -> int | None:
        """Tell the earliest deadline of an open run later than ``after``."""
        later = [due for run_id in self._open() for due in self._deadlines(run_id) if due > after]
        return min(later, default=None)

    def is_imported(self, run_id: str) -> bool:
        """Say whether a run is a mere record: none is."""
        return False

    def open_versions(self, workflow_types: Sequence[str]) -> list[tuple[str, str, str, str]]:
        """List the open runs of some workflows with the version of its code that each runs."""
        rows: Any = [self.run(run_id) for run_id in sorted(self._open())]
        return [
            (row.run_id, row.workflow_id, row.workflow_type, row.definition_hash)
            for row in rows
            if row.workflow_type in workflow_types
        ]

    def closings(self, run_ids: Sequence[str]) -> dict[str, HistoryEvent]:
        """Read the closing events of those of these runs that have closed."""
        return self.closing_events(run_ids)

    def closing_events(self, run_ids: Sequence[str]) -> dict[str, HistoryEvent]:
        """Read the closing events of those runs that have closed."""
        closed = [run_id for run_id in run_ids if run_id in self._store.histories and not self._is_open(run_id)]
        return {run_id: self._store.histories[run_id][-1] for run_id in closed}

    def schedules(self) -> list[tuple[str, str, str]]:
        """Return the schedules: there are none here."""
        return []

    def definition(self, hash: str) -> DefinitionRow | None:  # noqa: A002  as Reader has it
        """Fetch a definition by its hash."""
        return next((row for row in reversed(self._store.definitions) if row.hash == hash), None)

    def latest_definition(self, kind: str, name: str) -> DefinitionRow | None:
        """Fetch the definition of a name that was registered last."""
        rows = [row for row in self._store.definitions if (row.kind, row.name) == (kind, name)]
        return max(rows, key=lambda row: row.time) if rows else None
