"""The store that the engine holds: opened once, written by one thread, read through cursors."""

from __future__ import annotations

from os import PathLike, fspath
from types import TracebackType
from typing import Self

import duckdb

from nbflow.store.migrations import bring_up_to_date, check_version, store_id
from nbflow.store.reader import Reader
from nbflow.store.rows import Batch
from nbflow.store.writer import Writer

__all__ = ["EventStore"]


class EventStore:
    """An open event log.

    Made by :meth:`open`. Only one thread calls :meth:`commit`; every other user works on
    a cursor or a reader of its own.

    Attributes
    ----------
    path
        The file, or ``":memory:"``.
    store_id
        Unique id that the store got when it was made.
    read_only
        True if it was opened for reading only.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: str, identity: str, *, read_only: bool) -> None:
        self.path = path
        self.store_id = identity
        self.read_only = read_only
        self._connection = connection
        self._writer = Writer(self.cursor())

    @classmethod
    def open(cls, path: str | PathLike[str], *, holder: str = "", read_only: bool = False) -> EventStore:
        """Open a store, and make it if there is none.

        Parameters
        ----------
        path
            The file; ``":memory:"`` for a store that ends with this object.
        holder
            Who opens it (notebook or command), told to others who find it locked.
        read_only
            True to read beside other readers; nothing is made or migrated.

        Raises
        ------
        StoreError
            One of its kinds, saying what is wrong with the file and what to do.
        """
        path = fspath(path)
        connection = duckdb.connect(":memory:", config={"checkpoint_threshold": "512MB"})
        options = "READ_ONLY" if read_only else "STORAGE_VERSION 'v1.5.0'"
        quoted = path.replace("'", "''")
        connection.execute(f"ATTACH '{quoted}' AS store ({options})")
        version = check_version(connection, path)
        identity = store_id(connection) if read_only else bring_up_to_date(connection, version)
        return cls(connection, path, identity, read_only=read_only)

    def close(self) -> None:
        """Write the log into the file proper and release it; safe to call twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def commit(self, batch: Batch) -> None:
        """Make a batch durable, all of it or nothing; to be called by one thread only."""
        self._writer.commit(batch)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new cursor for the calling thread, with the views on its search path."""
        cursor = self._connection.cursor()
        cursor.execute("SET search_path = 'store.nbflow,store.main'")
        cursor.execute("SET TimeZone = 'UTC'")
        return cursor

    def reader(self) -> Reader:
        """Return a reader with a cursor of its own."""
        return Reader(self.cursor())
