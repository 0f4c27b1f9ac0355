"""SQL that people write, over the log: read-only unless they say otherwise."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import duckdb

from nbflow.exceptions import SqlError

__all__ = ["run_query", "to_frame"]

# What may run without `write`. The read-only transaction around it is what protects the log (in DuckDB 2.0 even a
# SELECT can insert); this list is for clear words, and keeps out what would reach beyond the transaction.
_READS = frozenset({"SELECT", "EXPLAIN", "PRAGMA", "MULTI"})
_CREATES_TEMPORARY = re.compile(r"\s*(?!create\b)|\s*create\s+(or\s+replace\s+)?temp", re.IGNORECASE)


def run_query(
    cursor: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False
) -> duckdb.DuckDBPyConnection:
    """Run one or more statements.

    Parameters
    ----------
    cursor
        A cursor of its own for this query; it holds the result.
    query
        SQL; ``$name`` stands for a parameter.
    parameters
        Values for the names; those that the query does not mention are left aside.
    write
        True to allow statements that change something.

    Returns
    -------
    duckdb.DuckDBPyConnection
        The cursor, with the result of the last statement.

    Raises
    ------
    SqlError
        When a statement would write, a name has no value, there is no statement, or DuckDB refuses it.
    """
    try:
        statements = cursor.extract_statements(query)
    except duckdb.Error as error:
        raise SqlError(str(error)) from None
    if not statements:
        msg = "there is no SQL to run; write a query, e.g. SELECT * FROM executions"
        raise SqlError(msg)
    if not write:
        for statement in statements:
            _check_reads(statement)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        for statement in statements:
            cursor.execute(statement, _mentioned(statement, parameters or {}))
    except duckdb.TransactionException as error:
        if "read-only" in str(error):
            raise _would_write(query) from None
        raise SqlError(str(error)) from None
    except duckdb.Error as error:
        raise SqlError(str(error)) from None
    return cursor


def to_frame(cursor: duckdb.DuckDBPyConnection) -> Any:
    """Return a cursor's result as a pandas DataFrame; times with a zone come in UTC.

    Raises
    ------
    SqlError
        When the query fails only now, as rows are made.
    """
    with warnings.catch_warnings():
        # DuckDB calls pandas in a way that pandas 3.1 deprecates
        warnings.filterwarnings("ignore", message="The inplace keyword")
        try:
            return cursor.df()
        except duckdb.Error as error:
            raise SqlError(str(error)) from None


def _check_reads(statement: duckdb.Statement) -> None:
    kind = statement.type.name
    if kind in _READS:
        return
    # DuckDB 1.5 makes a temporary type first when it pivots
    if kind == "CREATE" and _CREATES_TEMPORARY.match(statement.query):
        return
    raise _would_write(statement.query)


def _would_write(query: str) -> SqlError:
    words = " ".join(query.split())
    shown = words if len(words) <= 60 else f"{words[:57]}..."
    return SqlError(f"this SQL would change something: {shown!r}; say write=True (%%flowsql --write) if it shall")


def _mentioned(statement: duckdb.Statement, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    names = statement.named_parameters
    missing = sorted(name for name in names if name not in parameters)
    if missing:
        msg = f"the query mentions ${missing[0]}, which has no value; pass {missing[0]}=..."
        raise SqlError(msg)
    return {name: parameters[name] for name in names} or None
