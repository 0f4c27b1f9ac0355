"""The schema of the log: numbered migrations, applied once, and views, made anew when their text changes."""

from __future__ import annotations

import hashlib
from importlib import resources

import duckdb

from nbflow.exceptions import ForeignStoreError, StoreVersionError

__all__ = ["SCHEMA_VERSION", "bring_up_to_date", "check_version"]

_FILES = resources.files("nbflow.store") / "schema"


def _migrations() -> list[tuple[int, str]]:
    files = [file for file in _FILES.iterdir() if file.name[:4].isdigit()]
    return sorted((int(file.name[:4]), file.read_text(encoding="utf-8")) for file in files)


def _views() -> str:
    return (_FILES / "views.sql").read_text(encoding="utf-8")


SCHEMA_VERSION = 2
"""Number of the newest migration."""


def check_version(connection: duckdb.DuckDBPyConnection, path: str, *, read_only: bool) -> int:
    """Tell the schema version of the attached store.

    Returns
    -------
    int
        0 when the database is empty.

    Raises
    ------
    ForeignStoreError
        When the database holds other things.
    StoreVersionError
        When a newer nbflow wrote it.
    """
    tables = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'store'"
    ).fetchall()
    if ("event_log", "meta") not in tables:
        if not tables and not read_only:
            return 0
        msg = (
            f"{path} is a DuckDB database but not an nbflow store (it has {len(tables)} tables of its own"
            f"{f', e.g. {tables[0][1]!r}' if tables else ''}); choose another path for the store"
        )
        raise ForeignStoreError(msg, path)
    version = int(_meta(connection, "schema_version") or 0)
    if version > SCHEMA_VERSION:
        msg = (
            f"{path} was written by a newer nbflow (schema {version}, this one knows {SCHEMA_VERSION}); "
            f"upgrade with: pip install --upgrade nbflow"
        )
        raise StoreVersionError(msg, path)
    return version


def bring_up_to_date(connection: duckdb.DuckDBPyConnection, version: int) -> str:
    """Apply what is missing, in one transaction.

    Parameters
    ----------
    connection
        Has the store attached as ``store``.
    version
        The schema version found.

    Returns
    -------
    str
        The store's id.
    """
    views = _views()
    digest = hashlib.sha256(views.encode()).hexdigest()
    connection.begin()
    try:
        connection.execute("USE store")
        for number, script in _migrations():
            if number > version:
                connection.execute(script)
                _set_meta(connection, "schema_version", str(number))
        if version == 0:
            connection.execute(
                "INSERT INTO event_log.meta SELECT * FROM "
                "(VALUES ('store_id', uuid()::VARCHAR), ('created', epoch_us(now())::VARCHAR))"
            )
        if _meta(connection, "views") != digest:
            connection.execute(views)
            _set_meta(connection, "views", digest)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return store_id(connection)


def store_id(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the id that the store got when it was made."""
    return _meta(connection, "store_id") or ""


def _meta(connection: duckdb.DuckDBPyConnection, key: str) -> str | None:
    # append-only like every table of the log: the last row of a key holds
    row = connection.execute(
        "SELECT value FROM store.event_log.meta WHERE key = $1 ORDER BY rowid DESC LIMIT 1", [key]
    ).fetchone()
    return None if row is None else str(row[0])


def _set_meta(connection: duckdb.DuckDBPyConnection, key: str, value: str) -> None:
    connection.execute("INSERT INTO store.event_log.meta VALUES ($1, $2)", [key, value])
