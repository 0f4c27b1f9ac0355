"""SQL that people write: reads go, writes are asked for, names get their values."""

from __future__ import annotations

import pytest

from nbflow.exceptions import SqlError


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM executions",
        "FROM nbflow.executions",
        "WITH open AS (FROM executions) SELECT count(*) FROM open",
        "DESCRIBE executions",
        "SHOW TABLES",
        "SUMMARIZE executions",
        "EXPLAIN SELECT 1",
        "VALUES (1), (2)",
        "PRAGMA table_info('event_log.events')",
        "PIVOT (SELECT workflow_type, status FROM executions) ON status USING count(*)",
        "SELECT 1; SELECT 2",
    ],
)
def test_reads_go(store, story, query):
    """Whatever only reads may run."""
    store.commit(story().started().batch)
    assert store.sql(query).fetchall()


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM event_log.events",
        "INSERT INTO event_log.meta VALUES ('a', 'b')",
        "CREATE TABLE mine (i INT)",
        "CREATE OR REPLACE VIEW executions AS SELECT 1",
        "DROP VIEW executions",
        "SELECT 1; UPDATE event_log.events SET name = 'x'",
        "EXPLAIN ANALYZE DELETE FROM event_log.events",
        "COPY executions TO 'stolen.csv'",
        "ATTACH ':memory:' AS other",
        "SET memory_limit = '1GB'",
        "COMMIT; DELETE FROM event_log.events",
        "CHECKPOINT store",
        "INSTALL httpfs",
    ],
)
def test_writes_are_refused_unless_asked_for(store, story, query):
    """The error shows the SQL and says how to allow it; the log is untouched."""
    store.commit(story().started().batch)
    with pytest.raises(SqlError, match=r"would change something: .* write=True"):
        store.sql(query)
    assert store.reader().counts().events == 1
    assert store.sql("SELECT count(*) FROM event_log.meta WHERE key = 'a'").fetchall() == [(0,)]


def test_an_insert_inside_a_select_is_refused(store, story):
    """DuckDB 2.0 lets a SELECT insert; the read-only transaction does not."""
    store.commit(story().started().batch)
    with pytest.raises(SqlError):
        store.sql("WITH x AS (INSERT INTO event_log.meta VALUES ('a', 'b') RETURNING *) SELECT * FROM x").fetchall()
    assert store.sql("SELECT count(*) FROM event_log.meta WHERE key = 'a'").fetchall() == [(0,)]


def test_with_write_tables_can_be_made_and_are_the_users(store):
    """What people create lies in main, beside nbflow's schemas, and is found by its name."""
    store.sql("CREATE TABLE totals AS SELECT 42 AS n", write=True)
    assert store.sql("SELECT n FROM totals").fetchall() == [(42,)]
    assert store.sql("SELECT schema_name FROM duckdb_tables() WHERE table_name = 'totals'").fetchall() == [("main",)]


def test_names_get_their_values(store, story):
    """$name takes its value from the mapping; what the query does not mention is left aside."""
    store.commit(story("order-1").started().batch)
    query = "SELECT workflow_id, $n + 1 FROM executions WHERE workflow_id = $id"
    assert store.sql(query, {"id": "order-1", "n": 1, "other": object()}).fetchall() == [("order-1", 2)]


def test_a_value_is_never_sql(store, story):
    """Values are bound, not pasted."""
    store.commit(story().started().batch)
    assert store.sql("SELECT $x", {"x": "'; DROP TABLE event_log.events; --"}).fetchone() == (
        "'; DROP TABLE event_log.events; --",
    )


def test_a_name_without_a_value_is_told(store):
    """The missing name is in the error."""
    with pytest.raises(SqlError, match=r"mentions \$city, which has no value; pass city="):
        store.sql("SELECT $city")


def test_no_sql_at_all(store):
    """Nothing but a comment is no query."""
    with pytest.raises(SqlError, match="no SQL to run"):
        store.sql("-- nothing")


def test_mistakes_are_duckdbs_to_explain(store):
    """A wrong name comes back with DuckDB's own hint."""
    with pytest.raises(SqlError, match='Did you mean "executions"'):
        store.sql("SELECT * FROM executionz")


def test_a_result_becomes_a_dataframe(store, story):
    """Times arrive as times in UTC, durations as seconds."""
    store.commit(story().started().completed().batch)
    frame = store.frame("SELECT start_time, duration, status FROM executions")
    assert str(frame["start_time"].dt.tz) == "UTC"
    assert frame[["duration", "status"]].to_dict("records") == [{"duration": 1.0, "status": "Completed"}]


def test_a_query_that_fails_while_rows_are_made(store):
    """An error deep in the data is the SQL's error as well."""
    with pytest.raises(SqlError, match="Could not convert"):
        store.frame("SELECT ('x' || i)::INT FROM range(100000) r(i)")
