"""Batches: the same done to every execution that an SQL condition chooses, in a few commits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal

from nbflow.client.client import Client
from nbflow.client.default import default_client
from nbflow.client.operating import Point
from nbflow.client.waiting import wait_for
from nbflow.engine.execution import RunState
from nbflow.engine.resetting import ResetRequest
from nbflow.exceptions import EngineClosedError, NbflowError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Batch", "batch"]

_AHEAD = 1000
"""Requests under way at once: enough to fill commits, few enough to keep memory flat."""

_AT_ONCE = 250
"""Executions that one query reads of."""

_Row = tuple[str, str, str, str | None, str | None]
_COLUMNS = ["workflow_id", "run_id", "outcome", "error", "new_run_id"]


class Batch:
    """Executions chosen by a condition, at the moment when the batch was made.

    Every verb does its work for all of them, each durably on its own; what fails for one stops no other. It returns a
    table with a row each: ``workflow_id``, ``run_id``, ``outcome`` (``done``, ``unchanged`` where there was nothing
    to do, ``failed``), ``error``, and, where the verb makes one, ``new_run_id``.

    Parameters
    ----------
    client
        Whose store has them.
    runs
        Their workflow ids and run ids.
    """

    def __init__(self, client: Client, runs: list[tuple[str, str]]) -> None:
        self._client = client
        self._runs = runs

    def __len__(self) -> int:
        """How many executions it is about."""
        return len(self._runs)

    def __repr__(self) -> str:
        return f"<Batch of {len(self):,} workflow execution{'' if len(self) == 1 else 's'}>"

    @property
    def executions(self) -> pd.DataFrame:
        """Their rows of the ``executions`` view, latest first."""
        query = "SELECT * FROM executions WHERE run_id IN (SELECT unnest($runs)) ORDER BY start_time DESC"
        return self._client.sql(query, {"runs": [run_id for _, run_id in self._runs]})

    # Verbs.

    def cancel(self, reason: str = "") -> pd.DataFrame:
        """Ask each to cancel; see :meth:`WorkflowHandle.cancel`."""
        return self._all(self._client.engine.requests.cancel, reason)

    def terminate(self, reason: str = "") -> pd.DataFrame:
        """End each at once; see :meth:`WorkflowHandle.terminate`."""
        return self._all(self._client.engine.requests.terminate, reason)

    def signal(self, name: str, *args: Any) -> pd.DataFrame:
        """Send each a signal; see :meth:`WorkflowHandle.signal`."""
        return self._all(self._client.engine.requests.signal, name, self._client.codec.encode(list(args)))

    def pause(self, reason: str = "") -> pd.DataFrame:
        """Pause each; see :meth:`WorkflowHandle.pause`."""
        return self._all(self._client.engine.operators.pause, reason)

    def unpause(self, reason: str = "") -> pd.DataFrame:
        """Let each go on that is paused; see :meth:`WorkflowHandle.unpause`."""
        return self._all(self._client.engine.operators.unpause, reason)

    def resume(self) -> pd.DataFrame:
        """Let each try again that is suspended; see :meth:`WorkflowHandle.resume`."""
        return self._all(self._client.engine.operators.resume)

    def retry_now(self, activity: str | None = None) -> pd.DataFrame:
        """Begin the next attempt of waiting activities in each; see :meth:`WorkflowHandle.retry_now`."""
        return self._all(self._client.engine.operators.retry_now, activity)

    def reset(
        self, event_id: Point = "last", *, reason: str = "",
        reapply: Literal["signals", "none"] = "signals",
    ) -> pd.DataFrame:  # fmt: skip
        """Run each again from one of its events; see :meth:`WorkflowHandle.reset`."""
        return self._all(self._client.engine.resetting.reset, ResetRequest(event_id, reason, reapply))

    def rewind(self, reason: str = "") -> pd.DataFrame:
        """Run each again from what failed; see :meth:`WorkflowHandle.rewind`."""
        return self._all(self._client.engine.resetting.rewind, reason)

    def _all(self, request: Callable[..., None], *args: Any) -> pd.DataFrame:
        import pandas as pd

        rows: list[_Row] = []
        under_way: deque[tuple[str, str, Future[Any]]] = deque()
        engine = self._client.engine
        for first in range(0, len(self._runs), _AT_ONCE):
            runs = self._runs[first : first + _AT_ONCE]
            engine.submit(engine.operators.know, [run_id for _, run_id in runs])
            under_way.extend((*run, engine.submit(request, *run, *args)) for run in runs)
            while len(under_way) > _AHEAD:
                rows.append(_row(*under_way.popleft()))
        rows += [_row(*one) for one in under_way]
        table = pd.DataFrame(rows, columns=_COLUMNS)
        return table if table["new_run_id"].notna().any() else table.drop(columns="new_run_id")


def _row(workflow_id: str, run_id: str, answer: Future[Any]) -> _Row:
    try:
        found = wait_for(answer)
    except EngineClosedError:  # nothing else will be done either
        raise
    except NbflowError as error:
        return workflow_id, run_id, "failed", f"{type(error).__name__}: {error}", None
    new = found.run_id if isinstance(found, RunState) else None
    return workflow_id, run_id, "unchanged" if found is False else "done", None, new


def batch(where: str, **parameters: Any) -> Batch:
    """Choose executions, to do the same to all of them.

    Parameters
    ----------
    where
        An SQL condition over the columns of ``executions``, such as
        ``"status = 'Running' AND workflow_type = 'report'"``.
    **parameters
        Values of its ``$name`` placeholders.

    Returns
    -------
    Batch
        ``len()`` says how many they are, and ``.executions`` which, before anything is done.

    Raises
    ------
    SqlError
        When the condition is none.
    """
    return choose(default_client(), where, parameters)


def choose(client: Client, where: str, parameters: dict[str, Any] | None = None) -> Batch:
    """Choose executions of a client; see :func:`batch`."""
    query = f"SELECT workflow_id, run_id FROM executions WHERE {where} ORDER BY start_time"  # noqa: S608  the user's own SQL
    rows = client.store.sql(query, parameters).fetchall()
    return Batch(client, [(str(workflow_id), str(run_id)) for workflow_id, run_id in rows])
