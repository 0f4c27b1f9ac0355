"""Every error nbflow raises, in one tree.

* NbflowError
    * WorkflowFailedError             an execution did not complete; its cause chain says why
    * WorkflowUpdateFailedError       an update was rejected or failed; its cause chain says why
    * WorkflowContinuedAsNewError     a run went on as a new one, and only that run's result was asked for
    * FailureError                    a failure that history records
        * ApplicationError            user code failed (``type`` is the exception's class name)
        * ActivityError               an activity failed for good; ``cause`` says why
        * ChildWorkflowError          a child workflow failed; ``cause`` says why
        * TimeoutError                a deadline passed (also a built-in TimeoutError)
        * CancelledError              the work was cancelled
        * TerminatedError             the execution was terminated
    * WorkflowError                   workflow code broke a rule
        * NondeterminismError         code and history disagree, or the code did real IO
        * ReadOnlyContextError        a query handler or a validator tried to change something
        * DeadlockError               workflow code did not yield for too long
        * MapError                    more calls of a ``map`` failed than were tolerated
        * NotInWorkflowError          a workflow-only function was called elsewhere
        * NotInActivityError          an activity-only function was called elsewhere
        * DefinitionError             a function can't be a workflow or an activity
            * MissingDefinitionError  a definition, or a part of it, is not in this process yet
    * ClientError                     a request could not be served
        * WorkflowNotFoundError       no such execution
        * WorkflowAlreadyStartedError an open execution has this id
        * ActivityNotFoundError       no such activity, or its attempt is over
        * WorkflowClosedError         the execution can't take requests any more
        * WorkflowSuspendedError      its code raised, and it waits to be resumed
        * ScheduleNotFoundError       no such schedule
        * QueryError                  a query handler is missing or failed
        * UnknownUpdateError          an update handler is missing
        * UpdateLimitError            too many updates, at once or in all
        * EngineClosedError           the engine was closed or has stopped
        * SqlError                    the SQL does not parse, fails, or would change something
        * HistoryConflictError        the store has another history under the run id that is imported
    * HistoryFormatError              a file holds no history, or a history has no such form
    * StoreError                      the event log can't be used
        * StoreLockedError            another process holds it
        * StoreCorruptedError         the file is damaged
        * ForeignStoreError           the file is something else
        * StoreVersionError           a newer nbflow wrote it
        * StoreNotWritableError       read-only folder or file
        * StoreFullError              no space left
        * HistoryCorruptedError       a history contradicts the event rules
    * PayloadError                    a value can't be encoded or decoded
        * UntrustedPayloadError       a pickle that we did not sign
    * ConfigurationError              an option has no meaning or an impossible value
    * ReplayMismatchError             a replay check found executions that today's code does not fit
* Control flow, derived from BaseException so that ``except Exception`` can't eat it
    * WorkflowEvicted                 the execution leaves memory
    * ContinueAsNew                   the workflow goes on as a new run
    * ActivityCancelled               raised in an activity whose cancellation was requested
    * CompleteLater                   the activity will be completed from outside
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

__all__ = [
    "ActivityCancelled", "ActivityError", "ActivityNotFoundError", "ApplicationError", "CancelledError",
    "ChildWorkflowError", "ClientError", "CompleteLater", "ConfigurationError", "ContinueAsNew", "DeadlockError",
    "DefinitionError", "EngineClosedError", "FailureError", "ForeignStoreError", "HistoryConflictError",
    "HistoryCorruptedError", "HistoryFormatError", "MapError", "MissingDefinitionError", "NbflowError",
    "NondeterminismError", "NotInActivityError", "NotInWorkflowError", "PayloadError", "QueryError",
    "ReadOnlyContextError", "ReplayMismatchError", "ScheduleNotFoundError", "SqlError", "StoreCorruptedError",
    "StoreError", "StoreFullError", "StoreLockedError", "StoreNotWritableError", "StoreVersionError",
    "TerminatedError", "TimeoutError", "UnknownUpdateError", "UntrustedPayloadError", "UpdateLimitError",
    "WorkflowAlreadyStartedError", "WorkflowClosedError", "WorkflowContinuedAsNewError", "WorkflowError",
    "WorkflowEvicted", "WorkflowFailedError", "WorkflowNotFoundError", "WorkflowSuspendedError",
    "WorkflowUpdateFailedError",
]  # fmt: skip


class NbflowError(Exception):
    """Base of every error nbflow raises."""

    @property
    def cause(self) -> BaseException | None:
        """The error behind this one, if any."""
        return self.__cause__

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else str(self.__doc__).partition("\n")[0]

    def _render_traceback_(self) -> list[str]:
        """Show one short line in a notebook instead of nbflow's own frames."""
        return [f"{type(self).__name__}: {self}"]


