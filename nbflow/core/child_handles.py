"""What workflow code holds of other executions: children, executions it knows by id, requests under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbflow.core.bridge import block_on, in_workflow_greenlet
from nbflow.core.commands import (
    Command,
    RequestCancelExternalWorkflowExecution,
    SignalExternalWorkflowExecution,
    StartChildWorkflowExecution,
)
from nbflow.core.events import StartChildWorkflowExecutionInitiated
from nbflow.core.loop import DeterministicLoop, OrderedFuture
from nbflow.core.machines import EXTERNAL_CANCEL, EXTERNAL_SIGNAL

if TYPE_CHECKING:
    from nbflow.core.relations import Relations

__all__ = ["ChildWorkflowHandle", "ExternalRequest", "ExternalWorkflowHandle"]


def _here(future: OrderedFuture) -> Any:
    return block_on(future) if in_workflow_greenlet() else future


class ChildWorkflowHandle(OrderedFuture):
    """A child workflow: await it, or in a plain ``def`` workflow call ``.result()``.

    Parameters
    ----------
    relations
        Of the parent.
    loop
        The parent's.
    command
        What starts it.
    cancellation_type
        What cancelling it does.
    """

    def __init__(
        self,
        relations: Relations,
        loop: DeterministicLoop,
        command: StartChildWorkflowExecution,
        cancellation_type: str,
    ) -> None:
        super().__init__(loop=loop)
        self._relations = relations
        self._loop_of_parent = loop
        self._started: OrderedFuture | None = None
        self._start_error: BaseException | None = None
        self.command = command
        self.cancellation_type = cancellation_type
        self.initiated: StartChildWorkflowExecutionInitiated | None = None
        """The event that records the command."""
        self.started_event_id: int | None = None
        self.run_id: str | None = None
        """Its first run; None until it has started."""
        self.state = "New"
        self.cancel_requested = False

    @property
    def initiated_event_id(self) -> int | None:
        """Which event records that it was asked for; None if none does yet."""
        return None if self.initiated is None else self.initiated.event_id

    @property
    def workflow_id(self) -> str:
        """The child's id."""
        return self.command.workflow_id

    @property
    def workflow_type(self) -> str:
        """Name of the child's workflow."""
        return self.command.workflow_type

    def result(self) -> Any:
        """Return the child's result, waiting for it in a plain ``def`` workflow.

        Returns
        -------
        object
            What the child returned, or the last of its runs.

        Raises
        ------
        ChildWorkflowError
            When it did not complete; its cause says why.
        WorkflowAlreadyStartedError
            When an open execution has its id.
        asyncio.CancelledError
            When it was cancelled from here.
        asyncio.InvalidStateError
            In an ``async def`` workflow, when it is not done: await it instead.
        """
        if not self.done() and in_workflow_greenlet():
            return block_on(self)
        try:
            return super().result()
        finally:
            del self  # an error's traceback holds this frame, and this handle holds the error

    def started(self) -> Any:
        """Wait until the child runs; then ``run_id`` is known.

        Returns
        -------
        ChildWorkflowHandle or Awaitable
            This handle; await it in an ``async def`` workflow.

        Raises
        ------
        WorkflowAlreadyStartedError
            When an open execution has its id.
        """
        waiting = OrderedFuture(loop=self._loop_of_parent)
        if self.run_id is not None:
            waiting.set_result(self)
        elif self._start_error is not None:
            waiting.set_exception(self._start_error)
        elif self.cancelled():
            waiting.cancel()
        else:
            if self._started is None or self._started.done():
                self._started = waiting
            return _here(self._started)
        return _here(waiting)

    def signal(self, name: str, *args: Any) -> Any:
        """Send the child a signal.

        Parameters
        ----------
        name
            Name of the signal.
        *args
            Its arguments.

        Returns
        -------
        None or Awaitable
            Done when the child has it. In an ``async def`` workflow the signal is sent whether it is awaited or not.

        Raises
        ------
        ApplicationError
            Of type ``ExternalWorkflowExecutionNotFound``, when the child is not open.
        """
        return _here(self._relations.signal(self.workflow_id, None, name, args, child_workflow_only=True))

    def cancel(self, msg: Any = None) -> bool:
        """Ask the child to cancel, the way its cancellation type says.

        Returns
        -------
        bool
            False if it was done already.
        """
        return self._relations.cancel_child(self, msg)

    # What the execution tells it.

    def cancel_now(self, msg: Any = None) -> bool:
        """Wake whoever waits with CancelledError, whatever the child does."""
        if self._started is not None and not self._started.done():
            self._started.cancel(msg)
        return super().cancel(msg)

    def begin(self, run_id: str, started_event_id: int) -> None:
        """Take note that the child runs."""
        self.run_id, self.started_event_id = run_id, started_event_id

    def wake_starter(self) -> None:
        """Wake who waits for the child to run."""
        if self._started is not None and not self._started.done():
            self._started.set_result(self)

    def fail_to_start(self, error: BaseException) -> None:
        """Take note that there will be no child."""
        self._start_error = error
        if self._started is not None and not self._started.done():
            self._started.set_exception(error)
            self._started._log_traceback = False  # noqa: SLF001  nobody waiting is no mistake
        self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Wake whoever waits with an error; nobody waiting is no mistake."""
        if not self.done():
            self.set_exception(error)
            self._log_traceback = False


class ExternalRequest(OrderedFuture):
    """A signal or a cancellation on its way to another execution; done when that has it.

    Parameters
    ----------
    relations
        Of the execution that asks.
    loop
        Its loop.
    command
        What asks.
    child
        The child that a cancellation is for, if its handle waits for this.
    """

    def __init__(
        self,
        relations: Relations,
        loop: DeterministicLoop,
        command: SignalExternalWorkflowExecution | RequestCancelExternalWorkflowExecution,
        child: ChildWorkflowHandle | None = None,
    ) -> None:
        super().__init__(loop=loop)
        self._relations = relations
        self.command: Command = command
        self.child = child
        self.machine = EXTERNAL_SIGNAL if isinstance(command, SignalExternalWorkflowExecution) else EXTERNAL_CANCEL
        self.initiated: Any = None
        """The event that records the command."""
        self.state = "New"

    @property
    def initiated_event_id(self) -> int | None:
        """Which event records the command; None if none does yet."""
        return None if self.initiated is None else int(self.initiated.event_id)

    def cancel(self, msg: Any = None) -> bool:
        """Wait no longer; what has been asked for in an earlier activation is asked for."""
        self._relations.take_back(self)
        return super().cancel(msg)

    def cancel_now(self) -> None:
        """Wake whoever waits: the execution leaves memory."""
        super().cancel()

    def fail(self, error: BaseException) -> None:
        """Wake whoever waits with an error; nobody waiting is no mistake."""
        if not self.done():
            self.set_exception(error)
            self._log_traceback = False


class ExternalWorkflowHandle:
    """Another execution, seen from workflow code.

    Parameters
    ----------
    relations
        Of the execution whose code asks.
    workflow_id
        Its id.
    run_id
        Which run; None for the newest.
    """

    def __init__(self, relations: Relations, workflow_id: str, run_id: str | None = None) -> None:
        self._relations = relations
        self.workflow_id = workflow_id
        self.run_id = run_id

    def signal(self, name: str, *args: Any) -> Any:
        """Send it a signal.

        Parameters
        ----------
        name
            Name of the signal.
        *args
            Its arguments.

        Returns
        -------
        None or Awaitable
            Done when the other execution has it. In an ``async def`` workflow it is sent whether it is awaited or not.

        Raises
        ------
        ApplicationError
            Of type ``ExternalWorkflowExecutionNotFound``, when there is no such open execution.
        """
        return _here(self._relations.signal(self.workflow_id, self.run_id, name, args))

    def cancel(self, reason: str = "") -> Any:
        """Ask it to cancel; nothing happens if it has closed.

        Parameters
        ----------
        reason
            Why, for its history.

        Returns
        -------
        None or Awaitable
            Done when the other execution was asked.

        Raises
        ------
        ApplicationError
            Of type ``ExternalWorkflowExecutionNotFound``, when there is no such execution.
        """
        return _here(self._relations.cancel(self.workflow_id, self.run_id, reason))

    def __repr__(self) -> str:
        run = f" run {self.run_id}" if self.run_id else ""
        return f"<ExternalWorkflowHandle {self.workflow_id!r}{run}>"
