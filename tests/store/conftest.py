"""Stores to test, histories to put into them, and what it means to come back the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from nbflow.core import events
from nbflow.core.failures import Failure, timeout_failure
from nbflow.core.payloads import Payload
from nbflow.store import AttemptRow, Batch, DispatchRow, EventStore, HeartbeatRow, NoteRow

START = 1_700_000_000_000_000  # 2023-11-14 22:13:20 UTC
SECOND = 1_000_000
HELPERS = Path(__file__).parent / "helpers"


class Story:
    """Writes the history of one run, one second an event, and keeps what has to be committed."""

    def __init__(self, workflow_id="w", run_id=None):
        self.workflow_id = workflow_id
        self.run_id = run_id or f"run-of-{workflow_id}"
        self.batch = Batch()
        self.now = START
        self.last = 0

    def add(self, cls, *, deferred=False, **attributes):
        """Add an event; return its id."""
        self.last += 1
        self.now += SECOND
        event = cls(event_id=self.last, event_time=self.now, **attributes)
        self.batch.events.append((self.run_id, self.workflow_id, event, deferred))
        return self.last

    @property
    def events(self):
        return [event for _, _, event, _ in self.batch.events]

    def started(self, **attributes):
        given = {"workflow_type": "report", "workflow_id": self.workflow_id, "input": Payload("[1]"), **attributes}
        self.add(events.WorkflowExecutionStarted, **given)
        return self

    def scheduled(self, activity_type="fetch", *, deferred=False, **attributes):
        given = {"activity_id": str(self.last), "input": Payload('["Oslo"]'), **attributes}
        return self.add(events.ActivityTaskScheduled, activity_type=activity_type, deferred=deferred, **given)

    def outcome(self, cls, scheduled, *, attempt=1, **attributes):
        begun = self.now
        started = self.add(
            events.ActivityTaskStarted, scheduled_event_id=scheduled, attempt=attempt, started_time=begun
        )
        return self.add(cls, scheduled_event_id=scheduled, started_event_id=started, **attributes)

    def succeeded(self, scheduled, result="42", attempt=1):
        return self.outcome(events.ActivityTaskCompleted, scheduled, result=Payload(result), attempt=attempt)

    def failed(self, scheduled, failure=None, attempt=1):
        failure = failure or failure_of("ValueError", "no such city")
        return self.outcome(events.ActivityTaskFailed, scheduled, failure=failure, attempt=attempt)

    def timed_out(self, scheduled, attempt=1):
        failure = timeout_failure("START_TO_CLOSE", "took longer than 30 s")
        return self.outcome(events.ActivityTaskTimedOut, scheduled, failure=failure, attempt=attempt)

    def canceled(self, scheduled):
        return self.outcome(events.ActivityTaskCanceled, scheduled)

    def tried(self, scheduled, attempt, outcome="Failed", *, next_attempt_time=None, failure=None, details=None):
        """Add an attempt that did not produce the outcome."""
        failure = failure or failure_of("OSError", f"attempt {attempt} failed")
        row = AttemptRow(
            self.run_id, scheduled, "fetch", attempt, self.now, self.now + SECOND, outcome, failure,
            next_attempt_time, details,
        )  # fmt: skip
        self.batch.attempts.append(row)

    def dispatched(self, first, last, attempt):
        self.batch.dispatches.append(DispatchRow(self.run_id, first, last, attempt, self.now))

    def heartbeat(self, scheduled, attempt, details):
        self.batch.heartbeats.append(HeartbeatRow(self.run_id, scheduled, attempt, self.now, Payload(details)))

    def note(self, kind, body="{}"):
        self.now += SECOND
        self.batch.notes.append(NoteRow(self.run_id, self.workflow_id, self.now, kind, body))

    def timer(self, seconds, summary=None):
        due = self.now + SECOND + int(seconds * SECOND)
        timer_id = str(self.last)
        given = {"timer_id": timer_id, "start_to_fire_timeout": float(seconds), "fire_time": due, "summary": summary}
        return self.add(events.TimerStarted, **given)

    def fired(self, started):
        return self.add(events.TimerFired, timer_id=str(started - 1), started_event_id=started)

    def timer_canceled(self, started):
        return self.add(events.TimerCanceled, timer_id=str(started - 1), started_event_id=started)

    def completed(self, result='"done"'):
        self.add(events.WorkflowExecutionCompleted, result=Payload(result))
        return self

    def terminated(self):
        self.add(events.WorkflowExecutionTerminated, reason="enough")
        return self

    def paused(self, why=None):
        """Pause it; suspend it if there is a failure to be the reason."""
        self.add(events.WorkflowExecutionPaused, failure=why and failure_of("ValueError", why))
        return self

    def unpaused(self):
        self.add(events.WorkflowExecutionUnpaused)
        return self


def failure_of(type_name, message, cause=None):
    """Return the failure of a plain exception."""
    return Failure(message=message, info={"type": type_name}, stack_trace=f"Traceback of {type_name}", cause=cause)


@pytest.fixture
def failure():
    return failure_of


@pytest.fixture
def story():
    return Story


@pytest.fixture
def store():
    """Open a store in memory."""
    with EventStore.open(":memory:") as opened:
        yield opened


@pytest.fixture
def tell(store):
    """Commit stories into the store, and give a function that asks it with SQL."""

    def commit_and_ask(*stories):
        for one in stories:
            store.commit(one.batch)
        return lambda query, **parameters: store.sql(query, parameters).fetchall()

    return commit_and_ask


@pytest.fixture
def synthetic():
    """Load the generator of large logs."""
    spec = importlib.util.spec_from_file_location("synthetic", HELPERS / "synthetic.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