class FailureError(NbflowError):
    """Base of the failures that history records.

    Parameters
    ----------
    message
        What happened.
    """

    def __init__(self, message: str, *more: Any) -> None:
        super().__init__(message, *more)
        self.message = message
        self.stack_trace: str = ""


class ApplicationError(FailureError):
    """User code failed, or raised this to choose how its failure is treated.

    Parameters
    ----------
    message
        What happened.
    *details
        Values to record with the failure; they must be encodable.
    type
        Name that ``RetryPolicy.non_retryable_error_types`` is matched against, exactly; or a class, for its name.
    non_retryable
        True to fail the activity at once, whatever its RetryPolicy says.
    next_retry_delay
        Duration until the next attempt, in place of the RetryPolicy's interval.
    """

    def __init__(
        self,
        message: str,
        *details: Any,
        type: str | builtins.type | None = None,  # noqa: A002  Temporal's name for it
        non_retryable: bool = False,
        next_retry_delay: float | str | timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.details = details
        self.type = type.__name__ if isinstance(type, builtins.type) else type
        self.non_retryable = non_retryable
        self.next_retry_delay = next_retry_delay
        self.exceptions: tuple[FailureError, ...] = ()
        """The failures that it groups, if it was an ExceptionGroup."""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.type else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Without __init__, which a user's subclass may have changed.
        return (self.__class__.__new__, (self.__class__, *self.args), self.__dict__)


class ActivityError(FailureError):
    """An activity failed for good; ``__cause__`` says why.

    Parameters
    ----------
    message
        What happened.
    activity_type, activity_id
        Which activity.
    scheduled_event_id
        Its ActivityTaskScheduled event.
    retry_state
        Why no further attempt was made, e.g. ``"MAXIMUM_ATTEMPTS_REACHED"``.
    """

    def __init__(
        self,
        message: str,
        activity_type: str = "",
        activity_id: str = "",
        scheduled_event_id: int = 0,
        retry_state: str = "",
    ) -> None:
        super().__init__(message, activity_type, activity_id, scheduled_event_id, retry_state)
        self.activity_type = activity_type
        self.activity_id = activity_id
        self.scheduled_event_id = scheduled_event_id
        self.retry_state = retry_state


class ChildWorkflowError(FailureError):
    """A child workflow failed; ``__cause__`` says why.

    Parameters
    ----------
    message
        What happened.
    workflow_id, run_id, workflow_type
        Which child; of several runs the last.
    retry_state
        Why there was no further run, e.g. ``"RETRY_POLICY_NOT_SET"``.
    """

    def __init__(
        self, message: str, workflow_id: str = "", run_id: str = "", workflow_type: str = "", retry_state: str = ""
    ) -> None:
        super().__init__(message, workflow_id, run_id, workflow_type, retry_state)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.workflow_type = workflow_type
        self.retry_state = retry_state


class TimeoutError(FailureError, builtins.TimeoutError):  # noqa: A001  Temporal's name for it
    """A deadline passed.

    Parameters
    ----------
    message
        What happened.
    timeout_type
        ``START_TO_CLOSE``, ``SCHEDULE_TO_START``, ``SCHEDULE_TO_CLOSE`` or ``HEARTBEAT``;
        empty when the execution itself timed out.
    last_heartbeat_details
        What the activity last reported, if it did.
    """

    def __init__(self, message: str, timeout_type: str = "", last_heartbeat_details: Any = None) -> None:
        super().__init__(message)  # the built-in one would read more arguments as an errno
        self.timeout_type = timeout_type
        self.last_heartbeat_details = last_heartbeat_details

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.message, self.timeout_type, self.last_heartbeat_details))


