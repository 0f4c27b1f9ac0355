"""What an execution asks of others: children to start, signals and cancellations to send.

Rule 1: each request is one command, and has one outcome event; until then it is pending here.
Rule 2: this file knows nothing of where the other executions are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from nbflow.core import guard
from nbflow.core.child_handles import ChildWorkflowHandle, ExternalRequest, ExternalWorkflowHandle
from nbflow.core.commands import (
    RequestCancelExternalWorkflowExecution,
    SignalExternalWorkflowExecution,
    StartChildWorkflowExecution,
)
from nbflow.core.definitions import REGISTRY
from nbflow.core.durations import seconds_or_none
from nbflow.core.events import HistoryEvent, StartChildWorkflowExecutionInitiated
from nbflow.core.options import WorkflowOptions
from nbflow.exceptions import WorkflowEvicted

if TYPE_CHECKING:
    from nbflow.core.embedded_runtime import EmbeddedRuntime

__all__ = ["REUSE_POLICIES", "Relations", "default_child_id"]

REUSE_POLICIES = {
    "allow": "ALLOW_DUPLICATE",
    "failed_only": "ALLOW_DUPLICATE_FAILED_ONLY",
    "reject": "REJECT_DUPLICATE",
}
"""Temporal's names of what ``id_reuse`` may be."""


def default_child_id(workflow_id: str, run_id: str, name: str, number: int) -> str:
    """Name a child that was given no id: readable, and never the same in two runs of the parent.

    Parameters
    ----------
    workflow_id, run_id
        The parent.
    name
        The child's workflow type.
    number
        Which child of the parent, from 1.

    Returns
    -------
    str
        The child's workflow id.
    """
    return f"{workflow_id}/{name}-{number}-{run_id[-6:]}"


