"""What is remembered of closed executions: much, but not all, and never too little."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nbflow.core.events import WorkflowExecutionCompleted, WorkflowExecutionTerminated
from nbflow.core.payloads import Blob, Payload
from nbflow.engine import closings
from nbflow.engine.closings import Closings
from nbflow.engine.execution import RunState


@pytest.fixture
def kept(monkeypatch):
    """Return closings that keep three and 1,000 bytes, the journal they look at, and what they forgot."""
    monkeypatch.setattr(closings, "_MOST_KEPT", 3)
    monkeypatch.setattr(closings, "_MOST_BYTES", 1000)
    journal = SimpleNamespace(sequence=1, committed=1)
    forgotten = []
    return Closings(journal, lambda run: forgotten.append(run.run_id)), journal, forgotten


def close(closed, name, payload=None):
    event = (
        WorkflowExecutionTerminated(event_id=2, event_time=2)
        if payload is None
        else WorkflowExecutionCompleted(event_id=2, event_time=2, result=payload)
    )
    run = RunState(name, name, "flow", "Completed")
    closed.add(run, event)
    assert run.closing_event is event


def test_the_oldest_are_forgotten(kept):
    """A fourth pushes the first out."""
    closed, _, forgotten = kept
    for name in "abcd":
        close(closed, name)
    assert forgotten == ["a"]


def test_what_is_not_durable_is_kept(kept):
    """Until its batch is committed nobody else knows how an execution closed."""
    closed, journal, forgotten = kept
    journal.committed = 0
    for name in "abcde":
        close(closed, name)
    assert forgotten == []
    journal.committed = 1
    close(closed, "f")
    assert forgotten == ["a", "b", "c"]


def test_large_results_push_others_out(kept):
    """Text and blobs of results count, so that data frames do not fill the memory."""
    closed, _, forgotten = kept
    close(closed, "a", Payload("1" * 600))
    close(closed, "b", Payload('"x"', (Blob("0", "npy", b"x" * 600),)))
    assert forgotten == ["a"]
