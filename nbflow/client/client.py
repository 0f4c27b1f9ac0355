"""The client: an open store with its engine, that starts executions and hands out handles."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbflow.authoring.launcher import StartRequest
from nbflow.authoring.launcher import UpdateRequest as SendUpdate
from nbflow.client.handle import WorkflowHandle, wait_for
from nbflow.client.live_code import LiveCode
from nbflow.client.places import notebook_path
from nbflow.client.transactions import run_transaction
from nbflow.client.updates import UpdateHandle, waits_for_outcome
from nbflow.core.definitions import Definition
from nbflow.engine.blobs import BlobReader
from nbflow.engine.clock import Clock
from nbflow.engine.engine import Engine, EngineOptions
from nbflow.engine.execution import RunState
from nbflow.engine.requests import Start
from nbflow.engine.updates import UpdateRequest
from nbflow.store import EventStore
from nbflow.store.codec import Codec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Client"]

_STARTS_AT_ONCE = 250
_REQUESTS_AHEAD = 12
"""Requests to start that may be under way: enough to fill commits, few enough to keep memory flat."""


class Client:
    """An open store with its engine.

    Parameters
    ----------
    path
        The store's file, or ``":memory:"``; or a store that is open already.
    clock
        Default the real one.
    options
        Limits of the engine.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | EventStore,
        clock: Clock | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        options = options or EngineOptions(run_key=os.environ.get("NBFLOW_RUN_ID") or None)
        self.store = path if isinstance(path, EventStore) else EventStore.open(path, holder=_holder())
        self.codec = Codec(BlobReader(self.store))
        self.engine = Engine(self.store, self.codec, clock, options)
        self.codec.resolve_class = self.engine.definitions.find_class
        self._cursors = threading.local()
        self.live_code = LiveCode(self.engine)
        """Tries new code on open executions."""
        try:
            self.engine.start()
            self.live_code.begin()
        except BaseException:
            self.engine.close()
            raise

    @property
    def path(self) -> str:
        """The store's file."""
        return self.store.path

    @property
    def is_closed(self) -> bool:
        """True after :meth:`close`."""
        return self.engine.is_closed

    def close(self) -> None:
        """Stop the engine and release the store; open executions go on when it is opened again."""
        self.live_code.end()
        self.engine.close()

    def start(self, definition: Definition, requests: Sequence[StartRequest]) -> list[WorkflowHandle]:
        """Start executions of one definition.

        Parameters
        ----------
        definition
            The workflow.
        requests
            Arguments and options of each.

        Returns
        -------
        list of WorkflowHandle
            Once all starts are durable.
        """
        handles: list[WorkflowHandle] = []
        under_way: deque[Future[list[RunState]]] = deque()
        for first in range(0, len(requests), _STARTS_AT_ONCE):
            starts = [self._encoded(*request) for request in requests[first : first + _STARTS_AT_ONCE]]
            under_way.append(self.engine.start_executions(definition, starts))
            if len(under_way) > _REQUESTS_AHEAD:
                handles += map(self._handle, wait_for(under_way.popleft()))
        for answer in under_way:
            handles += map(self._handle, wait_for(answer))
        return handles

    def transact(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a function with a DuckDB cursor as its first argument, in a transaction of its own.

        Parameters
        ----------
        function
            Called again when another transaction was quicker.
        args, kwargs
            Its other arguments.

        Returns
        -------
        object
            What it returned, once what it wrote is durable.

        Raises
        ------
        StoreError
            When it can't be committed.
        """
        return run_transaction(self.store, function, args, kwargs)

    def signal_with_start(
        self, definition: Definition, request: StartRequest, name: str, args: Sequence[Any]
    ) -> WorkflowHandle:
        """Start an execution with a signal, or signal the one that runs; returns its handle once that is durable."""
        start = replace(self._encoded(*request), signal=(name, self.codec.encode(list(args))))
        return self._handle(wait_for(self.engine.submit(self.engine.with_start.signal, definition, start)))

    def update_with_start(self, definition: Definition, request: StartRequest, update: SendUpdate) -> UpdateHandle:
        """Start an execution, or take the one that runs, and update it; returns the update's handle."""
        stage = waits_for_outcome(update.wait_for)
        sent = UpdateRequest(update.name, self.codec.encode(list(update.args)), update.update_id, stage)
        answer = wait_for(self.engine.submit(self.engine.with_start.update, definition, self._encoded(*request), sent))
        return UpdateHandle(self, self._handle(answer.run), answer.update_id, answer)

    def _encoded(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: Any) -> Start:
        return Start(
            self.codec.encode(list(args)),
            self.codec.encode(kwargs) if kwargs else None,
            options,
            self.codec.encode(dict(options.memo)) if options.memo else None,
        )

    def _handle(self, run: RunState) -> WorkflowHandle:
        return WorkflowHandle(self, run.workflow_id, run.run_id, run.workflow_type)

    def get(self, workflow_id: str, run_id: str | None = None) -> WorkflowHandle:
        """Return the handle of an execution.

        Parameters
        ----------
        workflow_id
            Its id.
        run_id
            Which run; default the latest.

        Raises
        ------
        WorkflowNotFoundError
            When there is none.
        """
        run = wait_for(self.engine.submit(self.engine.requests.describe, workflow_id, run_id))
        return WorkflowHandle(self, run.workflow_id, run.run_id, run.workflow_type, is_pinned=run_id is not None)

    def cursor(self) -> Any:
        """Return this thread's DuckDB cursor, with the views on its search path."""
        cursor = getattr(self._cursors, "cursor", None)
        if cursor is None:
            cursor = self._cursors.cursor = self.store.cursor()
        return cursor

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run a query and return its rows as dicts."""
        cursor = self.cursor()
        cursor.execute(query, list(parameters))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def sql(self, query: str, parameters: Mapping[str, Any] | None = None, *, write: bool = False) -> pd.DataFrame:
        """Query the event log.

        Parameters
        ----------
        query
            SQL; the views (``executions``, ``activities``, ``events`` …) are on the search path.
        parameters
            Values of its ``$name`` placeholders.
        write
            True to allow statements that change something.

        Returns
        -------
        pandas.DataFrame
            The answer. Times are UTC.
        """
        return self.store.frame(query, parameters, write=write)


def _holder() -> str:
    return os.environ.get("NBFLOW_NOTEBOOK") or notebook_path() or " ".join(sys.argv[:3]) or "python"
