"""WorkflowHandle: one execution, seen from outside."""

from __future__ import annotations

import asyncio
import sys
import time
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from nbflow.authoring.updates import UnfinishedHandlersWarning
from nbflow.client.operating import OperatorVerbs
from nbflow.client.updates import UpdateHandle, UpdateStage, waits_for_outcome
from nbflow.client.waiting import POLL, wait_for
from nbflow.core.durations import Duration, parse_duration
from nbflow.core.events import (
    HistoryEvent,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionContinuedAsNew,
    WorkflowExecutionFailed,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
)
from nbflow.core.failures import exception_of_failure
from nbflow.core.handlers import unfinished_message
from nbflow.core.payloads import Converter, Payload
from nbflow.engine.execution import ChainOf
from nbflow.engine.updates import UpdateRequest
from nbflow.exceptions import (
    CancelledError,
    FailureError,
    TerminatedError,
    TimeoutError,  # noqa: A004  Temporal's name for it
    WorkflowContinuedAsNewError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)

if TYPE_CHECKING:
    import pandas as pd

    from nbflow.client.replays import Replay
    from nbflow.engine.engine import Engine
    from nbflow.engine.execution import RunState

__all__ = ["WorkflowHandle", "wait_for", "watch_waiting"]

_SAY_AGAIN_AFTER = 0.25
"""Seconds: one interrupt may end many waits, and one line tells of them."""
_said_detached = -_SAY_AGAIN_AFTER


class _Client(Protocol):
    @property
    def engine(self) -> Engine: ...
    @property
    def codec(self) -> Converter: ...
    def rows(self, query: str, parameters: Any = ()) -> list[dict[str, Any]]: ...
    def sql(self, query: str, parameters: Any = None) -> pd.DataFrame: ...


_watch: Callable[[WorkflowHandle], AbstractContextManager[Callable[[], None]]] | None = None


def watch_waiting(watcher: Callable[[WorkflowHandle], AbstractContextManager[Callable[[], None]]] | None) -> None:
    """Let a front end show progress while a caller waits for a result.

    Parameters
    ----------
    watcher
        Makes, of the handle waited for, a context manager that gives a function to be called
        about ten times a second.
    """
    global _watch  # noqa: PLW0603  the one front end of the process
    _watch = watcher


