"""The default client of the process, and the functions of ``nbflow`` that use it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.client.client import Client
from nbflow.client.code_check import CodeCheck
from nbflow.client.handle import WorkflowHandle
from nbflow.client.places import default_store_path
from nbflow.exceptions import EngineClosedError

if TYPE_CHECKING:
    import pandas as pd

    from nbflow.client.replays import Replay

__all__ = [
    "close",
    "code_check",
    "default_client",
    "executions",
    "export_history",
    "failures",
    "get",
    "import_history",
    "open",
    "opened_client",
    "replay",
    "sql",
    "timers",
    "use_client",
]

_default: Client | None = None
_lock = threading.RLock()


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
        if _default is not None:
            if _is_usable(_default) and _same(_default.path, chosen):
                return _default
            _default.close()  # finishes one that was broken off, too
        _default = Client(chosen)
        return _default


def _is_usable(client: Client) -> bool:
    return not (client.is_closed or client.engine.is_broken)


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


def replay(id: Any, until: int | None = None, *, run_id: str | None = None, code: Any = None) -> Replay:  # noqa: A002  the public name
    """Rebuild an execution, in memory, as it was at an event of its past. Nothing of it is touched.

    Parameters
    ----------
    id
        Workflow id, or a handle.
    until
        The event; default its last.
    run_id
        Which run; default the latest.
    code
        A workflow to replay it with; default the version it is pinned to.

    Returns
    -------
    Replay
        With ``locals`` and ``lines`` of everything that waits, ``pending``, ``commands``, ``result``, ``failure``;
        ``.at(event_id)``, ``.step()`` and iteration go to other events, ``.query(name)`` asks the past.

    Raises
    ------
    WorkflowNotFoundError
        When there is no such execution.
    ClientError
        When it has no such event.
    NondeterminismError
        When the code does not fit the history.
    """
    from nbflow.client.replays import replay_of

    if isinstance(id, WorkflowHandle):
        return id.replay(until, code)
    return replay_of(default_client(), id, run_id, until, code)


def code_check(workflow: Any = None) -> CodeCheck | None:
    """Return what came of the last edit of a workflow: which open executions moved to its new code, and which not.

    Parameters
    ----------
    workflow
        A workflow or its name; default the one edited last.

    Returns
    -------
    CodeCheck or None
        None if no edit met open executions. ``.frame()`` gives a DataFrame.
    """
    last = default_client().live_code.last
    if workflow is None:
        return next(reversed(last.values()), None)
    return last.get(getattr(workflow, "name", workflow))


def executions(where: str | None = None) -> pd.DataFrame:
    """List executions, latest first.

    Parameters
    ----------
    where
        An SQL condition over the columns of ``executions``, such as ``"status = 'Running'"``.
    """
    condition = f"WHERE {where}" if where else ""
    return default_client().sql(f"SELECT * FROM executions {condition} ORDER BY start_time DESC")  # noqa: S608  the user's own SQL


def export_history(
    workflow_id: str,
    path: str | os.PathLike[str] | None = None,
    *,
    run_id: str | None = None,
    format: str = "temporal",  # noqa: A002  the public name
) -> dict[str, Any]:
    """Write an execution's history as JSON, for Temporal's tools or for another store.

    Parameters
    ----------
    workflow_id
        Its id.
    path
        A file to write it to as well.
    run_id
        Which run; default the latest.
    format
        ``"temporal"`` or ``"json"``, as in :meth:`WorkflowHandle.export`.

    Returns
    -------
    dict
        The history.
    """
    from nbflow.client.interchange import write_json

    tree = get(workflow_id, run_id).export(format)
    if path is not None:
        write_json(tree, path)
    return tree


def import_history(
    *paths: str | os.PathLike[str], workflow_id: str | None = None, run_id: str | None = None
) -> list[WorkflowHandle]:
    """Take histories from elsewhere into the store, to be asked and replayed; they are never run here.

    Parameters
    ----------
    *paths
        JSON files: of ``temporal workflow show --output json``, of temporalio's ``WorkflowHistory.to_json``, or
        of :func:`export_history`.
    workflow_id, run_id
        Whose history it is, where a file does not say it.

    Returns
    -------
    list of WorkflowHandle
        One a file. What the store has already is not written again.

    Raises
    ------
    HistoryFormatError
        When a file holds something else.
    HistoryConflictError
        When the store has another history under a run id; nothing is imported then.
    """
    from nbflow.client.interchange import import_files

    return import_files(default_client(), paths, workflow_id, run_id)


def timers() -> pd.DataFrame:
    """List pending timers, the next one first."""
    return default_client().sql("SELECT * FROM timers WHERE status = 'Pending' ORDER BY fire_time")


def failures() -> pd.DataFrame:
    """List what failed, latest first."""
    return default_client().sql("SELECT * FROM failures ORDER BY ALL DESC")
