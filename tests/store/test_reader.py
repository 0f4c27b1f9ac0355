"""What the engine asks: histories, runs, pending work, deadlines, definitions, values."""

from __future__ import annotations

import pytest

from nbflow.core import events
from nbflow.core.payloads import Payload
from nbflow.exceptions import HistoryCorruptedError, StoreCorruptedError
from nbflow.store import DefinitionRow, HeartbeatRow


@pytest.fixture
def reader(store):
    return store.reader()


def test_histories_come_whole_and_in_order(store, reader, story):
    """Runs written across commits, interleaved, come back each in order of event ids."""
    one, two = story("one").started(), story("two").started()
    store.commit(one.batch), store.commit(two.batch)
    for each in (two, one):
        each.batch.events.clear()
        each.succeeded(each.scheduled())
        store.commit(each.batch)
    found = reader.histories([one.run_id, "nobody", two.run_id])
    assert {run_id: [event.event_id for event in history] for run_id, history in found.items()} == {
        one.run_id: [1, 2, 3, 4],
        two.run_id: [1, 2, 3, 4],
    }
    assert found[one.run_id][1:] == one.events


def test_no_runs_have_no_histories(reader):
    """Asking for nothing is answered without a query."""
    assert (reader.histories([]), reader.latest_runs([]), reader.pending_attempts([])) == ({}, {}, {})


def test_a_gap_in_a_history_is_reported(store, reader, story):
    """Event ids are dense from 1; a history that is not can't be replayed."""
    one = story().started()
    one.last += 1
    one.completed()
    store.commit(one.batch)
    with pytest.raises(HistoryCorruptedError, match="has event 3 where event 2 belongs"):
        reader.histories([one.run_id])


def test_a_run_is_told_in_short(store, reader, story):
    """A RunRow has type, status, times, length and definition."""
    one = story().started(definition_hash="abc").completed()
    store.commit(one.batch)
    row = reader.run(one.run_id)
    assert row._asdict() == {
        "run_id": "run-of-w",
        "workflow_id": "w",
        "workflow_type": "report",
        "status": "Completed",
        "start_time": one.events[0].event_time,
        "close_time": one.events[1].event_time,
        "history_length": 2,
        "definition_hash": "abc",
    }
    assert reader.run("nobody") is None


def test_the_latest_run_of_an_id_is_the_one_that_started_last(store, reader, story):
    """Several runs may bear one workflow id; the newest counts, whatever its run id."""
    old, new = story("w", "run-b").started().completed(), story("w", "run-a")
    new.now = old.now
    new.started()
    store.commit(old.batch), store.commit(new.batch), store.commit(story("other").started().batch)
    found = reader.latest_runs(["w", "missing"])
    assert {key: (row.run_id, row.status) for key, row in found.items()} == {"w": ("run-a", "Running")}


def test_the_latest_run_counts_although_the_clock_was_set_back(store, reader, story):
    """The one written last is the latest: a wall clock that was set back in between changes nothing."""
    old, new = story("w", "run-b").started().completed(), story("w", "run-a")
    new.now = old.now - 3600 * 1_000_000
    new.started()
    store.commit(old.batch), store.commit(new.batch)
    assert reader.latest_runs(["w"])["w"].run_id == "run-a"


def test_the_version_a_run_was_last_moved_to_is_its_version(store, reader, story):
    """The latest Pinned note counts, for the pins and for all that tells of a run; others keep that of their start."""
    moved, kept = story("moved").started(definition_hash="old"), story("kept").started(definition_hash="old")
    for version in ("newer", "newest"):
        moved.note("Pinned", f'{{"definition_hash": "{version}", "event_id": 1}}')
    store.commit(moved.batch), store.commit(kept.batch)
    assert reader.pins([moved.run_id, kept.run_id, "nobody"]) == {moved.run_id: "newest"}
    assert [reader.run(each.run_id).definition_hash for each in (moved, kept)] == ["newest", "old"]
    assert {row.workflow_id: row.definition_hash for row in reader.open_runs(9)} == {"moved": "newest", "kept": "old"}
    rows = store.sql("SELECT workflow_id, definition_hash FROM executions ORDER BY 1").fetchall()
    assert rows == [("kept", "old"), ("moved", "newest")]


