"""UpdateHandle: one update of an execution, seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from nbflow.client.waiting import POLL, wait_for
from nbflow.core.durations import Duration, parse_duration
from nbflow.core.failures import exception_of_failure
from nbflow.core.payloads import Converter
from nbflow.exceptions import ConfigurationError, TimeoutError, WorkflowUpdateFailedError  # noqa: A004  Temporal's name

if TYPE_CHECKING:
    from nbflow.client.handle import WorkflowHandle
    from nbflow.engine.engine import Engine
    from nbflow.engine.updates import UpdateAnswer

__all__ = ["UpdateHandle", "UpdateStage", "waits_for_outcome"]

UpdateStage: TypeAlias = Literal["accepted", "completed"]


class _Client(Protocol):
    @property
    def engine(self) -> Engine: ...
    @property
    def codec(self) -> Converter: ...


class UpdateHandle:
    """One update that an execution accepted.

    Parameters
    ----------
    client
        Whose store has it.
    workflow
        The execution.
    id
        Its id, unique within the run.
    answer
        What is known of the update, if anything is.
    """

    def __init__(
        self,
        client: _Client,
        workflow: WorkflowHandle,
        id: str,  # noqa: A002
        answer: UpdateAnswer | None = None,
    ) -> None:
        self._client = client
        self._answer = answer
        self.workflow = workflow
        self.id = id

    @property
    def name(self) -> str:
        """Name of the update; empty if only its id is known."""
        return self._answer.update_name if self._answer else ""

    def result(self, timeout: Duration | None = None) -> Any:
        """Wait for the update and return what its handler returned. Ctrl-C stops the waiting, not the update.

        Parameters
        ----------
        timeout
            Give up waiting after this long.

        Returns
        -------
        object
            What the handler returned.

        Raises
        ------
        WorkflowUpdateFailedError
            When the handler failed, or the execution closed before it had ended.
        TimeoutError
            When it has not ended in time; it goes on.
        """
        if self._answer is None or self._answer.outcome is None:
            self._answer = self._wait(timeout)
        outcome, codec = self._answer.outcome, self._client.codec
        assert outcome is not None
        if outcome.failure is None:
            return None if outcome.result is None else codec.decode(outcome.result)
        which = self.workflow.workflow_id, self.name, self.id
        raise WorkflowUpdateFailedError(*which, outcome.failure.headline()) from exception_of_failure(
            outcome.failure, codec
        )

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait without blocking the caller's loop, and return what the handler returned."""
        return self._await().__await__()

    async def _await(self) -> Any:
        if self._answer is None or self._answer.outcome is None:
            future = asyncio.wrap_future(self._ask())
            while not future.done():  # waking often enough for an interrupt to get through
                await asyncio.wait({future}, timeout=POLL)
            self._answer = future.result()
        return self.result()

    def _ask(self) -> Future[Any]:
        engine = self._client.engine
        run_id = self._answer.run.run_id if self._answer else self.workflow.newest_run
        return engine.submit(engine.updates.result, self.workflow.workflow_id, run_id, self.id)

    def _wait(self, timeout: Duration | None) -> UpdateAnswer:
        answer = self._ask()
        seconds = None if timeout is None else parse_duration(timeout)
        try:
            return wait_for(answer, seconds)  # type: ignore[no-any-return]
        except FutureTimeoutError:
            if answer.done():
                raise
            answer.cancel()
            msg = f"update {self.name!r} (id {self.id}) did not end within {seconds:g} s; it goes on"
            raise TimeoutError(msg) from None
        except KeyboardInterrupt:
            answer.cancel()
            raise

    def __repr__(self) -> str:
        return f"<UpdateHandle {self.name!r} id {self.id} of workflow {self.workflow.workflow_id!r}>"


def waits_for_outcome(stage: str) -> bool:
    """Tell the two stages apart.

    Raises
    ------
    ConfigurationError
        When it is neither.
    """
    if stage not in ("accepted", "completed"):
        msg = f"wait_for must be 'accepted' or 'completed', not {stage!r}"
        raise ConfigurationError(msg)
    return stage == "completed"
