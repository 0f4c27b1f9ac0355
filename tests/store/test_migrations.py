"""The schema: made once, brought up to date once, views made anew when they change."""

from __future__ import annotations

import pytest

from nbflow.store import EventStore, migrations


@pytest.fixture
def path(tmp_path, story):
    """Return the path of a store with one execution."""
    with EventStore.open(tmp_path / "s.duckdb") as store:
        store.commit(story().started().batch)
    return tmp_path / "s.duckdb"


def meta(store, key):
    return store.sql("SELECT value FROM event_log.meta WHERE key = $key ORDER BY rowid", {"key": key}).fetchall()


def test_the_newest_migration_is_the_version_that_this_nbflow_knows():
    """SCHEMA_VERSION follows the files."""
    assert [number for number, _ in migrations._migrations()] == list(range(1, migrations.SCHEMA_VERSION + 1))


def test_opening_again_changes_nothing(path):
    """Migrations and views are applied once."""
    for _ in range(2):
        with EventStore.open(path) as store:
            assert meta(store, "schema_version") == [(str(n + 1),) for n in range(migrations.SCHEMA_VERSION)]
            assert len(meta(store, "views")) == len(meta(store, "store_id")) == 1


def test_an_older_store_is_migrated_and_keeps_its_rows(path, monkeypatch):
    """A new migration runs once, in a transaction, and the version follows."""
    newest = migrations.SCHEMA_VERSION + 1
    files = [*migrations._migrations(), (newest, "ALTER TABLE event_log.notes ADD COLUMN author VARCHAR")]
    monkeypatch.setattr(migrations, "_migrations", lambda: files)
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", newest)
    for _ in range(2):
        with EventStore.open(path) as store:
            assert meta(store, "schema_version")[-2:] == [(str(newest - 1),), (str(newest),)]
            assert store.sql("SELECT count(author) FROM event_log.notes").fetchall() == [(0,)]
            assert store.reader().counts().executions == 1


def test_a_migration_that_fails_leaves_the_store_as_it_was(path, monkeypatch):
    """Half a migration is none."""
    broken = "CREATE TABLE event_log.half (a INT); SELECT no_such_function()"
    files = [*migrations._migrations(), (migrations.SCHEMA_VERSION + 1, broken)]
    monkeypatch.setattr(migrations, "_migrations", lambda: files)
    with pytest.raises(Exception, match="no_such_function"):
        EventStore.open(path)
    monkeypatch.undo()
    with EventStore.open(path) as store:
        assert store.sql("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'half'").fetchall() == [(0,)]
        assert store.reader().counts().executions == 1


def test_views_are_made_anew_when_their_text_changes(path, monkeypatch):
    """The views in a store are always those of the nbflow that opened it for writing."""
    monkeypatch.setattr(migrations, "_views", lambda: "CREATE OR REPLACE VIEW nbflow.logs AS SELECT 1 AS line")
    with EventStore.open(path) as store:
        assert store.sql("FROM logs").fetchall() == [(1,)]
    monkeypatch.undo()
    with EventStore.open(path) as store:
        assert store.sql("SELECT count(message) FROM logs").fetchall() == [(0,)]
        assert len(meta(store, "views")) == 3