def test_a_suspended_run_is_open_and_says_so(store, reader, story):
    """Its pause has a failure; the end of the pause ends that too."""
    one, rests = story().started().paused("odd"), story("rests").started().paused()
    store.commit(one.batch), store.commit(rests.batch)
    assert [reader.run(each.run_id).status for each in (one, rests)] == ["Suspended", "Paused"]
    assert [row.workflow_id for row in reader.suspended_runs()] == ["w"]
    assert {row.workflow_id: row.status for row in reader.open_runs(9)} == {"w": "Suspended", "rests": "Paused"}
    one.batch = type(one.batch)()
    one.unpaused()
    store.commit(one.batch)
    assert reader.run(one.run_id).status == "Running"
    assert reader.suspended_runs() == []


def test_what_operators_did_to_an_activity_is_known_with_its_attempts(store, reader, story):
    """The last pause or its end counts; a backoff that was cut short is over."""
    one = story().started()
    held, freed = one.scheduled(), one.scheduled()
    for event_id in (held, freed):
        one.tried(event_id, 1, next_attempt_time=one.now + 10**9)
        one.note("ActivityPaused", f'{{"scheduled_event_id": {event_id}}}')
    one.note("ActivityUnpaused", f'{{"scheduled_event_id": {freed}}}')
    one.note("ActivityRetried", f'{{"scheduled_event_id": {freed}}}')
    store.commit(one.batch)
    pending = reader.pending_attempts([one.run_id])
    assert [pending[one.run_id, it].is_paused for it in (held, freed)] == [True, False]
    assert [pending[one.run_id, it].next_attempt_time is None for it in (held, freed)] == [False, True]
    rows = store.sql("SELECT paused FROM activities ORDER BY scheduled_event_id").fetchall()
    assert rows == [(True,), (False,)]


def test_open_runs_with_pending_activities(store, reader, story):
    """Runs are named whose activity has no outcome, unless they have closed."""
    waiting, done, closed = story("waiting").started(), story("done").started(), story("closed").started()
    waiting.scheduled()
    done.succeeded(done.scheduled())
    closed.scheduled()
    closed.add(events.WorkflowExecutionTerminated, reason="enough")
    for one in (waiting, done, closed):
        store.commit(one.batch)
    assert reader.open_runs_with_pending_activities() == [waiting.run_id]


def test_a_first_attempt_is_authorised_by_its_own_commit_unless_deferred(store, reader, story):
    """What was allowed to start and has no end is lost; what was not, is not."""
    one = story().started()
    begun, waiting = one.scheduled(), one.scheduled(deferred=True)
    store.commit(one.batch)
    found = reader.pending_attempts([one.run_id])
    told = {key[1]: (row.attempt, row.authorised_attempt, row.is_lost, row.deferred) for key, row in found.items()}
    assert told == {begun: (0, 1, True, False), waiting: (0, 0, False, True)}


def test_a_dispatch_covers_a_range_of_activities(store, reader, story):
    """One DispatchRow authorises an attempt of every activity between its events."""
    one = story().started()
    first, last = one.scheduled(deferred=True), one.scheduled(deferred=True)
    outside = one.scheduled(deferred=True)
    one.dispatched(first, last, 1)
    one.dispatched(first, first, 2)
    store.commit(one.batch)
    found = reader.pending_attempts([one.run_id])
    assert {key[1]: row.authorised_attempt for key, row in found.items()} == {first: 2, last: 1, outside: 0}


