"""A handle of an activity that is completed from outside its function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbflow.client.default import default_client
from nbflow.client.handle import wait_for
from nbflow.core.failures import failure_of_exception
from nbflow.core.task_tokens import TaskToken
from nbflow.engine.completions import Target
from nbflow.exceptions import ActivityCancelled, ApplicationError, ConfigurationError

if TYPE_CHECKING:
    from nbflow.client.client import Client

__all__ = ["AsyncActivityHandle", "get_activity"]


class AsyncActivityHandle:
    """An activity whose function called ``nbflow.complete_later()``: tell its outcome here.

    Made by :func:`get_activity`. Every method returns once what it did is durable, and raises

    * ActivityNotFoundError when the activity, or the attempt that the token names, is over;
    * WorkflowClosedError when its execution is.

    Parameters
    ----------
    client
        Whose store has it.
    target
        Which one.
    """

    def __init__(self, client: Client, target: Target) -> None:
        self._client = client
        self._target = target

    def complete(self, value: Any = None) -> None:
        """Complete the activity.

        Parameters
        ----------
        value
            Its result.
        """
        self._call(self._client.engine.completions.complete, self._client.codec.encode(value))

    def fail(self, error: BaseException | str) -> None:
        """Let this attempt fail; another one follows as the activity's RetryPolicy has it.

        Parameters
        ----------
        error
            Why: an exception, or its message.
        """
        exception = ApplicationError(error) if isinstance(error, str) else error
        failure = failure_of_exception(exception, self._client.codec)
        self._call(self._client.engine.completions.fail, failure)

    def heartbeat(self, details: Any = None) -> None:
        """Say that the work goes on.

        Parameters
        ----------
        details
            Kept for the next attempt as ``activity_info().heartbeat_details``.

        Raises
        ------
        ActivityCancelled
            When cancellation was requested: stop, and call :meth:`report_cancellation`. It is no ``Exception``.
        """
        payload = None if details is None else self._client.codec.encode(details)
        if self._call(self._client.engine.completions.heartbeat, payload):
            msg = f"cancellation of {self._target} was requested; report_cancellation() tells that it has stopped"
            raise ActivityCancelled(msg)

    def report_cancellation(self) -> None:
        """Say that the work has stopped because cancellation was requested."""
        self._call(self._client.engine.completions.report_cancellation)

    def _call(self, request: Callable[..., None], *args: Any) -> Any:
        return wait_for(self._client.engine.submit(request, self._target, *args))

    def __repr__(self) -> str:
        return f"<{self._target}>"


def get_activity(
    task_token: str | None = None,
    *,
    workflow_id: str | None = None,
    run_id: str | None = None,
    activity_id: str | None = None,
    client: Client | None = None,
) -> AsyncActivityHandle:
    """Return the handle of an activity that is to be completed from outside.

    Parameters
    ----------
    task_token
        ``activity_info().task_token`` of the attempt.
    workflow_id, run_id, activity_id
        Instead of the token: which execution (its latest run unless said), and ``activity_info().activity_id``.
    client
        Whose store has it; default the default store.

    Raises
    ------
    ConfigurationError
        When neither says which activity.
    ClientError
        When the text is no task token.
    """
    if task_token is not None and workflow_id is None and activity_id is None:
        target = Target(token=TaskToken.of_text(task_token))
    elif task_token is None and workflow_id is not None and activity_id is not None:
        target = Target(workflow_id=workflow_id, run_id=run_id, activity_id=activity_id)
    else:
        msg = "get_activity needs a task token, or both workflow_id= and activity_id="
        raise ConfigurationError(msg)
    return AsyncActivityHandle(client or default_client(), target)
