"""What operators do to an execution through its handle: pause it, mend it, run it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.engine.engine import Engine
    from nbflow.engine.operators import Operators

__all__ = ["OperatorVerbs"]


class OperatorVerbs:
    """The operators' half of :class:`~nbflow.client.handle.WorkflowHandle`."""

    workflow_id: str
    run_id: str
    if TYPE_CHECKING:

        @property
        def _engine(self) -> Engine: ...
        def _call(self, request: Callable[..., None], *args: Any) -> Any: ...

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
