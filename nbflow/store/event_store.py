"""The store that the engine holds: opened once, written by one thread, read through cursors."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import duckdb

from nbflow.exceptions import StoreNotWritableError
from nbflow.store import opening
from nbflow.store.migrations import bring_up_to_date, check_version, store_id
from nbflow.store.opening import store_error
from nbflow.store.queries import run_query, to_frame
from nbflow.store.reader import Reader
from nbflow.store.rows import Batch
from nbflow.store.writer import Writer

__all__ = ["EventStore"]

_log = logging.getLogger(__name__)

# DuckDB keeps commits in a log beside its file and works them in at a checkpoint, which stalls commits for about
# 3 ms a megabyte. After a crash that log is replayed at 0.1 ms a commit and 1 s for 250 MB. So: checkpoint early
# when nobody waits, and while busy only when replay would come to take about a second.
_IDLE_LOG_BYTES, _IDLE_COMMITS = 1_000_000, 500
_BUSY_LOG_BYTES, _BUSY_COMMITS = 128_000_000, 10_000
_NO_AUTOMATIC_CHECKPOINT = "16GB"


class EventStore:
    """An open event log.

    Made by :meth:`open`. Only one thread calls :meth:`commit` and :meth:`checkpoint_if_large`;
    every other user works on a cursor or a reader of its own.

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
        self._cursors: WeakSet[duckdb.DuckDBPyConnection] = WeakSet()
        self._commit_cursor = self.cursor()
        self._writer = Writer(self._commit_cursor)
        self._commits = 0
        self._closed = False

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
            One of its kinds, saying what is wrong with the file and what to do. The file is then as it was.
        """
        path = fspath(path)
        connection = duckdb.connect(opening.MEMORY, config={"checkpoint_threshold": _NO_AUTOMATIC_CHECKPOINT})
        made = opening.attach(connection, path, read_only=read_only)
        try:
            version = check_version(connection, path, read_only=read_only)
            identity = store_id(connection) if read_only else bring_up_to_date(connection, version)
            # DuckDB detaches only what is nobody's default
            connection.execute("USE memory")
            store = cls(connection, path, identity, read_only=read_only)
            if not read_only:
                ((since,),) = connection.execute("SELECT strftime(now(), '%Y-%m-%d %H:%M %Z')").fetchall()
                opening.remember_holder(path, holder, since)
        except BaseException as error:
            connection.close()
            if made:
                opening.remove_files(path)
            if isinstance(error, duckdb.Error | OSError):
                raise store_error(error, path) from error
            raise
        return store

    def close(self) -> None:
        """Work the log into the file and release it; safe to call twice.

        Raises
        ------
        StoreError
            When the disk is full: nothing committed is lost, and opening the store again goes on from there.
        """
        if self._closed:
            return
        self._closed = True
        for cursor in list(self._cursors):
            # one that its user has closed refuses
            with suppress(duckdb.Error):
                cursor.interrupt()
        try:
            if not self.read_only:
                self._connection.execute("CHECKPOINT store")
            self._connection.execute("DETACH store")
        except duckdb.TransactionException:
            # someone's transaction is open, and ends with the connection; the log stays beside the file
            _log.debug("no checkpoint of %s on closing: a transaction was open", self.path)
        except duckdb.Error as error:
            raise store_error(error, self.path) from error
        finally:
            # a cursor that is still busy in another thread refuses, and goes when that thread drops it
            with suppress(duckdb.Error):
                self._connection.close()
            if not self.read_only:
                opening.forget_holder(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def commit(self, batch: Batch) -> None:
        """Make a batch durable, all of it or nothing; to be called by one thread only.

        Parameters
        ----------
        batch
            What to write; afterwards it may be used again.

        Raises
        ------
        StoreFullError
            When the disk is full.
        StoreError
            When the log can't be written; the store can then only be closed.
        """
        self._check_writable()
        try:
            self._writer.commit(batch)
        except duckdb.Error as error:
            raise store_error(error, self.path) from error
        self._committed()

    def transaction(self) -> duckdb.DuckDBPyConnection:
        """Return a new cursor with a transaction open, for code whose writes shall commit with its outcome."""
        self._check_writable()
        cursor = self.cursor()
        # what this code creates belongs to the user
        cursor.execute("SET search_path = 'store.main,store.nbflow'")
        cursor.begin()
        return cursor

    def commit_transaction(self, cursor: duckdb.DuckDBPyConnection, batch: Batch) -> None:
        """Make a batch durable together with what was written through a cursor of :meth:`transaction`.

        Parameters
        ----------
        cursor
            The cursor; nobody else uses it meanwhile. It is closed afterwards.
        batch
            The events that tell of it.

        Raises
        ------
        StoreError
            When it can't be committed, e.g. because another transaction changed the same rows; nothing of
            either is in the store then, and the code may be run again.
        """
        try:
            Writer(cursor).add_to_transaction(batch)
            cursor.commit()
        except duckdb.Error as error:
            raise store_error(error, self.path) from error
        finally:
            cursor.close()
        self._committed()

    def _check_writable(self) -> None:
        if self.read_only:
            msg = f"the store {self.path} was opened read-only; open it without read_only to write"
            raise StoreNotWritableError(msg, self.path)

    def _committed(self) -> None:
        self._commits += 1
        if self._commits >= _BUSY_COMMITS or self._log_bytes() >= _BUSY_LOG_BYTES:
            self._checkpoint()

    def checkpoint_if_large(self) -> bool:
        """Work the log into the file if that is worth it; for moments when no commit waits.

        Returns
        -------
        bool
            True if it was done. It takes 5 to 30 ms as a rule.
        """
        return self.has_large_log and self._checkpoint()

    @property
    def has_large_log(self) -> bool:
        """True if a checkpoint is worth it in a moment when no commit waits."""
        return self._commits > 0 and (self._commits >= _IDLE_COMMITS or self._log_bytes() >= _IDLE_LOG_BYTES)

    def _checkpoint(self) -> bool:
        self._commits = 0
        try:
            self._commit_cursor.execute("CHECKPOINT store")
        except duckdb.TransactionException:
            # an activity's own transaction is open; the log can wait
            return False
        except duckdb.Error as error:
            # the commit before was durable, so this is not its failure; a disk that is full fails the next one
            _log.warning("%s", store_error(error, self.path))
            return False
        return True

    def _log_bytes(self) -> int:
        try:
            return os.stat(f"{self.path}.wal").st_size  # noqa: PTH116  asked at every commit
        except OSError:
            return 0

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new cursor for the calling thread, with the views on its search path and times in UTC."""
        cursor = self._connection.cursor()
        cursor.execute("SET search_path = 'store.nbflow,store.main'; SET TimeZone = 'UTC'")
        self._cursors.add(cursor)
        return cursor

    def reader(self) -> Reader:
        """Return a reader with a cursor of its own."""
        return Reader(self.cursor(), self.path)

    def sql(
        self, query: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False
    ) -> duckdb.DuckDBPyConnection:
        """Run SQL over the log and give the cursor that holds the result.

        Parameters
        ----------
        query
            One or more statements; ``$name`` stands for a parameter.
        parameters
            Values for the names; those that the query does not mention are left aside.
        write
            True to allow statements that change something. New tables are then the user's, in schema ``main``.

        Raises
        ------
        SqlError
            When a statement would write, a name has no value, there is no statement, or DuckDB refuses it.
        """
        cursor = self.cursor()
        if write:
            self._check_writable()
            cursor.execute("SET search_path = 'store.main,store.nbflow'")
        return run_query(cursor, query, parameters, write=write)

    def frame(self, query: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False) -> Any:
        """Run SQL as :meth:`sql` does and give the result as a pandas DataFrame."""
        return to_frame(self.sql(query, parameters, write=write))
