"""The client: opens a store and its engine, starts executions, and hands out handles."""

from __future__ import annotations

import os
import sys
import threading
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.authoring.launcher import StartRequest
from nbflow.core.definitions import Definition
from nbflow.engine.blobs import BlobReader
from nbflow.engine.clock import Clock
from nbflow.engine.engine import Engine, EngineOptions
from nbflow.engine.execution import RunState
from nbflow.engine.requests import Start
from nbflow.exceptions import ConfigurationError, EngineClosedError
from nbflow.handle import WorkflowHandle, wait_for
from nbflow.store import EventStore
from nbflow.store.codec import Codec

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Client",
    "WorkflowHandle",
    "close",
    "default_client",
    "default_store_path",
    "executions",
    "failures",
    "get",
    "open",
    "sql",
    "timers",
    "use_client",
]

_STARTS_PER_COMMIT = 250


class Client:
    """An open store with its engine.

    Parameters
    ----------
    path
        The store's file, or ``":memory:"``.
    clock
        Default the real one.
    options
        Limits of the engine.
    """

    def __init__(
        self, path: str | os.PathLike[str], clock: Clock | None = None, options: EngineOptions | None = None
    ) -> None:
        options = options or EngineOptions(run_key=os.environ.get("NBFLOW_RUN_ID") or None)
        self.store = EventStore.open(path, holder=_holder())
        self.codec = Codec(BlobReader(self.store))
        self.engine = Engine(self.store, self.codec, clock, options)
        self.codec.resolve_class = self.engine.find_class
        self._cursors = threading.local()
        try:
            self.engine.start()
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
        answers = []
        for first in range(0, len(requests), _STARTS_PER_COMMIT):
            starts = [self._encoded(*request) for request in requests[first : first + _STARTS_PER_COMMIT]]
            answers.append(self.engine.start_executions(definition, starts))
        return [self._handle(run) for answer in answers for run in wait_for(answer)]

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
        return self._handle(wait_for(self.engine.submit(self.engine.requests.describe, workflow_id, run_id)))

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


_default: Client | None = None
_lock = threading.RLock()


def _holder() -> str:
    return os.environ.get("NBFLOW_NOTEBOOK") or _notebook_path() or " ".join(sys.argv[:3]) or "python"


def _notebook_path() -> str | None:
    """Name the notebook this kernel belongs to, where the front end tells."""
    session = os.environ.get("JPY_SESSION_NAME", "")
    if session.endswith(".ipynb"):
        return session
    main = sys.modules.get("__main__")
    return getattr(main, "__vsc_ipynb_file__", None)


def default_store_path() -> str:
    """Say where the store is when nobody says.

    Returns
    -------
    str
        NBFLOW_STORE, else ``[tool.nbflow] store`` of the next pyproject.toml upwards, else
        ``<notebook>.nbflow.duckdb`` beside the notebook, else ``nbflow.duckdb`` here.
    """
    if chosen := os.environ.get("NBFLOW_STORE"):
        return chosen
    if configured := _configured_store():
        return configured
    notebook = os.environ.get("NBFLOW_NOTEBOOK") or _notebook_path()
    if notebook:
        return str(Path(notebook).with_suffix(".nbflow.duckdb"))
    return "nbflow.duckdb"


def _configured_store() -> str | None:
    here = Path.cwd()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            try:
                settings = tomllib.loads(file.read_text(encoding="utf-8"))
            except (OSError, tomllib.TOMLDecodeError) as error:
                msg = f"{file} can't be read: {error}"
                raise ConfigurationError(msg) from error
            store = settings.get("tool", {}).get("nbflow", {}).get("store")
            return None if store is None else str(folder / str(store))
    return None


def open(path: str | os.PathLike[str] | None = None) -> Client:  # noqa: A001  the public name
    """Open a store and make it the default; what was open executions in it goes on.

    Parameters
    ----------
    path
        Its file; made if there is none. Default :func:`default_store_path`.

    Returns
    -------
    Client
        Seldom needed: the functions of ``nbflow`` use the default one.

    Raises
    ------
    StoreError
        When it can't be opened; says why and what to do.
    """
    global _default  # noqa: PLW0603  the one default of the process
    chosen = os.fspath(path) if path is not None else default_store_path()
    with _lock:
        if _default is not None and not _default.is_closed:
            if _same(_default.path, chosen):
                return _default
            _default.close()
        _default = Client(chosen)
        return _default


def _same(one: str, other: str) -> bool:
    return ":memory:" not in (one, other) and Path(one).absolute() == Path(other).absolute()


def close() -> None:
    """Close the default store; open executions go on when it is opened again."""
    with _lock:
        if _default is not None:
            _default.close()


def use_client(client: Client | None) -> Client | None:
    """Make a client the default, and return the one before. For tests."""
    global _default
    with _lock:
        previous, _default = _default, client
        return previous


def default_client() -> Client:
    """Return the default client, opening the default store if none is open."""
    with _lock:
        if _default is None or _default.is_closed:
            return open()
        return _default


def opened_client() -> Client:
    """Return the default client.

    Raises
    ------
    EngineClosedError
        When none is open.
    """
    if _default is None or _default.is_closed:
        msg = "no store is open; nbflow.open(...) opens one"
        raise EngineClosedError(msg)
    return _default


def get(workflow_id: str, run_id: str | None = None) -> WorkflowHandle:
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
    return default_client().get(workflow_id, run_id)


def sql(query: str, **parameters: Any) -> pd.DataFrame:
    """Query the event log with SQL.

    Parameters
    ----------
    query
        The views ``executions``, ``activities``, ``attempts``, ``timers``, ``events`` … are on the search path.
    **parameters
        Values of its ``$name`` placeholders.

    Returns
    -------
    pandas.DataFrame
        The answer. Times are UTC.
    """
    return default_client().sql(query, parameters)


def executions(where: str | None = None) -> pd.DataFrame:
    """List executions, latest first.

    Parameters
    ----------
    where
        An SQL condition over the columns of ``executions``, such as ``"status = 'Running'"``.
    """
    condition = f"WHERE {where}" if where else ""
    return default_client().sql(f"SELECT * FROM executions {condition} ORDER BY start_time DESC")  # noqa: S608  the user's own SQL


def timers() -> pd.DataFrame:
    """List pending timers, the next one first."""
    return default_client().sql("SELECT * FROM timers WHERE status = 'Pending' ORDER BY fire_time")


def failures() -> pd.DataFrame:
    """List what failed, latest first."""
    return default_client().sql("SELECT * FROM failures ORDER BY ALL DESC")
