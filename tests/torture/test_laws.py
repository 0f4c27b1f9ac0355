"""The laws bite: each names a violation that is planted in a small record, and passes the record without it."""

from __future__ import annotations

import json
from collections import defaultdict
from types import SimpleNamespace

import pytest

from . import laws

TYPES = [
    ("WorkflowExecutionStarted", None),
    ("ActivityTaskScheduled", None),
    ("ActivityTaskStarted", 2),
    ("ActivityTaskCompleted", 2),
    ("WorkflowExecutionSignaled", None),
    ("WorkflowExecutionCompleted", None),
]
ATTRIBUTES = {
    "ActivityTaskScheduled": {"activity_id": "1", "retry_policy": {"maximum_attempts": 2}},
    "ActivityTaskStarted": {"attempt": 2},
    "WorkflowExecutionSignaled": {"input": [0, "nonce"]},
}
KEY = "r/1"


def row(number, event_type, initiated=None):
    """Make one row of the events' table."""
    attributes = json.dumps(ATTRIBUTES.get(event_type, {}))
    return ("r", "w", number, event_type, initiated, False, attributes, number * 100)


def record(count=6):
    """Make what a Snapshot holds of one execution: an activity that was tried twice, and a signal."""
    rows = [row(number, *kind) for number, kind in enumerate(TYPES[:count], 1)]
    settled = {KEY: ("ActivityTaskCompleted", 400, "{}")} if count >= 4 else {}
    return SimpleNamespace(
        events=defaultdict(list, {"r": rows}),
        key_of={("r", 2): KEY},
        settled=settled,
        deferred=set(),
        dispatched={(KEY, 2)},
        attempts=[("r", 2, 1, "Lost")],
        ended_attempts={(KEY, 1): "Lost"},
    )


def began(attempt, wall=150, key=KEY):
    """Make the line that an attempt leaves when it begins."""
    return {"phase": "begin", "key": key, "name": "step", "attempt": attempt, "monotonic": wall, "wall": wall}


EFFECTS = [began(1, 150), began(2, 300)]
ACK = {"what": "signal", "run_id": "r", "nonce": "nonce"}


def test_an_honest_record_passes():
    """No law cries without cause."""
    snapshot = record()
    laws.check_append_only(record(2), snapshot)
    laws.check_acknowledged([{"what": "start", "run_id": "r"}, ACK], snapshot)
    laws.check_write_ahead(EFFECTS, snapshot)
    laws.check_never_again({}, EFFECTS)
    laws.check_never_after_outcome(EFFECTS, snapshot)
    laws.check_attempt_numbers(EFFECTS)
    laws.check_losses(record(2), snapshot)
    laws.check_maximum_attempts(EFFECTS, snapshot)
    laws.check_attempt_rows(snapshot)
    laws.check_well_formed(snapshot.events["r"])


def without_dispatch(snapshot):
    snapshot.dispatched = set()


def without_event(snapshot):
    del snapshot.events["r"][4]


def with_other_row(snapshot):
    snapshot.events["r"][1] = row(2, "TimerStarted")


def signal_twice(snapshot):
    snapshot.events["r"].append(row(7, "WorkflowExecutionSignaled"))


def torn_transaction(snapshot):
    """Leave the events of a batch without its dispatch and attempt rows, as a commit that is not atomic would."""
    snapshot.dispatched, snapshot.attempts, snapshot.ended_attempts = set(), [], {}


PLANTS = {
    "a row changed": (with_other_row, lambda s: laws.check_append_only(record(), s), "changed or shortened"),
    "a row lost": (without_event, lambda s: laws.check_append_only(record(), s), "changed or shortened"),
    "an attempt row lost": (
        lambda s: s.attempts.clear(),
        lambda s: laws.check_append_only(record(), s),
        "attempt rows vanished",
    ),
    "a start lost": (
        lambda s: s.events.clear(),
        lambda s: laws.check_acknowledged([{"what": "start", "run_id": "r"}], s),
        "start is lost",
    ),
    "a signal lost": (without_event, lambda s: laws.check_acknowledged([ACK], s), "signal is lost"),
    "a signal twice": (signal_twice, lambda s: laws.check_acknowledged([ACK], s), "recorded twice"),
    "run without leave": (without_dispatch, lambda s: laws.check_write_ahead(EFFECTS, s), "without leave"),
    "deferred, run without leave": (
        lambda s: s.deferred.add(KEY),
        lambda s: laws.check_write_ahead(EFFECTS[:1], s),
        "without leave",
    ),
    "run of what is unknown": (
        lambda s: None,
        lambda s: laws.check_write_ahead([began(1, key="r/9")], s),
        "without leave",
    ),
    "run again": (lambda s: None, lambda s: laws.check_never_again(s.settled, [began(3)]), "ran again"),
    "run after the outcome": (
        lambda s: None,
        lambda s: laws.check_never_after_outcome([began(3, 401)], s),
        "after its outcome",
    ),
    "a number twice": (
        lambda s: None,
        lambda s: laws.check_attempt_numbers([*EFFECTS, began(2, 500)]),
        "twice or late",
    ),
    "lost without leave": (
        lambda s: s.ended_attempts.update({(KEY, 3): "Lost"}),
        lambda s: laws.check_losses(record(), s),
        "never had leave",
    ),
    "too many attempts": (
        lambda s: None,
        lambda s: laws.check_maximum_attempts([*EFFECTS, began(3)], s),
        "its policy allows 2",
    ),
    "a gap in attempts": (lambda s: s.attempts.clear(), laws.check_attempt_rows, r"are \[2\]"),
    "a torn transaction, by what ran": (
        torn_transaction,
        lambda s: laws.check_write_ahead(EFFECTS, s),
        "without leave",
    ),
    "a torn transaction, by its numbers": (torn_transaction, laws.check_attempt_rows, r"are \[2\]"),
    "a gap in the ids": (without_event, lambda s: laws.check_well_formed(s.events["r"]), "event ids"),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_violation_is_named(name):
    """The law that is broken says so."""
    plant, check, message = PLANTS[name]
    snapshot = record()
    plant(snapshot)
    with pytest.raises(AssertionError, match=message):
        check(snapshot)


@pytest.mark.parametrize("extra", ["TimerFired", "WorkflowExecutionSignaled"])
def test_events_out_of_order_are_refused(extra):
    """Nothing follows the end, and nothing ends what did not begin."""
    rows = [*record().events["r"], row(7, extra, 3)]
    with pytest.raises(Exception, match="r"):
        laws.check_well_formed(rows)
    assert len(rows) == 7
