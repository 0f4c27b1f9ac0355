"""What activity code calls: who it is, heartbeats, progress that survives a retry."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import nbflow
from nbflow.core.activity_context import ActivityContext, ActivityInfo, running_activity
from nbflow.exceptions import NotInActivityError


def info(details=None) -> ActivityInfo:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    return ActivityInfo(
        activity_id="1", activity_type="fetch", attempt=2, workflow_id="wf", run_id="run", workflow_type="report",
        scheduled_time=moment, started_time=moment, heartbeat_details=details, idempotency_key="run/5",
    )  # fmt: skip


class Context(ActivityContext):
    """An attempt that takes down what it is told."""

    def __init__(self, details):
        super().__init__()
        self.details, self.beats, self.lines = details, [], []

    def describe(self):
        return info(self.details)

    def heartbeat(self, details):
        self.beats.append(details)

    def log(self, *line):
        self.lines.append(line)


@pytest.fixture
def attempt():
    """Run the test as an attempt."""
    tokens = []

    def begin(details=None):
        context = Context(details)
        tokens.append(running_activity.set(context))
        return context

    yield begin
    for token in reversed(tokens):
        running_activity.reset(token)


@pytest.mark.parametrize("call", [nbflow.activity_info, nbflow.heartbeat])
def test_outside_of_activities_it_says_where_it_works(call):
    """And in workflow code too."""
    with pytest.raises(NotInActivityError, match=rf"nbflow\.{call.__name__}\(\) works only inside a running activity"):
        call()


def test_an_attempt_knows_itself(attempt):
    """Its description is made when first asked, once."""
    context = attempt({"done": 3})
    assert nbflow.activity_info() is context.info
    assert (nbflow.activity_info().attempt, nbflow.activity_info().heartbeat_details) == (2, {"done": 3})


def test_heartbeats_are_passed_on(attempt):
    """With details or without."""
    context = attempt()
    nbflow.heartbeat()
    nbflow.heartbeat({"row": 5})
    assert context.beats == [None, {"row": 5}]


def test_track_tells_progress(attempt):
    """After each item; the total is known of a list, or given."""
    context = attempt()
    assert list(nbflow.track(["a", "b"])) == ["a", "b"]
    assert context.beats == [{"kind": "nbflow.track", "done": n, "total": 2} for n in (1, 2)]
    context.beats.clear()
    assert list(nbflow.track(iter("ab"), total=9)) == ["a", "b"]
    assert context.beats[0]["total"] == 9


def test_track_resumes_behind_what_was_done(attempt):
    """Where the last attempt stopped."""
    context = attempt({"kind": "nbflow.track", "done": 2, "total": 3})
    assert list(nbflow.track("abc")) == ["c"]
    assert context.beats == [{"kind": "nbflow.track", "done": 3, "total": 3}]


@pytest.mark.parametrize("details", [None, 5, {"done": 2}, {"kind": "other", "done": 2}, ["x"]])
def test_track_begins_anew_with_details_of_another_kind(attempt, details):
    """What the activity reported itself is not progress of track."""
    attempt(details)
    assert list(nbflow.track("abc")) == ["a", "b", "c"]


def test_an_item_counts_when_the_body_is_done_with_it(attempt):
    """A failure in the middle of an item does that item again."""
    context = attempt()
    for item in nbflow.track("abc"):
        if item == "b":
            break
    assert [beat["done"] for beat in context.beats] == [1]


def test_track_outside_of_activities_is_plain_iteration():
    """The same code runs in a test or a cell."""
    assert list(nbflow.track(range(3))) == [0, 1, 2]


def test_an_unfinished_line_is_logged_at_the_end(attempt):
    """What was printed without a line break is not lost."""
    context = attempt()
    context.write(20, "stdout", "a line\nhalf a")
    context.write(20, "stdout", " line")
    context.finish()
    context.finish()
    assert context.lines == [(20, "stdout", "a line"), (20, "stdout", "half a line")]
