"""A transaction that is called outside of workflows: nothing to record, only data to commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbflow.core.transaction_context import open_transaction
from nbflow.exceptions import StoreError
from nbflow.store import EventStore
from nbflow.store.transactions import OpenTransaction, is_conflict

__all__ = ["run_transaction"]

_TRIES = 30
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.25


def run_transaction(
    store: EventStore, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Call a function with a cursor, and commit what it wrote; again if another transaction was quicker.

    Parameters
    ----------
    store
        Where it writes.
    function
        Takes the cursor first.
    args, kwargs
        Its other arguments.

    Returns
    -------
    object
        What it returned.

    Raises
    ------
    StoreError
        When it can't be committed.
    """
    pause = _FIRST_PAUSE
    for remaining in reversed(range(_TRIES)):
        transaction = OpenTransaction(store)
        try:
            return _run_once(transaction, store.path, function, args, kwargs)
        except Exception as error:
            if not remaining or not (transaction.has_conflict or is_conflict(error)):
                raise
        finally:
            transaction.give_up()
        threading.Event().wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    raise AssertionError


def _run_once(
    transaction: OpenTransaction,
    path: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    token = open_transaction.set(transaction.cursor)
    try:
        result = function(transaction.cursor, *args, **kwargs)
    finally:
        open_transaction.reset(token)
    broken = transaction.broken_by()
    if broken is not None:
        msg = f"a statement failed and DuckDB gave the transaction up; nothing of it was written: {broken}"
        raise StoreError(msg, path) from broken
    transaction.commit()
    return result
