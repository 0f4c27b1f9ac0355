"""Updates: what a caller asks of an execution and gets an answer to, once, however often it asks.

An update is looked at by its validator before anything is taken down; accepted, it is an event like any other. Its
answer comes when its outcome is durable, to all who asked for it by its id: while it runs, later, and after a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from nbflow.core.events import (
    HistoryEvent,
    WorkflowExecutionUpdateAccepted,
    WorkflowExecutionUpdateCompleted,
)
from nbflow.core.failures import Failure, exception_of_failure
from nbflow.core.payloads import Payload
from nbflow.engine.clock import new_run_id
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.journal import refuse
from nbflow.engine.parts import Parts
from nbflow.engine.requests import Requests, require_text
from nbflow.exceptions import ClientError, UpdateLimitError, WorkflowClosedError, WorkflowUpdateFailedError

__all__ = ["UpdateAnswer", "UpdateRequest", "Updates"]

_MOST_IN_FLIGHT = 10
_MOST_IN_ALL = 2000
_MOST_NOTED = 1000

Answer = Future[Any]


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """One update that somebody asks for.

    Parameters
    ----------
    name
        Name of the update.
    input
        Its arguments, as one encoded list.
    update_id
        Names it within the execution; None to have an id made up.
    waits
        True to be answered when it has ended, False when it is accepted.
    """

    name: str
    input: Payload
    update_id: str | None
    waits: bool


@dataclass(frozen=True, slots=True)
class UpdateAnswer:
    """What is known of an update: which one, and its outcome if it has one."""

    run: RunState
    update_id: str
    update_name: str
    outcome: WorkflowExecutionUpdateCompleted | None = None


@dataclass(slots=True)
class _Waiting:
    answer: Answer
    run: RunState
    update_id: str
    update_name: str


class Updates:
    """Serves callers of updates, on the engine's thread.

    Parameters
    ----------
    parts
        The engine's parts.
    requests
        Finds executions.
    identity
        Who this process is, for the history.
    """

    def __init__(self, parts: Parts, requests: Requests, identity: str) -> None:
        self._clock = parts.clock
        self._reader = parts.reader
        self._converter = parts.converter
        self._journal = parts.journal
        self._interpreter = parts.interpreter
        self._requests = requests
        self._identity = identity
        self._waiting: dict[str, list[_Waiting]] = {}
        """Who waits for an outcome, by run id."""
        self._before_begin: dict[str, list[tuple[UpdateRequest, Answer]]] = {}
        """What came before an execution's start delay was over, by run id."""
        self.unfinished: dict[str, list[str]] = {}
        """Handlers that closed executions left half done, by run id, until somebody was told."""
        parts.interpreter.on_begun = self._on_begun
        parts.interpreter.on_update_completed = self._on_completed
        requests.updates = self

    @property
    def anyone_waits(self) -> bool:
        """True if a caller waits for an update."""
        return any(not one.answer.done() for waiting in self._waiting.values() for one in waiting) or any(
            not answer.done() for waiting in self._before_begin.values() for _, answer in waiting
        )

    # Requests.

    def start(self, workflow_id: str, run_id: str | None, request: UpdateRequest, answer: Answer) -> None:
        """Have an update handled, or attach to the one that has its id already."""
        require_text("the name of an update", request.name)
        if request.update_id is not None:
            require_text("the id of an update", request.update_id)
        self._start(self._requests.find(workflow_id, run_id), request, answer)

    def _start(self, run: RunState, request: UpdateRequest, answer: Answer) -> None:
        if not run.is_open:
            if request.update_id is None:
                raise WorkflowClosedError(run.workflow_id, run.run_id, run.status)
            self._answer_from_log(run, request, answer)
            return
        self._requests.with_execution(run, answer, lambda execution: self._admit(execution, request, answer))

    def result(self, workflow_id: str, run_id: str | None, update_id: str, answer: Answer) -> None:
        """Answer with the outcome of an update that was accepted, when there is one."""
        run = self._requests.find(workflow_id, run_id)
        if not run.is_open:
            self._answer_from_log(run, UpdateRequest("", Payload("[]"), update_id, waits=True), answer)
            return

        def act(execution: Execution) -> None:
            if update_id not in execution.instance.updates.accepted:
                raise _unknown(run, update_id)
            self._attach(execution, update_id, answer, waits=True)

        self._requests.with_execution(run, answer, act)

    def _admit(self, execution: Execution, request: UpdateRequest, answer: Answer) -> None:
        run = execution.run
        if execution.is_delayed:  # its handlers are known when its code has run
            self._check_limits(execution)
            self._before_begin.setdefault(run.run_id, []).append((request, answer))
            return
        update_id = request.update_id
        if update_id is not None and update_id in execution.instance.updates.accepted:
            self._attach(execution, update_id, answer, waits=request.waits)
            return
        if execution.is_paused:
            msg = f"execution {run.workflow_id!r} is {run.status}: it takes no updates until its code runs again"
            raise ClientError(msg)
        self._check_limits(execution)
        update_id = update_id or new_run_id(self._clock.now())
        rejection = self._rejection(execution, request)
        if rejection is not None:
            self._journal.answer_later(answer, lambda: self._raise(run, request.name, update_id, rejection, True))
            return
        if request.waits:
            self._wait(_Waiting(answer, run, update_id, request.name))
        self._interpreter.deliver(execution, lambda event_id, now: [self._accepted(request, update_id, event_id, now)])
        if not request.waits:
            self._journal.answer(answer, UpdateAnswer(run, update_id, request.name))

    def _rejection(self, execution: Execution, request: UpdateRequest) -> Failure | None:
        """Let the validator look at an update; returns why it rejects it."""
        instance = execution.instance
        try:
            with self._interpreter.watched(execution):
                instance.validate_update(request.name, request.input)
        except BaseException as error:  # noqa: BLE001  the caller's to handle
            return instance.record_failure(error)
        return None

    def _accepted(
        self, request: UpdateRequest, update_id: str, event_id: int, now: int
    ) -> WorkflowExecutionUpdateAccepted:
        return WorkflowExecutionUpdateAccepted(
            event_id=event_id,
            event_time=now,
            update_id=update_id,
            update_name=request.name,
            input=request.input,
            identity=self._identity,
        )

    def _check_limits(self, execution: Execution) -> None:
        updates = execution.instance.updates
        before = len(self._before_begin.get(execution.run_id, ()))
        if updates.in_flight + before >= _MOST_IN_FLIGHT:
            msg = f"execution {execution.workflow_id!r} has {_MOST_IN_FLIGHT} updates under way; wait for one to end"
            raise UpdateLimitError(msg)
        if len(updates.accepted) + before >= _MOST_IN_ALL:
            msg = (
                f"execution {execution.workflow_id!r} has had {_MOST_IN_ALL} updates, which is the most that one run "
                f"takes; let it continue as new from time to time"
            )
            raise UpdateLimitError(msg)

    # Answers.

    def _attach(self, execution: Execution, update_id: str, answer: Answer, *, waits: bool) -> None:
        update = execution.instance.updates.accepted[update_id]
        found = UpdateAnswer(execution.run, update_id, update.accepted.update_name, update.outcome)
        suspension = self._requests.suspension(execution.run)
        if update.outcome is None and waits and suspension is not None:
            self._journal.answer_later(answer, _raiser(suspension))
        elif update.outcome is None and waits:
            self._wait(_Waiting(answer, execution.run, update_id, update.accepted.update_name))
        else:
            self._journal.answer(answer, found)

    def _wait(self, waiting: _Waiting) -> None:
        others = [other for other in self._waiting.get(waiting.run.run_id, ()) if not other.answer.done()]
        self._waiting[waiting.run.run_id] = [*others, waiting]

    def _on_completed(self, execution: Execution, event: WorkflowExecutionUpdateCompleted) -> None:
        waiting = self._waiting.get(execution.run_id)
        if waiting is None:
            return
        left = []
        for one in waiting:
            if one.update_id == event.update_id:
                found = UpdateAnswer(execution.run, one.update_id, one.update_name, event)
                self._journal.answer(one.answer, found)
            else:
                left.append(one)
        self._waiting[execution.run_id] = left
        if not left:
            del self._waiting[execution.run_id]

    def _on_begun(self, execution: Execution) -> None:
        """Take up what came before the start delay was over."""
        for request, answer in self._before_begin.pop(execution.run_id, ()):
            try:
                self._start(execution.run, request, answer)
            except Exception as error:  # noqa: BLE001  the caller's to handle
                refuse(answer, error)

    def note_unfinished(self, execution: Execution) -> None:
        """Keep what a closing execution left half done, for the one who asks for its result."""
        handlers = execution.instance.unfinished_handlers
        if handlers:
            self.unfinished[execution.run_id] = handlers
            while len(self.unfinished) > _MOST_NOTED:
                self.unfinished.pop(next(iter(self.unfinished)), None)

    def on_closed(self, run: RunState) -> None:
        """Tell those who wait for an update that it will not end any more."""
        for one in self._waiting.pop(run.run_id, ()):
            self._journal.answer_later(one.answer, lambda one=one: self._raise_unfinished(run, one))  # type: ignore[misc]
        for _, answer in self._before_begin.pop(run.run_id, ()):
            error = WorkflowClosedError(run.workflow_id, run.run_id, run.status)
            self._journal.answer_later(answer, _raiser(error))

    def tell_waiting(self, run: RunState, error: Exception) -> None:
        """Tell those who wait why an update will not end by itself; it may end when the execution is mended."""
        for one in self._waiting.pop(run.run_id, ()):
            self._journal.answer_later(one.answer, _raiser(error))

    def on_problem(self, run: RunState, error: Exception) -> None:
        """Tell those who wait that the execution can't go on as it is."""
        answers = [one.answer for one in self._waiting.pop(run.run_id, ())]
        answers += [answer for _, answer in self._before_begin.pop(run.run_id, ())]
        for answer in answers:
            refuse(answer, error)

    def fail_all(self, error: BaseException) -> None:
        """Tell everybody who waits that the engine has stopped."""
        waiting, self._waiting = self._waiting, {}
        before, self._before_begin = self._before_begin, {}
        for ones in waiting.values():
            for one in ones:
                refuse(one.answer, error)
        for pairs in before.values():
            for _, answer in pairs:
                refuse(answer, error)

    # Updates of closed executions.

    def _answer_from_log(self, run: RunState, request: UpdateRequest, answer: Answer) -> None:
        self._journal.answer_later(answer, lambda: self._find_in_log(run, request))

    def _find_in_log(self, run: RunState, request: UpdateRequest) -> UpdateAnswer:
        history = self._reader.histories([run.run_id]).get(run.run_id, [])
        accepted = _accepted_event(history, request.update_id)
        if accepted is None:
            if request.name:
                raise WorkflowClosedError(run.workflow_id, run.run_id, run.status)
            raise _unknown(run, str(request.update_id))
        for event in history[accepted.event_id :]:
            if type(event) is WorkflowExecutionUpdateCompleted and event.update_id == accepted.update_id:
                return UpdateAnswer(run, accepted.update_id, accepted.update_name, event)
        if request.waits:
            self._raise_unfinished(run, _Waiting(Future(), run, accepted.update_id, accepted.update_name))
        return UpdateAnswer(run, accepted.update_id, accepted.update_name)

    def _raise_unfinished(self, run: RunState, waiting: _Waiting) -> None:
        message = f"the execution closed as {run.status} before the update had ended"
        failure = Failure(message=message, info={"type": "AcceptedUpdateCompletedWorkflow", "non_retryable": True})
        self._raise(run, waiting.update_name, waiting.update_id, failure)

    def _raise(self, run: RunState, name: str, update_id: str, failure: Failure, rejected: bool = False) -> None:
        raise WorkflowUpdateFailedError(
            run.workflow_id, name, update_id, failure.headline(), rejected
        ) from exception_of_failure(failure, self._converter)


def _accepted_event(history: list[HistoryEvent], update_id: str | None) -> WorkflowExecutionUpdateAccepted | None:
    for event in history:
        if type(event) is WorkflowExecutionUpdateAccepted and event.update_id == update_id:
            return event
    return None


def _unknown(run: RunState, update_id: str) -> ClientError:
    which = f"execution {run.workflow_id!r} (run {run.run_id})"
    return ClientError(f"{which} has accepted no update with the id {update_id!r}")


def _raiser(error: BaseException) -> Callable[[], Any]:
    def find() -> Any:
        raise error

    return find
