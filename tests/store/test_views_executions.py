"""The executions view, history by history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nbflow.core import events
from nbflow.core.payloads import Payload

BEGIN = datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("closing", "expected"),
    [
        (None, ("Running", None, None, None)),
        ((events.WorkflowExecutionCompleted, {"result": Payload("7")}), ("Completed", "7", None, None)),
        ((events.WorkflowExecutionTimedOut, {}), ("TimedOut", None, "TimeoutError", "workflow execution timed out")),
        (
            (events.WorkflowExecutionCanceled, {}),
            ("Canceled", None, "CancelledError", "workflow execution was cancelled"),
        ),
        ((events.WorkflowExecutionTerminated, {"reason": "enough"}), ("Terminated", None, "TerminatedError", "enough")),
    ],
)
def test_each_way_to_end(tell, story, closing, expected):
    """Status, result and failure follow from the closing event."""
    one = story().started()
    if closing:
        one.add(closing[0], **closing[1])
    ask = tell(one)
    assert ask("SELECT status, result, failure_type, failure_message FROM executions") == [expected]


def test_a_failed_execution_tells_the_outer_failure(tell, story, failure):
    """failure_type and failure_message are those of the failure itself, not of its causes."""
    one = story().started()
    cause = failure("KeyError", "'Oslo'")
    one.add(events.WorkflowExecutionFailed, failure=failure("ReportError", "no report", cause))
    ask = tell(one)
    query = "SELECT status, failure_type, failure_message, result FROM executions"
    assert ask(query) == [("Failed", "ReportError", "no report", None)]


def test_all_that_the_start_says(tell, story):
    """Input, memo, search attributes, parent, definition and run key are columns."""
    one = story().started(
        input=Payload('["Oslo",{"n":1}]'),
        memo=Payload('{"why":"test"}'),
        search_attributes={"team": "data"},
        parent_workflow_id="p",
        parent_run_id="pr",
        definition_hash="abc",
        run_key="nightly",
        summary="for the board",
    )
    ask = tell(one)
    ended = "status, close_time, duration, result, failure_type, failure_message"
    assert ask(f"SELECT * EXCLUDE ({ended}) FROM executions") == [
        (
            "w", "run-of-w", "report", BEGIN, "p", "pr", 1, '["Oslo",{"n":1}]', '{"why":"test"}', '{"team":"data"}',
            "abc", "nightly", "embedded", None, None, "for the board", 1, "run-of-w", None, None,
        )
    ]  # fmt: skip


def test_times_length_and_duration(tell, story):
    """A closed execution lasted from its first to its last event, in seconds."""
    one = story().started()
    one.timer(1)
    one.completed()
    ask = tell(one)
    query = "SELECT start_time, close_time, duration, history_length FROM executions"
    assert ask(query) == [(BEGIN, BEGIN + timedelta(seconds=2), 2.0, 3)]


def test_paused_suspended_and_resumed(tell, story):
    """An open execution is Paused while its last pause lasts, and Suspended if a failure is why."""
    names = ("paused", "suspended", "resumed", "closed")
    paused, suspended, resumed, closed = (story(name).started() for name in names)
    paused.paused("odd").unpaused().paused()
    suspended.paused().unpaused().paused("odd")
    resumed.paused("odd").unpaused()
    closed.paused("odd").terminated()
    ask = tell(paused, suspended, resumed, closed)
    assert ask("SELECT workflow_id, status, failure_message FROM executions ORDER BY ALL") == [
        ("closed", "Terminated", "enough"),
        ("paused", "Paused", None),
        ("resumed", "Running", None),
        ("suspended", "Suspended", "odd"),
    ]


def test_values_can_be_used_in_sql(tell, story):
    """JSON columns open up with DuckDB's arrows."""
    ask = tell(story().started(input=Payload('["Oslo",{"amount":12.5}]')).completed('{"rows":[1,2,3]}'))
    query = "SELECT input[0]->>'$', (input->1->>'amount')::DOUBLE, len(result->'rows'->'$[*]') FROM executions"
    assert ask(query) == [("Oslo", 12.5, 3)]


def test_two_runs_of_one_workflow_id_are_two_rows(tell, story):
    """A row is a run."""
    ask = tell(story("w", "run-1").started().completed(), story("w", "run-2").started())
    assert ask("SELECT run_id, status, history_length FROM executions WHERE workflow_id = 'w' ORDER BY 1") == [
        ("run-1", "Completed", 2),
        ("run-2", "Running", 1),
    ]
