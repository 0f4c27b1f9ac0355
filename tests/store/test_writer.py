"""Commits: all of a batch or nothing, by either way into DuckDB."""

from __future__ import annotations

import hashlib

import pytest

from nbflow.core.payloads import Blob, Payload
from nbflow.exceptions import StoreError
from nbflow.store import Batch, DefinitionRow, LogRow


def blob(data):
    return Blob(hashlib.sha256(data).hexdigest(), "bytes", data)


@pytest.fixture(params=["appender", "inserts"])
def either_store(request, store):
    """Give the store with each way of writing that some DuckDB needs."""
    if request.param == "inserts":
        store._writer._has_appender = False
    elif not store._writer._has_appender:
        pytest.skip("this DuckDB has no appender")
    return store


def everything(story, count=1):
    """Return a story that has rows for each table, many or few."""
    one = story().started()
    for _ in range(count):
        scheduled = one.scheduled(deferred=True)
        one.dispatched(scheduled, scheduled, 1)
        one.tried(scheduled, 1, details=Payload("5"))
        one.heartbeat(scheduled, 1, '{"row":7}')
        one.batch.logs.append(LogRow("run-of-w", "w", scheduled, 1, one.now, "INFO", "print", "é\0\n"))
        one.note("Suspended")
    one.batch.definitions.append(DefinitionRow("h", "workflow", "report", "def report(): ...", "{}", one.now))
    one.scheduled(input=Payload("[1]", (blob(b"\0\xff" * 10),)))
    return one


@pytest.mark.parametrize("count", [1, 30])
def test_every_table_gets_its_rows(either_store, story, count):
    """A batch with rows of all sorts is there afterwards, whole."""
    either_store.commit(everything(story, count).batch)
    counts = {
        table: either_store.sql(f"SELECT count(*) FROM event_log.{table}").fetchone()[0]
        for table in ("events", "attempts", "dispatches", "heartbeats", "logs", "definitions", "notes", "payloads")
    }
    expected = dict.fromkeys(("attempts", "dispatches", "heartbeats", "logs", "notes"), count)
    assert counts == {**expected, "events": count + 2, "definitions": 1, "payloads": 1}


@pytest.mark.parametrize("count", [1, 30])
def test_what_was_written_reads_back_the_same(either_store, story, count):
    """Text with any character, missing values and bytes survive."""
    one = everything(story, count)
    either_store.commit(one.batch)
    with_reader = either_store.reader()
    assert with_reader.histories(["run-of-w"])["run-of-w"] == one.events
    assert with_reader.blob(blob(b"\0\xff" * 10).sha256) == ("bytes", b"\0\xff" * 10)
    assert either_store.sql("SELECT DISTINCT message FROM logs").fetchall() == [("é\0\n",)]


@pytest.mark.parametrize("many", [False, True])
def test_a_batch_that_can_not_be_written_leaves_nothing(either_store, story, many):
    """When the last row of the last table is bad, no row of any table is kept."""
    bad = everything(story, 30 if many else 1)
    bad.batch.logs.append(LogRow("r", "w", None, None, "not a time", "INFO", "print", "x"))
    with pytest.raises((StoreError, ValueError, TypeError)):
        either_store.commit(bad.batch)
    assert either_store.reader().counts().events == 0
    either_store.commit(story().started().batch)
    assert either_store.reader().counts().events == 1


def test_a_bad_event_leaves_nothing_and_the_next_commit_works(either_store, story):
    """A batch of events alone is atomic too."""
    bad = story().started()
    bad.batch.events.append(("run-of-w", None, bad.events[0], False))
    with pytest.raises(StoreError):
        either_store.commit(bad.batch)
    either_store.commit(story("other").started().batch)
    assert [row[0] for row in either_store.sql("SELECT workflow_id FROM events").fetchall()] == ["other"]


def test_a_value_is_stored_once(store, story):
    """The same blob in one batch, in a later one and after opening anew lies there one time."""
    for number in range(3):
        one = story(f"w{number}").started(input=Payload("[1]", (blob(b"same"),)))
        one.completed()
        one.add(type(one.events[-1]), result=Payload("1", (blob(b"same"),)))
        if number == 2:
            store._writer._stored_blobs = None
        store.commit(one.batch)
    assert store.sql("SELECT count(*), any_value(size) FROM payloads").fetchall() == [(1, 4)]


def test_a_blob_of_a_batch_that_failed_is_written_with_the_next(store, story):
    """A blob counts as stored only once it is."""
    bad = story().started(input=Payload("[1]", (blob(b"late"),)))
    bad.batch.logs.append(LogRow("r", "w", None, None, "not a time", "INFO", "print", "x"))
    with pytest.raises(StoreError):
        store.commit(bad.batch)
    store.commit(story().started(input=Payload("[1]", (blob(b"late"),))).batch)
    assert store.reader().blob(blob(b"late").sha256) == ("bytes", b"late")


def test_an_empty_batch_writes_nothing(store):
    """Committing nothing is no commit."""
    store.commit(Batch())
    assert not Batch() and store.reader().counts().events == 0