class CancelledError(FailureError):
    """The work was cancelled (inside workflow code this is ``asyncio.CancelledError``)."""


class TerminatedError(FailureError):
    """The execution was terminated; its code had no chance to clean up."""


class WorkflowFailedError(NbflowError):
    """An execution did not complete; ``__cause__`` says why.

    Parameters
    ----------
    workflow_id, run_id
        Which execution.
    status
        How it closed: Failed, TimedOut, Canceled or Terminated.
    reason
        The failure in one line.
    """

    def __init__(self, workflow_id: str, run_id: str = "", status: str = "Failed", reason: str = "") -> None:
        super().__init__(workflow_id, run_id, status, reason)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        tail = f": {self.reason}" if self.reason else ""
        return f"workflow execution {self.workflow_id!r} (run {self.run_id}) closed as {self.status}{tail}"

    def _render_traceback_(self) -> list[str]:
        return _with_causes(self)


class WorkflowUpdateFailedError(NbflowError):
    """An update was rejected, or its handler failed; ``__cause__`` says why.

    Parameters
    ----------
    workflow_id
        Which execution.
    update_name, update_id
        Which update.
    reason
        The failure in one line.
    is_rejected
        True if the execution did not accept the update: then its history knows nothing of it.
    """

    def __init__(
        self,
        workflow_id: str,
        update_name: str = "",
        update_id: str = "",
        reason: str = "",
        is_rejected: bool = False,
    ) -> None:
        super().__init__(workflow_id, update_name, update_id, reason, is_rejected)
        self.workflow_id = workflow_id
        self.update_name = update_name
        self.update_id = update_id
        self.reason = reason
        self.is_rejected = is_rejected

    def __str__(self) -> str:
        which = f"update {self.update_name!r} (id {self.update_id}) of workflow execution {self.workflow_id!r}"
        return f"{which} {'was rejected' if self.is_rejected else 'failed'}: {self.reason}"

    def _render_traceback_(self) -> list[str]:
        return _with_causes(self)


def _with_causes(error: NbflowError) -> list[str]:
    lines = [f"{type(error).__name__}: {error}"]
    link = error.__cause__
    while link is not None:
        lines.append(f"  caused by {type(link).__name__}: {link}")
        trace = getattr(link, "stack_trace", "")
        if trace:
            lines.extend("    " + line for line in trace.rstrip().splitlines())
        link = link.__cause__
    return lines


class WorkflowContinuedAsNewError(NbflowError):
    """A run has no result of its own: the workflow went on as a new run.

    Parameters
    ----------
    workflow_id, run_id
        The run that was asked for.
    new_run_id
        The run that follows it.
    """

    def __init__(self, workflow_id: str, run_id: str = "", new_run_id: str = "") -> None:
        super().__init__(workflow_id, run_id, new_run_id)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.new_run_id = new_run_id

    def __str__(self) -> str:
        return (
            f"run {self.run_id} of workflow execution {self.workflow_id!r} went on as run {self.new_run_id}; "
            f"result() without follow_runs=False waits for the last run"
        )


class WorkflowError(NbflowError):
    """Workflow code broke a rule."""


