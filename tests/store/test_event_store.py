"""An open store: what lasts, what closing does, checkpoints, transactions of user code."""

from __future__ import annotations

from pathlib import Path

import pytest

import nbflow.store.event_store as event_store_module
from nbflow.exceptions import StoreError, StoreNotWritableError
from nbflow.store import EventStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.duckdb"


def test_what_was_committed_is_there_after_opening_again(path, story):
    """Closing works the log into the file, and the next opening finds everything and the same id."""
    one = story().started().completed()
    with EventStore.open(path) as store:
        store.commit(one.batch)
        identity = store.store_id
    assert list(path.parent.iterdir()) == [path]
    with EventStore.open(path) as store:
        assert store.reader().histories([one.run_id]) == {one.run_id: one.events}
        assert store.store_id == identity


def test_each_store_has_an_id_of_its_own(tmp_path):
    """Two stores are told apart."""
    with EventStore.open(tmp_path / "a.duckdb") as one, EventStore.open(tmp_path / "b.duckdb") as other:
        assert one.store_id and one.store_id != other.store_id


def test_a_store_named_like_the_schema_answers_qualified_names(tmp_path, story):
    """In nbflow.duckdb, the default name, nbflow.executions is not ambiguous."""
    with EventStore.open(tmp_path / "nbflow.duckdb") as store:
        store.commit(story().started().batch)
        assert store.sql("SELECT count(*) FROM nbflow.executions").fetchall() == [(1,)]


def test_a_path_with_a_quote_is_just_a_path(tmp_path):
    """File names are data, not SQL."""
    with EventStore.open(tmp_path / "it's; DROP.duckdb") as store:
        assert store.reader().counts().events == 0


def test_closing_twice_is_harmless(path):
    """The second close does nothing."""
    store = EventStore.open(path)
    store.close()
    store.close()


def test_closing_takes_open_readers_along(path, story):
    """Readers and cursors that nobody closed do not keep the file."""
    store = EventStore.open(path)
    reader, cursor = store.reader(), store.cursor()
    cursor.begin()
    cursor.execute("SELECT count(*) FROM events").fetchall()
    store.commit(story().started().batch)
    store.close()
    with EventStore.open(path) as again:
        assert again.reader().counts().events == 1
    with pytest.raises(StoreError):
        reader.counts()


def test_a_store_opened_read_only_reads_beside_others_and_writes_nothing(path, story):
    """Two readers share a file; commit, transaction and writing SQL are refused."""
    with EventStore.open(path) as store:
        store.commit(story().started().batch)
    before = path.read_bytes()
    with EventStore.open(path, read_only=True) as reading:
        assert reading.reader().counts().events == 1
        for write in (
            lambda: reading.commit(story("w2").started().batch),
            reading.transaction,
            lambda: reading.sql("CREATE TABLE t (i INT)", write=True),
        ):
            with pytest.raises(StoreNotWritableError, match="opened read-only"):
                write()
        assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before


def test_an_idle_store_is_checkpointed_when_its_log_has_grown(path, story, monkeypatch):
    """checkpoint_if_large does nothing for little, and empties the log of much."""
    with EventStore.open(path) as store:
        store.commit(story().started().batch)
        assert not store.checkpoint_if_large()
        monkeypatch.setattr(event_store_module, "_IDLE_COMMITS", 1)
        assert store.checkpoint_if_large()
        assert store._log_bytes() == 0
        assert not store.checkpoint_if_large()
        assert store.reader().counts().events == 1


def test_a_busy_store_is_checkpointed_now_and_then(path, story, monkeypatch):
    """Commits bring the log into the file themselves before replaying it would take long."""
    monkeypatch.setattr(event_store_module, "_BUSY_COMMITS", 3)
    with EventStore.open(path) as store:
        sizes = []
        for number in range(6):
            store.commit(story(f"w{number}").started().batch)
            sizes.append(store._log_bytes() == 0)
        assert sizes == [False, False, True, False, False, True]


def test_a_checkpoint_waits_for_a_transaction_of_user_code(path, story, monkeypatch):
    """While an activity's transaction is open the log grows on, and nothing fails."""
    monkeypatch.setattr(event_store_module, "_BUSY_COMMITS", 1)
    with EventStore.open(path) as store:
        cursor = store.transaction()
        cursor.execute("CREATE TABLE totals (n INT)")
        store.commit(story().started().batch)
        assert store.reader().counts().events == 1
        cursor.rollback()


def test_a_transaction_commits_its_writes_with_the_events(path, story):
    """What user code wrote and the event that tells of it become visible together; its tables are in main."""
    one = story().started()
    with EventStore.open(path) as store:
        cursor = store.transaction()
        cursor.execute("CREATE TABLE totals AS SELECT 42 AS n")
        assert store.sql("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'totals'").fetchall() == [(0,)]
        store.commit_transaction(cursor, one.batch)
        assert store.sql("SELECT n, workflow_id FROM main.totals, executions").fetchall() == [(42, "w")]


def test_a_transaction_that_conflicts_leaves_neither_writes_nor_events(path, story):
    """When another transaction changed the same rows first, nothing of this one is kept."""
    with EventStore.open(path) as store:
        store.sql("CREATE TABLE totals (n INT PRIMARY KEY)", write=True)
        first, second = store.transaction(), store.transaction()
        for cursor in (first, second):
            cursor.execute("INSERT INTO totals VALUES (1)")
        store.commit_transaction(first, story("first").started().batch)
        with pytest.raises(StoreError):
            store.commit_transaction(second, story("second").started().batch)
        assert store.sql("SELECT list(workflow_id) FROM executions").fetchall() == [(["first"],)]
        assert store.sql("SELECT n FROM totals").fetchall() == [(1,)]


def test_a_cursor_has_the_views_on_its_path_and_times_in_utc(store):
    """Names need no schema, and a time has the same text everywhere."""
    cursor = store.cursor()
    assert cursor.execute("SELECT count(*) FROM executions").fetchall() == [(0,)]
    assert cursor.execute("SELECT make_timestamptz(0)::VARCHAR").fetchall() == [("1970-01-01 00:00:00+00",)]


def test_a_file_can_be_told_by_any_path_object(tmp_path, monkeypatch):
    """Relative paths and strings are paths too."""
    monkeypatch.chdir(tmp_path)
    with EventStore.open("x.duckdb") as store:
        assert store.path == "x.duckdb" and Path("x.duckdb").exists()
