"""View models: rows of the log become plain data."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from nbflow.widgets.view_models import execution_view, failure_chain, progress_view, value_text

START = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
NOW = round((START + timedelta(seconds=90)).timestamp() * 1_000_000)

RUNNING = {
    "workflow_id": "report", "run_id": "r1", "workflow_type": "report", "status": "Running", "start_time": START,
    "close_time": None, "duration": None, "history_length": 7, "input": '["Oslo"]', "result": None,
    "failure_type": None, "failure_message": None,
}  # fmt: skip


def count_row(status, count, *, name="fetch", waits=False, retried=0, retries=0):
    return {
        "activity_type": name, "status": status, "waits": waits, "count": count, "retried": retried, "retries": retries,
    }  # fmt: skip


def activity_row(event_id, status, attempt=1, next_attempt_time=None, failure_type=None):
    return {
        "scheduled_event_id": event_id, "activity_type": "fetch", "status": status, "attempt": attempt, "duration": 1.0,
        "input": '["Oslo"]', "failure_type": failure_type, "failure_message": "flaky",
        "next_attempt_time": next_attempt_time,
    }  # fmt: skip


def view_of(execution=RUNNING, **parts):
    return execution_view(
        execution,
        **{"counts": [], "of_note": [], "timers": [], "signals": [], "failure": None, "problem": None, "now": NOW}
        | parts,
    )


def test_an_open_execution_has_run_until_now():
    """The duration of an open execution ends at the engine's present."""
    assert view_of()["duration"] == pytest.approx(90)


def test_a_view_is_json_native():
    """A front end in another language can take it as it is."""
    timer = {"timer_id": "1", "summary": None, "started_time": START, "fire_time": START, "total": 1}
    view = view_of(counts=[count_row("Started", 1)], of_note=[activity_row(2, "Started")], timers=[timer])
    assert json.loads(json.dumps(view)) == view
    assert view["start_time"] == "2026-11-02T12:00:00+00:00"


def test_activities_of_a_type_are_one_group():
    """A fan-out of thousands is one line: how many in which state, how many needed retries."""
    rows = [
        count_row("Completed", 36, retried=3, retries=4),
        count_row("Scheduled", 3),
        count_row("Failed", 1, retries=2),
    ]
    (group,) = view_of(counts=rows)["groups"]
    assert (group["done"], group["total"], group["retried"], group["retries"]) == (37, 40, 3, 6)
    assert group["states"] == {"Completed": 36, "Scheduled": 3, "Failed": 1}


def test_an_activity_between_attempts_is_in_backoff():
    """Waiting for the next attempt is told apart from waiting for the first."""
    rows = [count_row("Scheduled", 2, waits=True), count_row("Scheduled", 1)]
    view = view_of(counts=rows, of_note=[activity_row(2, "Scheduled", next_attempt_time=START, failure_type="OSError")])
    assert view["groups"][0]["states"] == {"Backoff": 2, "Scheduled": 1}
    assert view["activities"][0]["status"] == "Backoff"
    assert view["activities"][0]["failure"] == "OSError: flaky"


def test_what_went_well_is_left_out_where_something_did_not():
    """Rows of note are those with trouble, retries or work under way; if there are none, all."""
    well, retried = activity_row(2, "Completed"), activity_row(3, "Completed", attempt=2)
    assert [row["scheduled_event_id"] for row in view_of(of_note=[well, retried])["activities"]] == [3]
    assert [row["scheduled_event_id"] for row in view_of(of_note=[well])["activities"]] == [2]


def test_an_execution_with_nothing_pending_waits_for_a_signal_or_a_condition():
    """What an open execution waits for is said in words."""
    assert view_of()["awaits"] == "a signal or a condition"
    timer = {"timer_id": "1", "summary": "nap", "started_time": START, "fire_time": START, "total": 1}
    view = view_of(counts=[count_row("Started", 2), count_row("Completed", 5)], timers=[timer])
    assert view["awaits"] == "2 activities and a timer (nap)"


def test_a_closed_execution_waits_for_nothing():
    """A closed execution has no pending timers, whatever rows there are."""
    timer = {"timer_id": "1", "summary": "nap", "started_time": START, "fire_time": START, "total": 1}
    closed = RUNNING | {"status": "Completed", "close_time": START + timedelta(seconds=2), "duration": 2.0}
    view = view_of(closed, timers=[timer])
    assert (view["awaits"], view["timers"], view["timers_total"], view["duration"]) == ("", [], 0, 2.0)


def test_a_parked_execution_says_why_instead_of_what_it_waits_for():
    """An execution that can't go on does not claim to wait for something."""
    view = view_of(problem="DefinitionError: gone")
    assert (view["awaits"], view["problem"]) == ("", "DefinitionError: gone")


def test_a_failure_is_a_chain_that_ends_with_its_root_cause():
    """Each link has its type, its message and its own traceback."""
    cause = {"message": "no route", "application_failure_info": {"type": "OSError"}, "stack_trace": "Traceback ..."}
    failure = {"message": "activity failed", "activity_failure_info": {"activity_type": "fetch"}, "cause": cause}
    assert failure_chain(json.dumps(failure)) == [
        {"type": "ActivityError", "message": "activity failed", "stack_trace": ""},
        {"type": "OSError", "message": "no route", "stack_trace": "Traceback ..."},
    ]


def test_a_terminated_execution_shows_the_reason_it_was_given():
    """Statuses without a failure of their own still say why."""
    ended = RUNNING | {"status": "Terminated", "failure_type": "TerminatedError", "failure_message": "wrong input"}
    assert view_of(ended)["failures"] == [{"type": "TerminatedError", "message": "wrong input", "stack_trace": ""}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('["Oslo",1,{"a":null}]', '["Oslo", 1, {"a": null}]'),
        (
            '{"$nbflow":"pandas.DataFrame","rows":36,"columns":["a"],"base64":"AAA"}',
            "pandas.DataFrame (36 rows, 1 columns)",
        ),
        ('[{"$nbflow":"numpy.ndarray","dtype":"int64","shape":[2,3],"base64":"A"}]', "[numpy.ndarray (int64, 2 x 3)]"),
        ('{"$nbflow":"tuple","items":[1,{"$nbflow":"decimal","value":"1.5"}]}', 'tuple([1, decimal("1.5")])'),
        ('{"$nbflow":"timedelta","days":3}', "<timedelta>"),
        ('[{"$nbflow":"bytes","base64":"AAAA', '[{"$nbflow":"bytes","…"'),
    ],
)
def test_a_recorded_value_is_told_briefly(text, told):
    """Tables and encoded values are named, not spelled out; what was cut off is shown as far as it goes."""
    assert value_text(text) == told


def test_progress_adds_up_the_retries_of_all_types():
    """One line tells them together, and names the next timer."""
    rows = [count_row("Completed", 2, retries=1), count_row("Started", 1, name="publish", retries=2)]
    timer = {"timer_id": "4", "summary": None, "fire_time": START + timedelta(seconds=100)}
    progress = progress_view("report", "Running", rows, [timer], NOW)
    assert progress["retries"] == 3
    assert progress["next_timer"] == {
        "label": "timer 4",
        "fire_time": "2026-11-02T12:01:40+00:00",
        "seconds": pytest.approx(10),
    }
