"""A transaction for user code: DuckDB's own cursor, except that it can't end the transaction.

Rule 1: nothing that user code does through it commits, rolls back, or reaches another database.
Rule 2: it remembers a conflict, also one that user code swallowed: such a transaction can only be made again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import duckdb

from nbflow.exceptions import SqlError
from nbflow.store.opening import store_error

if TYPE_CHECKING:
    from nbflow.store.event_store import EventStore

__all__ = ["OpenTransaction", "TransactionCursor", "is_conflict"]

_RUN_SQL = frozenset({"execute", "executemany", "from_query", "query", "sql"})
_REFUSED = frozenset({"begin", "checkpoint", "close", "commit", "cursor", "duplicate", "interrupt", "rollback"})
_SUSPICIOUS = re.compile(r"\b(abort|attach|begin|commit|detach|end|rollback|start)\b", re.IGNORECASE)
_REFUSED_STATEMENTS = frozenset({"ATTACH", "DETACH", "TRANSACTION"})
_ABORTED = "transaction is aborted"


def is_conflict(error: BaseException | None) -> bool:
    """Say whether another transaction was quicker, so that this one may be made again.

    Parameters
    ----------
    error
        What a statement or a commit raised, or an error that it caused.
    """
    while error is not None:
        if isinstance(error, duckdb.TransactionException):
            return _ABORTED not in str(error)
        error = error.__cause__
    return False


class OpenTransaction:
    """One transaction that is open.

    Parameters
    ----------
    store
        Where it writes.
    """

    def __init__(self, store: EventStore) -> None:
        self.connection = store.transaction()
        # DataFrames are found by the name of their variable, and TransactionCursor stands in between
        self.connection.execute("SET python_scan_all_frames = true")
        self.cursor = TransactionCursor(self)
        """What user code gets."""
        self.has_conflict = False
        """True if another transaction was quicker."""
        self._error: Exception | None = None
        self._path = store.path

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the connection for user code."""
        if name in _RUN_SQL:
            self._check(args[0] if args else kwargs.get("query"))
        try:
            found = getattr(self.connection, name)(*args, **kwargs)
        except duckdb.Error as error:
            self._error = error
            self.has_conflict |= is_conflict(error)
            raise
        return self.cursor if found is self.connection else found

    def _check(self, query: Any) -> None:
        """Refuse statements that end the transaction or reach beyond it."""
        if isinstance(query, str):
            if not _SUSPICIOUS.search(query):
                return
            statements: list[Any] = self.connection.extract_statements(query)
        else:
            statements = [query]
        for statement in statements:
            kind = getattr(getattr(statement, "type", None), "name", "")
            if kind in _REFUSED_STATEMENTS:
                msg = (
                    f"{' '.join(statement.query.split())!r} is not for a transaction's code: what it writes commits "
                    f"together with its outcome, when the function returns"
                )
                raise SqlError(msg)

    def broken_by(self) -> Exception | None:
        """Return the error that made the transaction unusable although the code went on; None if it may commit."""
        try:
            # ends a result that the code did not fetch to its end, too: DuckDB 2.0 would not commit behind it
            self.connection.execute("SELECT 1").fetchall()
        except duckdb.Error as error:
            return self._error or error
        return None

    def commit(self) -> None:
        """Make what was written durable, on the calling thread.

        Raises
        ------
        StoreError
            When it can't be; nothing of it is in the store then.
        """
        try:
            self.connection.commit()
        except duckdb.Error as error:
            raise store_error(error, self._path) from error

    def give_up(self) -> None:
        """Undo what is not committed and let the cursor go; safe to call twice."""
        try:
            self.connection.rollback()
        except duckdb.Error:
            return  # the transaction has ended, or the store is closed: nothing is left to undo
        finally:
            self.connection.close()

    def stop(self) -> None:
        """Interrupt the statement under way; from another thread."""
        self.connection.interrupt()


class TransactionCursor:
    """Everything a DuckDB connection has, inside one transaction that is somebody else's to end.

    Parameters
    ----------
    transaction
        The transaction.
    """

    __slots__ = ("_transaction",)

    def __init__(self, transaction: OpenTransaction) -> None:
        self._transaction = transaction

    def __getattr__(self, name: str) -> Any:
        if name in _REFUSED:
            msg = f"db.{name}() is not for a transaction's code: it commits when the function returns"
            raise SqlError(msg)
        transaction = self._transaction
        found = getattr(transaction.connection, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            return transaction.call(name, *args, **kwargs)

        return call