class NondeterminismError(WorkflowError):
    """Workflow code and its history disagree, or the code did something replay can't repeat.

    Parameters
    ----------
    message
        What happened and what to do.
    event
        The recorded event, as text.
    command
        The command that the code produced, as text.
    line
        ``file:line`` of the code that produced it.
    definition_hash
        Hash of the definition that recorded the event, and of the one replayed.

    Attributes
    ----------
    event_id
        Of the recorded event, if there is one.
    """

    event_id: int | None = None

    def __init__(
        self,
        message: str,
        event: str | None = None,
        command: str | None = None,
        line: str | None = None,
        definition_hash: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(message, event, command, line, definition_hash)
        self.message = message
        self.event = event
        self.command = command
        self.line = line
        self.definition_hash = definition_hash


class ReadOnlyContextError(WorkflowError):
    """A query handler, an update's validator or a wait condition tried to change the execution."""


class DeadlockError(WorkflowError):
    """Workflow code did not yield to the engine for too long."""


class MapError(WorkflowError):
    """More calls of a ``map`` failed than its completion policy tolerates.

    Parameters
    ----------
    message
        What happened.
    result
        How each call ended.
    """

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class _OutOfPlaceError(WorkflowError):
    """A function was called where it can't work.

    Parameters
    ----------
    name
        The function that was called.
    """

    _place = ""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        where = self._place
        return f"nbflow.{self.name}() works only inside a running {where}; call it from a function marked @{where}"


class NotInWorkflowError(_OutOfPlaceError):
    """A function that works only inside a workflow was called elsewhere."""

    _place = "workflow"


class NotInActivityError(_OutOfPlaceError):
    """A function that works only inside an activity was called elsewhere."""

    _place = "activity"


class DefinitionError(WorkflowError):
    """A function can't be a workflow or an activity as it is written."""


class MissingDefinitionError(DefinitionError):
    """A definition, or a part of it, is not in this process and could not be rebuilt from the store."""


class ClientError(NbflowError):
    """A request could not be served."""


class WorkflowNotFoundError(ClientError):
    """No execution has this id.

    Parameters
    ----------
    workflow_id, run_id
        What was asked for.
    """

    def __init__(self, workflow_id: str, run_id: str | None = None) -> None:
        super().__init__(workflow_id, run_id)
        self.workflow_id = workflow_id
        self.run_id = run_id

    def __str__(self) -> str:
        run = f" (run {self.run_id})" if self.run_id else ""
        return f"no workflow execution {self.workflow_id!r}{run} in this store; nbflow.executions() lists what there is"


class ScheduleNotFoundError(ClientError):
    """No schedule has this id.

    Parameters
    ----------
    schedule_id
        What was asked for.
    """

    def __init__(self, schedule_id: str) -> None:
        super().__init__(schedule_id)
        self.schedule_id = schedule_id

    def __str__(self) -> str:
        return f"no schedule {self.schedule_id!r} in this store; nbflow.schedules() lists what there is"


class WorkflowAlreadyStartedError(ClientError):
    """An execution with this id exists and the id policy forbids another.

    Parameters
    ----------
    workflow_id, run_id
        The execution that is there.
    workflow_type
        Its type.
    """

    def __init__(self, workflow_id: str, run_id: str = "", workflow_type: str = "") -> None:
        super().__init__(workflow_id, run_id, workflow_type)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.workflow_type = workflow_type

    def __str__(self) -> str:
        run = f"run {self.run_id}, " if self.run_id else ""
        return (
            f"workflow execution {self.workflow_id!r} ({run}type {self.workflow_type}) already exists; "
            f"choose another id, or change id_conflict= / id_reuse="
        )


class WorkflowClosedError(ClientError):
    """The execution has closed and can't take this request.

    Parameters
    ----------
    workflow_id, run_id
        Which execution.
    status
        How it closed.
    """

    def __init__(self, workflow_id: str, run_id: str = "", status: str = "") -> None:
        super().__init__(workflow_id, run_id, status)
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.status = status

    def __str__(self) -> str:
        which = f"{self.workflow_id!r} (run {self.run_id})"
        if self.status == "Imported":
            return f"workflow execution {which} was imported while it was open: it runs elsewhere, ask there"
        return f"workflow execution {which} is already {self.status}; it takes no more requests"


class WorkflowSuspendedError(ClientError):
    """The workflow's code raised, and ``@workflow(on_error="suspend")`` keeps the execution open; ``cause`` says why.

    Parameters
    ----------
    workflow_id, run_id, workflow_type
        Which execution.
    failure
        What its code raised, in one line.
    """

    def __init__(self, workflow_id: str, run_id: str, workflow_type: str, failure: str) -> None:
        super().__init__(
            f"workflow execution {workflow_id!r} (run {run_id}) is suspended: {failure}. Mend the workflow and run its "
            f"cell again, or call nbflow.get({workflow_id!r}).resume() when the cause is gone; it goes on then",
            workflow_id, run_id, workflow_type, failure,
        )  # fmt: skip
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.workflow_type = workflow_type

    def __reduce__(self) -> tuple[type[WorkflowSuspendedError], tuple[str, ...]]:
        return type(self), self.args[1:]


class ActivityNotFoundError(ClientError):
    """The activity that was to be completed from outside is not open, or the attempt that the token names is over."""


class QueryError(ClientError):
    """A query handler is missing or failed."""


class UnknownUpdateError(ClientError):
    """The execution has no handler for an update.

    Parameters
    ----------
    name
        Name of the update.
    known
        Names of the updates that it has handlers for.
    """

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        super().__init__(name, tuple(known))
        self.name = name
        self.known = tuple(known)

    def __str__(self) -> str:
        return f"no update handler {self.name!r}; this execution has: {', '.join(self.known) or 'none'}"


class UpdateLimitError(ClientError):
    """An execution has too many updates under way, or had too many in all."""


class EngineClosedError(ClientError):
    """The engine was closed, or stopped because it could not commit."""


class SqlError(ClientError):
    """The SQL does not parse, fails, or would change something without leave."""


class HistoryConflictError(ClientError):
    """The store has another history under the run id that is imported."""


class HistoryFormatError(NbflowError):
    """A file holds no history, or a history can't be written in the form that was asked for."""


class StoreError(NbflowError):
    """The event log can't be used.

    Parameters
    ----------
    message
        What happened and what to do.
    path
        The store's file.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message, path)
        self.message = message
        self.path = path


class StoreLockedError(StoreError):
    """Another process holds the store.

    Parameters
    ----------
    message
        What happened and what to do.
    path
        The store's file.
    pid
        The process that holds it, if known.
    holder
        Its notebook or command, if known.
    """

    def __init__(self, message: str, path: str = "", pid: int | None = None, holder: str = "") -> None:
        super().__init__(message, path)
        self.args = (message, path, pid, holder)
        self.pid = pid
        self.holder = holder


class StoreCorruptedError(StoreError):
    """The store's file is damaged."""


class ForeignStoreError(StoreError):
    """The file is not an nbflow store."""


class StoreVersionError(StoreError):
    """The store was written by a newer nbflow or a newer DuckDB."""


class StoreNotWritableError(StoreError):
    """The store's file or folder can't be written."""


class StoreFullError(StoreError):
    """No space is left for the store."""


class HistoryCorruptedError(StoreError):
    """A history contradicts the rules that events follow."""


class PayloadError(NbflowError):
    """A value can't be encoded for, or decoded from, the event log."""


class UntrustedPayloadError(PayloadError):
    """A pickle in the store was not signed with this user's key, so it was not loaded."""


class ConfigurationError(NbflowError):
    """An option has no meaning, or an impossible value."""


class ReplayMismatchError(NbflowError, AssertionError):
    """Recorded executions do not fit today's code.

    Parameters
    ----------
    message
        Lists them.
    report
        The same as data, a :class:`~nbflow.testing.ReplayReport`.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message, report)
        self.report = report


class WorkflowEvicted(BaseException):
    """The execution leaves memory: its coroutines are taken down and record nothing."""


class ContinueAsNew(BaseException):
    """The workflow goes on as a new run; leaves its code as an exception does, ``finally`` included.

    Parameters
    ----------
    command
        What the new run will be.
    """

    def __init__(self, command: Any = None) -> None:
        super().__init__(command)
        self.command = command


class ActivityCancelled(BaseException):
    """Cancellation of this activity was requested; clean up and let it pass."""


class CompleteLater(BaseException):
    """The activity returns nothing now: it will be completed from outside by its token."""