class Relations:
    """The children of one execution, and its requests to others.

    Parameters
    ----------
    owner
        The execution.
    """

    def __init__(self, owner: EmbeddedRuntime) -> None:
        self._held_owner: EmbeddedRuntime | None = owner
        self._count = 0
        self.children: dict[int, ChildWorkflowHandle] = {}
        """Children without an outcome, by initiated_event_id."""
        self.requests: dict[int, ExternalRequest] = {}
        """Requests without an outcome, by initiated_event_id."""

    @property
    def has_pending(self) -> bool:
        """True if something has no outcome yet."""
        return bool(self.children or self.requests)

    def take_down(self) -> None:
        """Wake all who wait, and forget everything: the execution leaves memory."""
        for child in self.children.values():
            child.cancel_now()
        for request in self.requests.values():
            request.cancel_now()
        self.children.clear()
        self.requests.clear()

    def close(self) -> None:
        """Let go of the execution, so that no reference cycle keeps it in memory."""
        self._held_owner = None

    @property
    def _owner(self) -> EmbeddedRuntime:
        if self._held_owner is None:
            msg = "the execution has left memory"
            raise WorkflowEvicted(msg)
        return self._held_owner

    # What the code asks for.

    def start_child(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, options: WorkflowOptions
    ) -> ChildWorkflowHandle:
        """Start a child.

        Parameters
        ----------
        name
            Its workflow type.
        args, kwargs
            Its arguments, bound.
        options
            Of the call.

        Returns
        -------
        ChildWorkflowHandle
            Of a child that starts when this activation is recorded.
        """
        owner = self._owner
        is_parked = owner.refuses(f"start child workflow {name}")
        self._count += 1
        command = self._start_command(name, args, kwargs, options)
        kind = options.cancellation_type or "WAIT_CANCELLATION_COMPLETED"
        handle = ChildWorkflowHandle(self, owner.loop, command, kind)
        if not is_parked:
            owner.ask_for(command, handle)
        return handle

    def _start_command(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, options: WorkflowOptions
    ) -> StartChildWorkflowExecution:
        owner = self._owner
        recorded = self._recorded(name, options.id)
        if recorded is not None:  # values were encoded, and an id was found, when it was recorded
            workflow_id, definition_hash = recorded.workflow_id, recorded.definition_hash
            positional, keywords, memo = recorded.input, recorded.keyword_input, recorded.memo
        else:
            workflow_id = options.id or default_child_id(owner.started.workflow_id, owner.run_id, name, self._count)
            definition_hash = _current_hash(owner, name)
            positional = owner.converter.encode(list(args))
            keywords = owner.converter.encode(dict(kwargs)) if kwargs else None
            memo = owner.converter.encode(dict(options.memo)) if options.memo else None
        return StartChildWorkflowExecution(
            workflow_id=workflow_id,
            workflow_type=name,
            input=positional,
            keyword_input=keywords,
            definition_hash=definition_hash,
            workflow_execution_timeout=seconds_or_none(options.execution_timeout),
            workflow_run_timeout=seconds_or_none(options.run_timeout),
            parent_close_policy=options.parent_close_policy or "TERMINATE",
            workflow_id_reuse_policy=REUSE_POLICIES[options.id_reuse or "allow"],
            retry_policy=options.retry.to_json() if options.retry else None,
            start_delay=seconds_or_none(options.start_delay) or None,
            memo=memo,
            search_attributes=dict(options.search_attributes) if options.search_attributes else None,
            summary=options.summary,
            on_error=None if options.on_error == "fail" else options.on_error,
        )

    def _recorded(self, name: str, workflow_id: str | None) -> StartChildWorkflowExecutionInitiated | None:
        """The event that will record this child, if this is a replay.

        A made-up id tells which one it is. Its place does not: what is withdrawn in this activation is not recorded.
        """
        if not self._owner.is_replaying:
            return None
        expected = self._owner.next_recorded
        if self._records(expected, name, workflow_id):
            return expected
        if workflow_id is not None:
            return None
        return next((it for it in self._owner.recorded_commands if self._records(it, name, None)), None)

    def _records(
        self, event: HistoryEvent | None, name: str, workflow_id: str | None
    ) -> TypeGuard[StartChildWorkflowExecutionInitiated]:
        if not isinstance(event, StartChildWorkflowExecutionInitiated) or event.workflow_type != name:
            return False
        if workflow_id is not None:
            return event.workflow_id == workflow_id
        return event.workflow_id.rpartition("-")[0].endswith(f"/{name}-{self._count}")

    def handle(self, workflow_id: str, run_id: str | None) -> ExternalWorkflowHandle:
        """Return a handle of another execution."""
        return ExternalWorkflowHandle(self, workflow_id, run_id)

    def signal(
        self,
        workflow_id: str,
        run_id: str | None,
        name: str,
        args: tuple[Any, ...],
        *,
        child_workflow_only: bool = False,
    ) -> ExternalRequest:
        """Signal another execution, or a child."""
        is_parked = self._owner.refuses(f"signal execution {workflow_id!r}")
        command = SignalExternalWorkflowExecution(
            workflow_id=workflow_id,
            signal_name=str(name),
            input=self._owner.converter.encode(list(args)),
            run_id=run_id,
            child_workflow_only=child_workflow_only,
        )
        request = ExternalRequest(self, self._owner.loop, command)
        if not is_parked:
            self._owner.ask_for(command, request)
        return request

    def cancel(
        self, workflow_id: str, run_id: str | None, reason: str, child: ChildWorkflowHandle | None = None
    ) -> ExternalRequest:
        """Ask another execution, or a child, to cancel."""
        is_parked = self._owner.refuses(f"cancel execution {workflow_id!r}")
        command = RequestCancelExternalWorkflowExecution(
            workflow_id=workflow_id, run_id=run_id, child_workflow_only=child is not None, reason=str(reason)
        )
        request = ExternalRequest(self, self._owner.loop, command, child)
        if not is_parked:
            self._owner.ask_for(command, request)
        return request

    def cancel_child(self, handle: ChildWorkflowHandle, reason: Any) -> bool:
        """Cancel a child the way its cancellation type says; False if it was done."""
        if handle.done():
            return False
        if self._held_owner is None:
            return handle.cancel_now(reason)
        owner = self._owner
        owner.check_may_change(f"cancel child workflow {handle.workflow_id!r}")
        if owner.is_evicted:
            return handle.cancel_now(reason)
        if handle.initiated_event_id is None:
            owner.withdraw(handle.command)
            return handle.cancel_now(reason)
        kind = handle.cancellation_type
        if kind != "ABANDON" and not handle.cancel_requested:
            handle.cancel_requested = True
            self.cancel(handle.workflow_id, None, str(reason or ""), handle)
        return True if kind.startswith("WAIT") else handle.cancel_now(reason)

    def take_back(self, request: ExternalRequest) -> None:
        """Ask no more for what was asked for in this activation."""
        owner = self._held_owner
        if owner is not None and not owner.is_evicted and request.initiated is None and not request.done():
            owner.withdraw(request.command)


def _current_hash(owner: EmbeddedRuntime, name: str) -> str:
    """Version of the child's code today; empty if only the store knows it."""
    with guard.allow_io(), owner.loop.not_running():  # reading sources
        definition = REGISTRY.current("workflow", name)
    return definition.hash if definition is not None else ""
