"""Names of relations and columns, offered while SQL is typed behind ``%flowsql``."""

from __future__ import annotations

import re

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from nbflow.client import Client, opened_client
from nbflow.exceptions import EngineClosedError
from nbflow.notebook.verbs import VERBS

__all__ = ["complete_flowsql", "complete_verb"]

_NAMES = """
SELECT table_name, column_name FROM duckdb_columns()
WHERE schema_name = 'nbflow' AND NOT internal ORDER BY table_name, column_index
"""
_VERB = re.compile(r"^\s*%nbflow\s+(\w*)$")
_WORD = re.compile(r"\w*$")
_known: dict[str, list[tuple[str, str]]] = {}
"""Names and what they are, by store: they don't change while it is open."""


@context_matcher()  # type: ignore[untyped-decorator]
def complete_flowsql(context: CompletionContext) -> SimpleMatcherResult:
    """Complete a word of SQL; says nothing elsewhere, or while no store is open.

    Parameters
    ----------
    context
        The cell and the cursor's place in it.
    """
    line = context.text_until_cursor
    if not (context.full_text.lstrip().startswith("%%flowsql") or "%flowsql" in line):
        return {"completions": []}
    match = _WORD.search(line)
    word = match[0].lower() if match else ""
    found = [SimpleCompletion(name, type=what) for name, what in _names() if name.startswith(word)]
    return {"completions": found, "matched_fragment": word, "suppress": bool(found)}


@context_matcher()  # type: ignore[untyped-decorator]
def complete_verb(context: CompletionContext) -> SimpleMatcherResult:
    """Complete the verb of ``%nbflow``.

    Parameters
    ----------
    context
        The cell and the cursor's place in it.
    """
    match = _VERB.search(context.text_until_cursor)
    if match is None:
        return {"completions": []}
    found = [SimpleCompletion(name, type="magic") for name in VERBS if name.startswith(match[1])]
    return {"completions": found, "matched_fragment": match[1], "suppress": True}


def _names() -> list[tuple[str, str]]:
    try:
        client = opened_client()
    except EngineClosedError:
        return []
    key = client.store.store_id
    if key not in _known:
        _known[key] = _read_names(client)
    return _known[key]


def _read_names(client: Client) -> list[tuple[str, str]]:
    rows = client.rows(_NAMES)
    names = dict.fromkeys((row["column_name"] for row in rows), "column")
    names.update(dict.fromkeys((row["table_name"] for row in rows), "table"))
    return sorted(names.items())
