"""What the journal asks of the store, with every error a StoreError; and the moments when the log is tidied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbflow.engine.journal import Journal
from nbflow.exceptions import NbflowError, StoreError
from nbflow.store import Batch, EventStore

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Commits", "Tidying"]

_QUIET_SECONDS = 1.0


class Commits:
    """Commits to a store, for one thread at a time.

    Parameters
    ----------
    store
        The event log.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def commit(self, batch: Batch) -> None:
        """Make a batch durable.

        Raises
        ------
        StoreError
            When it can't be written, for whatever reason.
        """
        self._try("take down what happened", self._store.commit, batch)

    def commit_transaction(self, cursor: DuckDBPyConnection, batch: Batch) -> None:
        """Make a batch durable together with what user code wrote.

        Raises
        ------
        StoreError
            When it can't be; nothing of either is in the store then.
        """
        self._try("commit a transaction", self._store.commit_transaction, cursor, batch)

    def _try(self, what: str, function: Callable[..., Any], *args: Any) -> None:
        try:
            function(*args)
        except NbflowError:
            raise
        except Exception as error:
            msg = f"the store {self._store.path} could not {what}: {type(error).__name__}: {error}"
            raise StoreError(msg, self._store.path) from error

    @property
    def may_be_tidied(self) -> bool:
        """True if so much was committed that working it into the file is worth it."""
        return self._store.has_large_log

    def tidy(self) -> None:
        """Work the log into the file."""
        self._store.checkpoint_if_large()


class Tidying:
    """Has the log worked into the file once the engine has been quiet for a second.

    Parameters
    ----------
    loop
        The engine's loop.
    journal
        Does it, between commits.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, journal: Journal) -> None:
        self._loop = loop
        self._journal = journal
        self._seen = 0
        self._handle: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Look in a second whether nothing was committed meanwhile; called at every turn."""
        if self._handle is None:
            self._handle = self._loop.call_later(_QUIET_SECONDS, self._look)

    def _look(self) -> None:
        self._handle = None
        if self._journal.sequence == self._seen:
            self._journal.tidy()
        else:
            self._seen = self._journal.sequence
            self.watch()