class WorkflowHandle(OperatorVerbs):
    """One workflow execution.

    Parameters
    ----------
    client
        Whose store has it.
    workflow_id, run_id, workflow_type
        Which one. Requests go to the newest of the runs that follow this one; what there is to see is this run's.
    is_pinned
        True to send requests to this very run.
    """

    def __init__(
        self, client: _Client, workflow_id: str, run_id: str, workflow_type: str = "", *, is_pinned: bool = False
    ) -> None:
        self._client = client
        self._is_pinned = is_pinned
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.workflow_type = workflow_type

    @property
    def _engine(self) -> Engine:
        return self._client.engine

    def _encode(self, value: Any) -> Payload:
        return self._client.codec.encode(value)

    def _of(self, run: RunState) -> WorkflowHandle:
        return WorkflowHandle(self._client, run.workflow_id, run.run_id, run.workflow_type)

    def _call(self, request: Callable[..., None], *args: Any) -> Any:
        return wait_for(self._client.engine.submit(request, self.workflow_id, self.newest_run, *args))

    @property
    def newest_run(self) -> str:
        """Where requests go: the newest run of those that continue this one, unless one was asked for."""
        return self.run_id if self._is_pinned else ChainOf(self.run_id)

    def _look(self, request: Callable[..., None], *args: Any) -> Any:
        return wait_for(self._client.engine.submit(request, self.workflow_id, self.run_id, *args))

    def _closing(self, *, follow_runs: bool) -> Future[Any]:
        engine = self._client.engine
        wait_closed = engine.chains.wait_closed if follow_runs else engine.chains.wait_run_closed
        return engine.submit(wait_closed, self.workflow_id, self.run_id)

    # The end.

    def result(self, timeout: Duration | None = None, *, follow_runs: bool = True) -> Any:
        """Wait for the execution and return its result. Ctrl-C stops the waiting, not the workflow.

        Parameters
        ----------
        timeout
            Give up waiting after this long.
        follow_runs
            True to wait for the last of the runs that follow this one (continue-as-new, workflow RetryPolicy),
            False for this run.

        Returns
        -------
        object
            What the workflow returned.

        Raises
        ------
        WorkflowFailedError
            When it did not complete; its cause chain says why.
        WorkflowSuspendedError
            When its code raised, and it waits to be mended; see ``on_error``.
        WorkflowContinuedAsNewError
            When only this run was asked for, and it continued as a new one.
        TimeoutError
            When it did not close in time; it runs on.
        """
        answer = self._closing(follow_runs=follow_runs)
        seconds = None if timeout is None else parse_duration(timeout)
        progress = nullcontext() if _watch is None else _watch(self)
        with progress as tick:
            try:
                event = wait_for(answer, seconds, tick)
            except FutureTimeoutError:
                if answer.done():
                    raise
                answer.cancel()
                msg = f"workflow execution {self.workflow_id!r} did not close within {seconds:g} s; it runs on"
                raise TimeoutError(msg) from None
            except KeyboardInterrupt:
                answer.cancel()
                self._say_detached()
                raise
        return self._outcome(event)

    def _say_detached(self) -> None:
        global _said_detached
        previous, _said_detached = _said_detached, time.monotonic()
        if _said_detached - previous < _SAY_AGAIN_AFTER:
            return
        sys.stderr.write(
            f"nbflow: stopped waiting; workflow {self.workflow_id!r} runs on. "
            f"nbflow.get({self.workflow_id!r}).result() waits again, .cancel() stops it\n"
        )

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        """Wait without blocking the caller's loop, waking often enough for an interrupt to get through."""
        answer = self._closing(follow_runs=True)
        future = asyncio.wrap_future(answer)
        progress = nullcontext() if _watch is None else _watch(self)
        with progress as tick:
            while not future.done():
                try:
                    await asyncio.wait({future}, timeout=POLL)
                except asyncio.CancelledError:
                    self._say_detached()
                    raise
                if tick is not None:
                    tick()
        return self._outcome(future.result())

    def _outcome(self, event: HistoryEvent) -> Any:
        unfinished = self._client.engine.updates.unfinished.pop(self.run_id, None)
        if unfinished:
            message = f"workflow {self.workflow_id!r}: {unfinished_message(unfinished)}"
            warnings.warn(message, UnfinishedHandlersWarning, stacklevel=3)
        codec = self._client.codec
        cause: FailureError
        match event:
            case WorkflowExecutionCompleted():
                return codec.decode(event.result)
            case WorkflowExecutionFailed():
                status, cause = "Failed", exception_of_failure(event.failure, codec)
            case WorkflowExecutionCanceled():
                status, cause = "Canceled", CancelledError("the workflow was cancelled")
            case WorkflowExecutionTerminated():
                status, cause = "Terminated", TerminatedError(event.reason or "the workflow was terminated")
            case WorkflowExecutionTimedOut():
                status, cause = "TimedOut", TimeoutError("the workflow's time was up")
            case WorkflowExecutionContinuedAsNew():
                raise WorkflowContinuedAsNewError(self.workflow_id, self.run_id, event.new_execution_run_id)
            case _:
                raise WorkflowNotFoundError(self.workflow_id, self.run_id)
        raise WorkflowFailedError(self.workflow_id, self.run_id, status, f"{type(cause).__name__}: {cause}") from cause

    # Requests.

    def signal(self, name: str, *args: Any) -> None:
        """Send a signal; returns once it is durable.

        Parameters
        ----------
        name
            Name of the signal.
        *args
            Its arguments.

        Raises
        ------
        WorkflowClosedError
            When the execution has closed.
        """
        self._call(self._client.engine.requests.signal, name, self._client.codec.encode(list(args)))

    def update(self, name: str, *args: Any, id: str | None = None, timeout: Duration | None = None) -> Any:  # noqa: A002
        """Have an update handled, and return what its handler returned, once that is durable.

        Parameters
        ----------
        name
            Name of the update.
        *args
            Its arguments.
        id
            Names it within the run: asking again with the same id gives the same answer, and handles nothing twice.
            Default made up.
        timeout
            Give up waiting after this long.

        Returns
        -------
        object
            What the handler returned.

        Raises
        ------
        WorkflowUpdateFailedError
            When it was rejected, or its handler failed, or the execution closed before it had ended.
        WorkflowClosedError
            When the execution has closed.
        UpdateLimitError
            When too many are under way, or there were too many.
        TimeoutError
            When it was accepted but has not ended in time; it goes on.
        """
        stage: UpdateStage = "completed" if timeout is None else "accepted"
        return self.start_update(name, *args, id=id, wait_for=stage).result(timeout)

    def start_update(
        self,
        name: str,
        *args: Any,
        id: str | None = None,  # noqa: A002
        wait_for: UpdateStage = "accepted",
    ) -> UpdateHandle:
        """Have an update handled, and go on once it is accepted, or has ended.

        Parameters
        ----------
        name
            Name of the update.
        *args
            Its arguments.
        id
            Names it within the run: asking again with the same id attaches to the one that is there.
        wait_for
            ``"accepted"`` or ``"completed"``.

        Returns
        -------
        UpdateHandle
            Its ``.result()`` waits for the end.

        Raises
        ------
        WorkflowUpdateFailedError
            When it was rejected.
        WorkflowClosedError
            When the execution has closed.
        UpdateLimitError
            When too many are under way, or there were too many.
        """
        request = UpdateRequest(name, self._client.codec.encode(list(args)), id, waits_for_outcome(wait_for))
        answer = self._call(self._client.engine.updates.start, request)
        return UpdateHandle(self._client, self, answer.update_id, answer)

    def get_update(self, id: str) -> UpdateHandle:  # noqa: A002
        """Return the handle of an update that was accepted earlier.

        Parameters
        ----------
        id
            Its id.
        """
        return UpdateHandle(self._client, self, id)

    def query(self, name: str, *args: Any, at: int | None = None) -> Any:
        """Ask the workflow's query handler; works on closed executions too.

        Parameters
        ----------
        name
            Name of the query.
        *args
            Its arguments.
        at
            The event at which it is asked: the answer is that of the past. Default now.

        Returns
        -------
        object
            The handler's answer.

        Raises
        ------
        QueryError
            When there is no such handler, or it failed.
        """
        if at is not None:
            return self.replay(at).query(name, *args)
        return self._call(self._client.engine.requests.query, name, args)

    def replay(self, until: int | None = None, code: Any = None) -> Replay:
        """Rebuild the execution, in memory, as it was at an event; see :func:`nbflow.replay`.

        Parameters
        ----------
        until
            The event; default its last.
        code
            A workflow to replay it with; default the version it is pinned to.

        Returns
        -------
        Replay
            With ``locals``, ``lines``, ``pending``, ``commands``, ``result``, ``failure``.

        Raises
        ------
        NondeterminismError
            When the code does not fit the history.
        """
        from nbflow.client.replays import replay_of

        return replay_of(self._client, self.workflow_id, self.run_id, until, code)

    def cancel(self, reason: str = "") -> None:
        """Ask the workflow to cancel: it may clean up. Nothing happens if it has closed."""
        self._call(self._client.engine.requests.cancel, reason)

    def terminate(self, reason: str = "") -> None:
        """End the execution at once; its code has no chance to clean up.

        Raises
        ------
        WorkflowClosedError
            When the execution has closed.
        """
        self._call(self._client.engine.requests.terminate, reason)

    # What there is to see.

    @property
    def status(self) -> str:
        """Running, Paused, Suspended, Completed, Failed, Canceled, Terminated, TimedOut or ContinuedAsNew."""
        status = str(self._look(self._client.engine.requests.describe).status)
        return "Running" if status == "Imported" else status

    @property
    def details(self) -> str:
        """What the workflow said last with ``nbflow.set_details``: Markdown."""
        return str(self.query("__temporal_workflow_metadata")["current_details"])

    def stack_trace(self) -> str:
        """Say where the workflow's code waits, task by task; of a closed one, where it was left waiting."""
        return str(self.query("__stack_trace"))

    def describe(self) -> dict[str, Any]:
        """Return the execution's row of the ``executions`` view."""
        self._look(self._client.engine.requests.describe)
        rows = self._client.rows("SELECT * FROM executions WHERE run_id = ?", [self.run_id])
        if not rows:
            raise WorkflowNotFoundError(self.workflow_id, self.run_id)
        return rows[0]

    def history(self) -> list[HistoryEvent]:
        """Return the events so far, in order."""
        return self._look(self._client.engine.requests.history)  # type: ignore[no-any-return]

    def events(self) -> pd.DataFrame:
        """Return the events so far as a table."""
        self._look(self._client.engine.requests.describe)
        return self._client.sql(
            "SELECT * FROM events WHERE run_id = $run_id ORDER BY event_id", {"run_id": self.run_id}
        )

    def export(self, format: str = "temporal") -> dict[str, Any]:  # noqa: A002  the public name
        """Return the history as JSON for elsewhere.

        Parameters
        ----------
        format
            ``"temporal"``: as ``temporal workflow show --output json`` has it; ``"json"``: as the log has it, with
            nothing left out.

        Returns
        -------
        dict
            Large values are inside it.
        """
        from nbflow.client.interchange import export_handle

        return export_handle(self, self._client, format)  # type: ignore[arg-type]  # the Client itself

    def __repr__(self) -> str:
        return f"<WorkflowHandle {self.workflow_id!r} run {self.run_id}>"
