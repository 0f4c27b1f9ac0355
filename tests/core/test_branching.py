"""Where a new run may branch off an old history."""

from __future__ import annotations

import pytest

from nbflow.core import branching
from nbflow.core.events import (
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    HistoryEvent,
    SignalExternalWorkflowExecutionInitiated,
    WorkflowExecutionFailed,
    WorkflowExecutionPaused,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
)
from nbflow.core.failures import ACTIVITY, Failure
from nbflow.core.payloads import Payload
from nbflow.exceptions import ClientError

NOTHING = Payload("[]")


def history(*steps: tuple[str, int] | str) -> list[HistoryEvent]:
    """Write a history: ``schedule``, ``(complete, ID)``, ``(fail, ID)``, ``signal``, ``pause``, ``end``."""
    events: list[HistoryEvent] = []

    def add(cls: type[HistoryEvent], **attributes: object) -> None:
        events.append(cls(event_id=len(events) + 1, event_time=len(events) + 1, **attributes))

    add(WorkflowExecutionStarted, workflow_type="w", workflow_id="w", input=NOTHING)
    for step in steps:
        match step:
            case "schedule":
                add(ActivityTaskScheduled, activity_id=str(len(events)), activity_type="a", input=NOTHING)
            case ("complete", of):
                add(ActivityTaskStarted, scheduled_event_id=of, attempt=1, started_time=1)
                add(ActivityTaskCompleted, scheduled_event_id=of, started_event_id=len(events), result=NOTHING)
            case ("fail", of):
                add(ActivityTaskStarted, scheduled_event_id=of, attempt=1, started_time=1)
                failed = {"scheduled_event_id": of, "started_event_id": len(events), "retry_state": "TIMEOUT"}
                add(ActivityTaskFailed, failure=Failure(message="no"), **failed)
            case ("end", of):
                add(WorkflowExecutionFailed, failure=blame(of))
            case "end":
                add(WorkflowExecutionFailed, failure=Failure(message="no"))
            case "signal":
                add(WorkflowExecutionSignaled, signal_name="s", input=NOTHING)
            case "pause":
                add(WorkflowExecutionPaused)
            case "message":
                add(SignalExternalWorkflowExecutionInitiated, workflow_id="o", signal_name="s", input=NOTHING)
    return events


def blame(scheduled_event_id: int) -> Failure:
    """Return the failure of an execution that an activity failed."""
    return Failure(message="no", kind=ACTIVITY, info={"scheduled_event_id": scheduled_event_id})


def test_the_end_and_a_half_outcome_are_not_shared():
    """The new run has neither a closing event nor the start of an attempt without its outcome."""
    events = history("schedule", ("fail", 2), "end")
    assert [len(branching.shared(events, n)) for n in range(1, 6)] == [1, 2, 2, 4, 4]
    for n in (0, 6):
        with pytest.raises(ClientError, match=f"no event {n}"):
            branching.shared(events, n)


def test_what_another_execution_is_to_answer_is_not_shared():
    """A message under way can't be waited for twice."""
    with pytest.raises(ClientError, match="under way"):
        branching.shared(history("message"), 2)


def test_the_last_reaction_is_to_the_last_event_from_outside():
    """Not to the end, nor to what came in a pause that has not ended."""
    assert branching.last_reaction(history("schedule", ("fail", 2), "end")) == 4
    assert branching.last_reaction(history("schedule", ("complete", 2), "signal", "pause", "signal")) == 5
    assert branching.last_reaction(history("end")) == 1


def test_the_activity_that_is_blamed_and_those_beside_it_failed():
    """Earlier ones, whose failures the code had handled, did not."""
    one_after_the_other = history("schedule", ("fail", 2), "schedule", ("fail", 5), ("end", 5))
    assert branching.rewind_point(one_after_the_other) == (5, {5})
    side_by_side = history("schedule", "schedule", "schedule", ("fail", 2), ("complete", 4), ("fail", 3), ("end", 3))
    assert branching.rewind_point(side_by_side) == (4, {2, 3})


def test_without_blame_the_last_that_failed_side_by_side_count():
    """As when the code raises an error of its own about failures that it had gathered."""
    gathered = history("schedule", "schedule", ("fail", 2), ("complete", 3), "end")
    assert branching.rewind_point(gathered) == (3, {2})
    done = history("schedule", ("fail", 2), "schedule", ("complete", 5), "signal", "end")
    assert branching.rewind_point(done) == (8, frozenset())


def test_results_are_exchanged_or_left_for_later():
    """Those that have an outcome get another one in its place; the others are told."""
    events = history("schedule", "schedule", ("fail", 2))
    changed, left = branching.with_results(events, {2: Payload("7"), 3: Payload("8")})
    assert [type(event).__name__ for event in changed[3:]] == ["ActivityTaskStarted", "ActivityTaskCompleted"]
    assert (changed[4].result.text, left) == ("7", {3: Payload("8")})
    with pytest.raises(ClientError, match="event 1 is no activity"):
        branching.with_results(events, {1: NOTHING})
