"""The other executions of a played one: children that start and end as the test says, and who gets its signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbflow.core.events import (
    ChildWorkflowExecutionCanceled,
    ChildWorkflowExecutionCompleted,
    ChildWorkflowExecutionFailed,
    ChildWorkflowExecutionStarted,
    ChildWorkflowExecutionTerminated,
    ChildWorkflowExecutionTimedOut,
    ExternalWorkflowExecutionCancelRequested,
    ExternalWorkflowExecutionSignaled,
    HistoryEvent,
    RequestCancelExternalWorkflowExecutionFailed,
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionFailed,
    SignalExternalWorkflowExecutionInitiated,
    StartChildWorkflowExecutionFailed,
    StartChildWorkflowExecutionInitiated,
)
from nbflow.core.failures import failure_of_exception
from nbflow.core.instance import WorkflowInstance
from nbflow.exceptions import ApplicationError

if TYPE_CHECKING:
    from replay_player import Player

OUTCOMES = {
    "complete": ChildWorkflowExecutionCompleted,
    "fail": ChildWorkflowExecutionFailed,
    "cancel": ChildWorkflowExecutionCanceled,
    "time_out": ChildWorkflowExecutionTimedOut,
    "terminate": ChildWorkflowExecutionTerminated,
}


class Others:
    """Everybody else, as far as the execution has to do with them."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self.initiated: dict[int, StartChildWorkflowExecutionInitiated] = {}
        """Children that are asked for."""
        self.running: dict[int, ChildWorkflowExecutionStarted] = {}
        self.requests: dict[int, HistoryEvent] = {}
        """Signals and cancellations on their way."""
        self.asked_to_cancel: set[str] = set()

    def note(self, event: HistoryEvent) -> None:
        match event:
            case StartChildWorkflowExecutionInitiated():
                self.initiated[event.event_id] = event
            case ChildWorkflowExecutionStarted():
                del self.initiated[event.initiated_event_id]
                self.running[event.initiated_event_id] = event
            case StartChildWorkflowExecutionFailed():
                del self.initiated[event.initiated_event_id]
            case SignalExternalWorkflowExecutionInitiated() | RequestCancelExternalWorkflowExecutionInitiated():
                self.requests[event.event_id] = event
        if type(event) in OUTCOMES.values():
            del self.running[event.initiated_event_id]
        elif type(event).__name__ in DELIVERIES:
            del self.requests[event.initiated_event_id]

    # What they do.

    def start(self, place: int = 0) -> Player:
        """Let a child start."""
        event = list(self.initiated.values())[place]
        return self._player.deliver(
            (
                ChildWorkflowExecutionStarted,
                {
                    "initiated_event_id": event.event_id,
                    "workflow_id": event.workflow_id,
                    "run_id": f"run-of-{event.event_id}",
                    "workflow_type": event.workflow_type,
                },
            )
        )

    def refuse(self, place: int = 0) -> Player:
        """Let a child's id be taken."""
        event = list(self.initiated.values())[place]
        attributes = {
            "initiated_event_id": event.event_id,
            "workflow_id": event.workflow_id,
            "workflow_type": event.workflow_type,
            "cause": "WORKFLOW_ALREADY_EXISTS",
        }
        return self._player.deliver((StartChildWorkflowExecutionFailed, attributes))

    def end(self, how: str = "complete", place: int = 0, result: Any = None) -> Player:
        """Let a child end."""
        started = list(self.running.values())[place]
        attributes: dict[str, Any] = {
            "initiated_event_id": started.initiated_event_id,
            "started_event_id": started.event_id,
            "workflow_id": started.workflow_id,
            "run_id": started.run_id,
            "workflow_type": started.workflow_type,
        }
        if how == "complete":
            attributes["result"] = self._player.encode(result)
        elif how == "fail":
            attributes["failure"] = failure_of_exception(ApplicationError("no", type="Bad"), self._player.converter)
        return self._player.deliver((OUTCOMES[how], attributes))

    def deliver(self, *, is_there: bool = True, place: int = 0) -> Player:
        """Let a signal or a cancellation arrive, or find nobody."""
        event: Any = list(self.requests.values())[place]
        is_signal = isinstance(event, SignalExternalWorkflowExecutionInitiated)
        if is_signal:
            cls = ExternalWorkflowExecutionSignaled if is_there else SignalExternalWorkflowExecutionFailed
        else:
            cls = ExternalWorkflowExecutionCancelRequested if is_there else RequestCancelExternalWorkflowExecutionFailed
            self.asked_to_cancel.add(event.workflow_id)
        attributes = {"initiated_event_id": event.event_id, "workflow_id": event.workflow_id, "run_id": event.run_id}
        return self._player.deliver((cls, attributes))

    def moves(self) -> list[Callable[[], object]]:
        """Everything that they may do now, in a fixed order."""
        possible: list[Callable[[], object]] = []
        for place in range(len(self.initiated)):
            possible += [lambda place=place: self.start(place), lambda place=place: self.refuse(place)]
        for place, started in enumerate(self.running.values()):
            for how in OUTCOMES:
                if how != "cancel" or started.workflow_id in self.asked_to_cancel:
                    possible.append(lambda place=place, how=how: self.end(how, place, 7))
        for place in range(len(self.requests)):
            possible += [
                lambda place=place: self.deliver(place=place),
                lambda place=place: self.deliver(is_there=False, place=place),
            ]
        return possible


DELIVERIES = (
    "ExternalWorkflowExecutionSignaled",
    "SignalExternalWorkflowExecutionFailed",
    "ExternalWorkflowExecutionCancelRequested",
    "RequestCancelExternalWorkflowExecutionFailed",
)


def others_of(instance: WorkflowInstance) -> Any:
    """What can be seen of an instance's relations."""
    relations = instance.relations
    children = {
        key: (it.workflow_id, it.run_id, it.state, it.cancel_requested, it.done())
        for key, it in relations.children.items()
    }
    return children, {key: (it.state, it.done()) for key, it in relations.requests.items()}