def test_pending_attempts_tell_the_last_attempt_and_the_last_heartbeat(store, reader, story, failure):
    """The newest attempt row counts; details that an older one left stay until a newer one leaves others."""
    one = story().started()
    scheduled = one.scheduled()
    one.tried(scheduled, 1, details=Payload("10"), next_attempt_time=5)
    one.tried(scheduled, 2, "TimedOut", failure=failure("OSError", "no route"))
    one.dispatched(scheduled, scheduled, 3)
    one.heartbeat(scheduled, 2, "1")
    one.heartbeat(scheduled, 3, '{"row":9}')
    store.commit(one.batch)
    (row,) = reader.pending_attempts([one.run_id]).values()
    assert (row.activity_type, row.attempt, row.failure.headline()) == ("fetch", 2, "OSError: no route")
    assert (row.next_attempt_time, row.heartbeat_details, row.dispatch_attempt) == (None, Payload("10"), 3)
    assert row.last_heartbeat == HeartbeatRow(one.run_id, scheduled, 3, one.now, Payload('{"row":9}'))
    assert row.is_lost


def test_activities_with_an_outcome_are_not_pending(store, reader, story):
    """An outcome event ends an activity, whatever rows it has besides."""
    one = story().started()
    scheduled = one.scheduled()
    one.tried(scheduled, 1)
    one.succeeded(scheduled, attempt=2)
    store.commit(one.batch)
    assert reader.pending_attempts([one.run_id]) == {}


def test_due_lists_open_runs_by_their_earliest_deadline(store, reader, story):
    """Pending timers, expiration and start delay count; fired and cancelled timers and closed runs don't."""
    timers, expires, delayed, closed = story("t").started(), story("e"), story("d"), story("c").started()
    fired, canceled = timers.timer(1), timers.timer(2)
    timers.timer(9)
    due = timers.events[-1].fire_time
    timers.timer(99)
    timers.fired(fired), timers.timer_canceled(canceled)
    expires.started(workflow_execution_expiration_time=due + 1)
    delayed.started(first_workflow_task_backoff=1.0, workflow_execution_expiration_time=due + 7)
    closed.timer(1), closed.completed()
    for one in (timers, expires, delayed, closed):
        store.commit(one.batch)
    begin = delayed.events[0].event_time + 1_000_000
    assert reader.due(due + 1) == [(delayed.run_id, begin), (timers.run_id, due), (expires.run_id, due + 1)]
    assert reader.due(begin - 1) == []
    assert [reader.next_deadline(after) for after in (0, begin, due + 1)] == [begin, due, due + 7]


def test_there_is_no_next_deadline_when_nothing_waits(reader):
    """An empty log has no deadline."""
    assert reader.next_deadline(0) is None


def test_the_definition_registered_last_is_the_latest(store, reader, story):
    """Registering an old version again makes it the latest; each can be fetched by its hash."""
    one = story()
    old, new = (DefinitionRow(h, "workflow", "report", f"# {h}", "{}", at) for h, at in (("a", 1), ("b", 2)))
    one.batch.definitions += [old, new]
    store.commit(one.batch)
    assert (reader.definition("a"), reader.definition("zz")) == (old, None)
    assert reader.latest_definition("workflow", "report") == new
    again = old._replace(time=3)
    one.batch.definitions[:] = [again]
    store.commit(one.batch)
    assert reader.latest_definition("workflow", "report") == again
    assert reader.latest_definition("activity", "report") is None


def test_a_missing_value_is_a_damaged_store(reader):
    """An event that refers to a value that is not there can't be read."""
    with pytest.raises(StoreCorruptedError, match="value abc is missing"):
        reader.blob("abc")


def test_counts(store, reader, story):
    """Status lines get the numbers of what is open."""
    open_, suspended, closed = story("o").started(), story("s").started(), story("c").started()
    open_.scheduled(), open_.timer(9), suspended.paused("odd"), closed.timer(9), closed.completed()
    for one in (open_, suspended, closed):
        store.commit(one.batch)
    assert reader.counts()._asdict() == {
        "executions": 3,
        "open_executions": 2,
        "suspended_executions": 1,
        "pending_timers": 1,
        "open_activities": 1,
        "events": 8,
    }
