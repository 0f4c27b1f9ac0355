"""What operators do to an execution through its handle: pause it, mend it, run it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nbflow.engine.resetting import ForkRequest, ResetRequest

if TYPE_CHECKING:
    from nbflow.authoring.workflow import Workflow
    from nbflow.client.handle import WorkflowHandle
    from nbflow.core.payloads import Payload
    from nbflow.engine.engine import Engine
    from nbflow.engine.execution import RunState
    from nbflow.engine.operators import Operators

__all__ = ["OperatorVerbs", "Point"]

Point: TypeAlias = int | str
"""An event id, ``first``, ``last`` or ``last_failure``."""


class OperatorVerbs:
    """The operators' half of :class:`~nbflow.client.handle.WorkflowHandle`."""

    workflow_id: str
    run_id: str
    if TYPE_CHECKING:

        @property
        def _engine(self) -> Engine: ...
        def _call(self, request: Callable[..., None], *args: Any) -> Any: ...
        def _look(self, request: Callable[..., None], *args: Any) -> Any: ...
        def _encode(self, value: Any) -> Payload: ...
        def _of(self, run: RunState) -> WorkflowHandle: ...

    @property
    def _operators(self) -> Operators:
        return self._engine.operators

    # Pauses.

    def pause(self, reason: str = "") -> None:
        """Let the execution rest: what happens is recorded, its code does not run, and no attempt begins.

        Attempts under way end, timers fire and signals come in; the code gets them all when it is unpaused.

        Parameters
        ----------
        reason
            For the history.

        Raises
        ------
        WorkflowClosedError
            When the execution has closed.
        """
        self._call(self._operators.pause, reason)

    def unpause(self, reason: str = "") -> None:
        """Let a paused execution go on; nothing happens if it is not paused.

        Parameters
        ----------
        reason
            For the history.

        Raises
        ------
        WorkflowClosedError
            When the execution has closed.
        ClientError
            When it is suspended: :meth:`resume` it.
        """
        self._call(self._operators.unpause, reason)

    def resume(self) -> None:
        """Let a suspended execution try again, with today's code; nothing happens if it is not suspended.

        Raises
        ------
        WorkflowClosedError
            When the execution has closed.
        NondeterminismError
            When today's code does not fit its history.
        """
        self._call(self._operators.resume)

    def fire(self, timer_id: str | None = None) -> None:
        """Fire a pending timer before its time: the one named, or the next one due.

        Raises
        ------
        ClientError
            When there is none.
        """
        self._call(self._operators.fire, timer_id)

    # Running again.

    def reset(
        self, event_id: Point = "last", *, reason: str = "",
        reapply: Literal["signals", "none"] = "signals",
    ) -> WorkflowHandle:  # fmt: skip
        """Run this run again from one of its events, with today's code.

        The new run has the same workflow id and shares the events up to this one; the old run is terminated if it
        is open, and stays as it is if it has closed. Activities under way at that point are scheduled anew, and
        random numbers are others from there on.

        Parameters
        ----------
        event_id
            The last event that both share; ``"first"`` to begin anew; ``"last"`` (default) for the last one that the
            code reacted to; ``"last_failure"`` for the one before the last activity failed.
        reason
            For the history.
        reapply
            Whether signals and updates that came later are sent to the new run.

        Returns
        -------
        WorkflowHandle
            Of the new run.

        Raises
        ------
        NondeterminismError
            When today's code does not fit these events; nothing has changed then.
        ClientError
            When there is no such event, or a child is under way there.
        """
        return self._of(self._look(self._engine.resetting.reset, ResetRequest(event_id, reason, reapply)))

    def rewind(self, reason: str = "") -> WorkflowHandle:
        """Run a failed or suspended execution again from what failed, with today's code.

        The activities it failed for, and those that failed beside them, run again; whatever else was done is kept,
        as long as the code asks for it as before.

        Parameters
        ----------
        reason
            For the history.

        Returns
        -------
        WorkflowHandle
            Of the new run, which has the same workflow id.

        Raises
        ------
        NondeterminismError
            When today's code does not fit what happened before; nothing has changed then.
        ClientError
            When nothing failed.
        """
        return self._of(self._call(self._engine.resetting.rewind, reason))

    def fork(
        self, at: Point = "last", *, id: str | None = None,  # noqa: A002
        code: Workflow[Any, Any] | None = None, results: Mapping[int, Any] | None = None,
    ) -> WorkflowHandle:  # fmt: skip
        """Start another execution that shares the first events of this run, and leave this one alone.

        Parameters
        ----------
        at
            The last event that both share, as for :meth:`reset`.
        id
            Workflow id of the new execution; default made up.
        code
            The workflow it runs; default today's code of this one.
        results
            Other results of activities, by scheduled_event_id.

        Returns
        -------
        WorkflowHandle
            Of the new execution.

        Raises
        ------
        NondeterminismError
            When the code does not fit these events.
        WorkflowAlreadyStartedError
            When an open execution has the id.
        """
        encoded = {event_id: self._encode(value) for event_id, value in (results or {}).items()}
        definition = None if code is None else code.definition()
        return self._of(self._look(self._engine.resetting.fork, ForkRequest(at, id, definition, encoded)))

    # Activities.

    def pause_activity(self, activity: int | str, reason: str = "") -> None:
        """Begin no further attempt of a pending activity; the attempt under way ends, and if it fails, none follows.

        Parameters
        ----------
        activity
            Its scheduled_event_id, its activity id, or its type (for all pending ones of it).
        reason
            To be kept with it.

        Raises
        ------
        ClientError
            When there is no such pending activity.
        """
        self._call(self._operators.pause_activity, activity, reason)

    def unpause_activity(self, activity: int | str, reason: str = "") -> None:
        """Let a paused activity go on.

        Parameters
        ----------
        activity
            Its scheduled_event_id, its activity id, or its type.
        reason
            To be kept with it.

        Raises
        ------
        ClientError
            When there is no such pending activity.
        """
        self._call(self._operators.unpause_activity, activity, reason)

    def retry_now(self, activity: int | str | None = None) -> None:
        """Begin the next attempt of an activity that failed and waits for its backoff to end.

        Parameters
        ----------
        activity
            Its scheduled_event_id, its activity id, or its type; default all that wait.

        Raises
        ------
        ClientError
            When none waits for its next attempt.
        """
        self._call(self._operators.retry_now, activity)
