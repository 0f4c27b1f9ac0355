"""Signals and cancellations that an execution sends to another one: both sides written in one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from nbflow.core.events import (
    ExternalWorkflowExecutionCancelRequested,
    ExternalWorkflowExecutionSignaled,
    HistoryEvent,
    RequestCancelExternalWorkflowExecutionFailed,
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionFailed,
    SignalExternalWorkflowExecutionInitiated,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
)
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.parts import Parts
from nbflow.engine.requests import Requests
from nbflow.exceptions import WorkflowNotFoundError

if TYPE_CHECKING:
    from nbflow.engine.between import Between

__all__ = ["ExternalRequests"]

_NOT_FOUND = "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND"

Initiated: TypeAlias = SignalExternalWorkflowExecutionInitiated | RequestCancelExternalWorkflowExecutionInitiated


class ExternalRequests:
    """Sends signals and cancellations on.

    Parameters
    ----------
    parts
        The engine's parts.
    requests
        Finds executions.
    between
        The queue that all of this goes through.
    """

    def __init__(self, parts: Parts, requests: Requests, between: Between) -> None:
        self._interpreter = parts.interpreter
        self._requests = requests
        self._between = between
        self._delivered: dict[tuple[str, int], bool] = {}
        """Requests that were seen to while who sent them could not be told, by run and initiated_event_id."""

    def send(self, source: RunState, initiated: Initiated) -> None:
        """Let a signal or cancellation arrive, and tell who sent it; or tell that nobody was found."""
        sender = self._between.resident(source)
        if not self._is_pending(source, sender, initiated.event_id):
            return
        was_delivered = self._delivered.pop((source.run_id, initiated.event_id), None)
        if was_delivered is not None:
            self._answer(source, initiated, is_delivered=was_delivered)
            return
        target = self._find(initiated)
        is_signal = isinstance(initiated, SignalExternalWorkflowExecutionInitiated)
        if target is None or (is_signal and not target.is_open):
            self._answer(source, initiated, is_delivered=False)
        elif not target.is_open:  # to cancel what has closed is no mistake
            self._answer(source, initiated, is_delivered=True)
        else:
            receiver = sender if target is source else self._between.resident(target)
            if receiver is None:
                self._between.when_resident(target, self.send, source, initiated)
                return
            is_for_it = not initiated.child_workflow_only or receiver.started.parent_run_id == source.run_id
            if is_for_it:
                self._deliver(source, receiver, initiated)
            self._answer(source, initiated, is_delivered=is_for_it)

    def _is_pending(self, source: RunState, sender: Execution | None, number: int) -> bool:
        if not source.is_open:
            return self._between.is_wished(source, number)
        return sender is not None and number in sender.instance.relations.requests

    def _find(self, initiated: Initiated) -> RunState | None:
        try:
            return self._requests.find(initiated.workflow_id, initiated.run_id)
        except WorkflowNotFoundError:
            return None

    def _deliver(self, source: RunState, receiver: Execution, initiated: Initiated) -> None:
        sender: dict[str, Any] = {
            "external_initiated_event_id": initiated.event_id,
            "external_workflow_id": source.workflow_id,
            "external_run_id": source.run_id,
        }

        def make(event_id: int, now: int) -> list[HistoryEvent]:
            if isinstance(initiated, SignalExternalWorkflowExecutionInitiated):
                name, values = initiated.signal_name, initiated.input
                return [
                    WorkflowExecutionSignaled(
                        event_id=event_id, event_time=now, signal_name=name, input=values, **sender
                    )
                ]
            return [
                WorkflowExecutionCancelRequested(event_id=event_id, event_time=now, cause=initiated.reason, **sender)
            ]

        is_signal = isinstance(initiated, SignalExternalWorkflowExecutionInitiated)
        if is_signal or not receiver.instance.cancel_requested:
            self._interpreter.deliver(receiver, make)

    def _answer(self, source: RunState, initiated: Initiated, *, is_delivered: bool) -> None:
        """Tell who asked; one that has closed by now takes no more events, so a note tells that it was seen to."""
        sender = self._between.resident(source)
        if sender is None and source.is_open:  # parked by its own signal: to be told when it comes back, and not again
            self._delivered[source.run_id, initiated.event_id] = is_delivered
            return
        if sender is None:
            self._between.fulfil(source, initiated.event_id)
            return
        is_signal = isinstance(initiated, SignalExternalWorkflowExecutionInitiated)
        cls: Any
        if is_delivered:
            cls = ExternalWorkflowExecutionSignaled if is_signal else ExternalWorkflowExecutionCancelRequested
        else:
            cls = SignalExternalWorkflowExecutionFailed if is_signal else RequestCancelExternalWorkflowExecutionFailed
        more = {} if is_delivered else {"cause": _NOT_FOUND}
        self._interpreter.deliver(
            sender,
            lambda event_id, now: [
                cls(
                    event_id=event_id,
                    event_time=now,
                    initiated_event_id=initiated.event_id,
                    workflow_id=initiated.workflow_id,
                    run_id=initiated.run_id,
                    **more,
                )
            ],
        )
