"""The activities and attempts views, history by history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nbflow.core import events
from nbflow.core.failures import timeout_failure
from nbflow.core.payloads import Payload

STATUS = "SELECT status, attempt, failure_type, failure_message FROM activities"


def at(seconds):
    """Return the time of a story's n-th second."""
    return datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC) + timedelta(seconds=seconds)


def test_a_completed_activity(tell, story):
    """All columns of an activity that succeeded at once."""
    one = story().started()
    one.succeeded(one.scheduled(), '{"rows":3}')
    ask = tell(one)
    assert ask("FROM activities") == [
        (
            "w", "run-of-w", 2, "fetch", "Completed", 1, at(2), at(2), at(4), 2.0, '["Oslo"]', '{"rows":3}',
            None, None, None, False, None,
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("failed", ("Failed", 1, "ValueError", "no such city")),
        ("timed_out", ("TimedOut", 1, "TimeoutError", "took longer than 30 s")),
        ("canceled", ("Canceled", 1, None, None)),
    ],
)
def test_other_outcomes(tell, story, end, expected):
    """Failed, timed out, cancelled: the outcome event says which."""
    one = story().started()
    getattr(one, end)(one.scheduled())
    assert tell(one)(STATUS) == [expected]


def test_an_activity_that_runs(tell, story):
    """Authorised by its own commit and not ended: Started, since it was scheduled."""
    one = story().started()
    one.scheduled()
    ask = tell(one)
    assert ask(STATUS) == [("Started", 1, None, None)]
    assert ask("SELECT started_time, close_time, duration, next_attempt_time FROM activities") == [
        (at(2), None, None, None)
    ]


def test_a_deferred_activity_waits_until_it_is_dispatched(tell, story):
    """Scheduled with no attempt; Started once a dispatch covers it."""
    one = story().started()
    waiting, begun = one.scheduled(deferred=True), one.scheduled(deferred=True)
    one.timer(5)
    one.dispatched(begun, begun, 1)
    ask = tell(one)
    assert ask("SELECT scheduled_event_id, status, attempt, started_time FROM activities ORDER BY 1") == [
        (waiting, "Scheduled", 0, None),
        (begun, "Started", 1, at(4)),
    ]


def test_an_activity_between_attempts(tell, story):
    """After a failed attempt it is Scheduled, with that failure and the time of the next attempt."""
    one = story().started()
    scheduled = one.scheduled()
    one.tried(scheduled, 1, next_attempt_time=one.now + 60_000_000)
    ask = tell(one)
    assert ask(STATUS) == [("Scheduled", 1, "OSError", "attempt 1 failed")]
    assert ask("SELECT started_time, next_attempt_time FROM activities") == [(None, at(62))]


def test_an_activity_in_its_second_attempt(tell, story):
    """A dispatch of the next attempt makes it Started again; the last failure stays in sight."""
    one = story().started()
    scheduled = one.scheduled()
    one.tried(scheduled, 1, next_attempt_time=one.now)
    one.timer(5)
    one.dispatched(scheduled, scheduled, 2)
    ask = tell(one)
    assert ask(STATUS) == [("Started", 2, "OSError", "attempt 1 failed")]
    assert ask("SELECT started_time, next_attempt_time FROM activities") == [(at(3), None)]


def test_an_activity_that_succeeded_at_last(tell, story):
    """Earlier failures are no failure of a completed activity."""
    one = story().started()
    scheduled = one.scheduled()
    one.tried(scheduled, 1)
    one.succeeded(scheduled, attempt=2)
    assert tell(one)(STATUS) == [("Completed", 2, None, None)]


def test_an_activity_that_timed_out_between_attempts(tell, story):
    """With no attempt running there is no ActivityTaskStarted; the attempts made are counted."""
    one = story().started()
    scheduled = one.scheduled()
    one.tried(scheduled, 1), one.tried(scheduled, 2)
    failure = timeout_failure("SCHEDULE_TO_CLOSE", "gave up")
    one.add(events.ActivityTaskTimedOut, scheduled_event_id=scheduled, started_event_id=None, failure=failure)
    assert tell(one)(STATUS) == [("TimedOut", 2, "TimeoutError", "gave up")]


def test_what_a_closed_execution_left_open_is_cancelled(tell, story):
    """Nobody waits for its activities any more; they end with it."""
    one = story().started()
    one.scheduled()
    one.add(events.WorkflowExecutionTerminated, reason="enough")
    ask = tell(one)
    assert ask("SELECT status, close_time FROM activities") == [("Canceled", at(3))]


def test_attempts_are_those_that_failed_and_the_one_that_ended_it(tell, story, failure):
    """The attempts table and the history together tell every attempt that ended."""
    one = story().started()
    scheduled = one.scheduled()
    one.tried(scheduled, 1, failure=failure("OSError", "no route"), next_attempt_time=one.now + 9_000_000)
    one.tried(scheduled, 2, "Lost")
    one.succeeded(scheduled, attempt=3)
    ask = tell(one)
    assert ask("SELECT * EXCLUDE (workflow_id, run_id, failure) FROM attempts ORDER BY attempt") == [
        (2, "fetch", 1, at(2), at(3), "Failed", "OSError", "no route", "Traceback of OSError", at(11)),
        (2, "fetch", 2, at(2), at(3), "Lost", "OSError", "attempt 2 failed", "Traceback of OSError", None),
        (2, "fetch", 3, at(2), at(4), "Completed", None, None, None, None),
    ]
    assert ask("SELECT DISTINCT workflow_id, run_id FROM attempts") == [("w", one.run_id)]


def test_a_final_attempt_that_failed_has_its_failure(tell, story):
    """The last attempt's failure is in the outcome event."""
    one = story().started()
    one.failed(one.scheduled())
    assert tell(one)("SELECT outcome, failure_type, failure_message, failure_traceback FROM attempts") == [
        ("Failed", "ValueError", "no such city", "Traceback of ValueError")
    ]


def test_views_join_on_run_and_scheduled_event(tell, story):
    """Activities, their attempts and their executions belong together by ids."""
    one = story().started()
    scheduled = one.scheduled(input=Payload('["Rome"]'))
    one.tried(scheduled, 1)
    one.succeeded(scheduled, attempt=2)
    ask = tell(one, story("other").started())
    query = """
        SELECT e.workflow_id, a.input->>0, t.outcome
        FROM executions e JOIN activities a USING (run_id) JOIN attempts t USING (run_id, scheduled_event_id)
        ORDER BY t.attempt
    """
    assert ask(query) == [("w", "Rome", "Failed"), ("w", "Rome", "Completed")]
