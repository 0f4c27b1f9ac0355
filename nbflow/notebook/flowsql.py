"""``%%flowsql``: SQL over the event log, with ``$name`` for the notebook's variables."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import duckdb

from nbflow.client import Client, default_client
from nbflow.exceptions import ConfigurationError, SqlError
from nbflow.notebook.arguments import Arguments, variable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["flowsql"]

_USAGE = "write %%flowsql [--out NAME] [--limit N] [--write], then SQL"


def flowsql(line: str, cell: str | None, namespace: MutableMapping[str, Any]) -> pd.DataFrame | None:
    """Run SQL over the store of this notebook.

    Parameters
    ----------
    line
        Options, then SQL.
    cell
        More SQL, or None for a line magic.
    namespace
        The notebook's variables: ``$name`` reads one, ``--out`` sets one.

    Returns
    -------
    pandas.DataFrame
        The answer of the last statement; None if ``--out`` took it.

    Raises
    ------
    ConfigurationError
        When an option or a variable is wrong.
    SqlError
        When the SQL fails, or would change something.
    """
    arguments = Arguments(line, namespace, _USAGE)
    options = arguments.options(["out", "limit"], flags=["write"])
    out, limit = options.get("out"), _limit(options.get("limit"))
    if out is not None and not out.isidentifier():
        msg = f"--out wants a variable's name, not {out!r}"
        raise ConfigurationError(msg)
    answer = _run(default_client(), f"{arguments.rest}\n{cell or ''}", namespace, limit, write="write" in options)
    if out is None:
        return answer
    namespace[out] = answer
    return None


def _limit(text: str | None) -> int | None:
    if text is not None and not text.isdecimal():
        msg = f"--limit wants a number of rows, not {text!r}"
        raise ConfigurationError(msg)
    return None if text is None else int(text)


def _run(
    client: Client, text: str, namespace: Mapping[str, Any], limit: int | None, *, write: bool
) -> pd.DataFrame | None:
    try:
        statements = client.cursor().extract_statements(text)
        if not statements:
            msg = f"there is no SQL; {_USAGE}"
            raise ConfigurationError(msg)
        bound = [(statement, _bind(statement.named_parameters, namespace)) for statement in statements]
        answer = None
        for statement, values in bound:
            query = statement.query
            if limit is not None and statement is statements[-1] and statement.type == duckdb.StatementType.SELECT:
                query = f"FROM (\n{_without_end(query)}\n) LIMIT {limit}"
            answer = client.sql(query, values, write=write)
    except duckdb.Error as error:
        raise SqlError(str(error)) from None
    except RuntimeError as error:
        if "interrupted" in str(error):  # DuckDB's answer to Ctrl-C
            raise KeyboardInterrupt from None
        raise
    return answer


def _without_end(query: str) -> str:
    """Cut off the semicolon and the comments behind a statement."""
    end = len(query)
    for offset, kind in reversed(duckdb.tokenize(query)):
        if kind != duckdb.token_type.comment and query[offset] != ";":
            break
        end = offset
    return query[:end]


def _bind(names: set[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    if any(name.isdecimal() for name in names):
        msg = "? and $1 have nothing to stand for here; write $name, which is the notebook's variable of that name"
        raise ConfigurationError(msg)
    return {name: variable(name, namespace) for name in names}
