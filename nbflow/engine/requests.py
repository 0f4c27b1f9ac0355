"""What callers ask of the engine: start, signal, query, cancel, terminate, wait.

Each request runs on the engine's thread and answers through a future, once what it did is durable.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from nbflow.core.definitions import Definition
from nbflow.core.events import (
    CLOSING_EVENTS,
    HistoryEvent,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
)
from nbflow.core.instance import WorkflowInstance
from nbflow.core.options import WorkflowOptions
from nbflow.core.payloads import Payload
from nbflow.core.replay import replay
from nbflow.engine.clock import new_run_id
from nbflow.engine.closings import Closings
from nbflow.engine.execution import ChainOf, Execution, RunState
from nbflow.engine.journal import refuse
from nbflow.engine.parts import Parts
from nbflow.engine.residency import Residency
from nbflow.engine.starts import Start, started_event
from nbflow.exceptions import (
    ClientError,
    WorkflowAlreadyStartedError,
    WorkflowClosedError,
    WorkflowNotFoundError,
)
from nbflow.store import RunRow

if TYPE_CHECKING:
    from nbflow.engine.chains import Chains
    from nbflow.engine.updates import Updates

__all__ = ["Requests", "Start", "require_text"]

Answer = Future[Any]


class Requests:
    """Serves callers, on the engine's thread.

    Parameters
    ----------
    parts
        The engine's parts.
    residency
        Brings executions into memory.
    problems
        Why parked executions can't go on, by run id.
    run_key
        The headless run this process belongs to, if any.
    identity
        Who this process is, for the history.
    """

    def __init__(
        self, parts: Parts, residency: Residency, problems: dict[str, Exception], run_key: str | None, identity: str
    ) -> None:
        self._clock = parts.clock
        self._reader = parts.reader
        self._converter = parts.converter
        self._journal = parts.journal
        self._interpreter = parts.interpreter
        self._definitions = parts.definitions
        self._residency = residency
        self._problems = problems
        self._run_key = run_key
        self._identity = identity
        self._latest: dict[str, RunState] = {}
        self._ordinals: Counter[str] = Counter()
        self._waiting: dict[str, list[Answer]] = {}
        self._waiting_for_time: list[Answer] = []
        self._closings = Closings(parts.journal, residency.forget)
        self.suspension: Callable[[RunState], Exception | None] = lambda run: None  # noqa: ARG005
        """Tells why a run will not close by itself, if it is suspended."""
        residency.on_forgotten = self._on_forgotten
        self.updates: Updates
        self.on_end: Callable[[RunState, HistoryEvent], None] = lambda run, event: None  # noqa: ARG005
        """Hears, before the commit, of every execution that closed."""
        self.chains: Chains
        self.on_closed_unseen: Callable[[RunState, HistoryEvent], None]
        """Hears of an execution that was closed without being in memory."""

    @property
    def anyone_waits(self) -> bool:
        """True if a caller waits for an execution to close, or for an update."""
        waiting = any(not answer.done() for answers in self._waiting.values() for answer in answers)
        return waiting or self.updates.anyone_waits

    def _on_forgotten(self, run: RunState) -> None:
        if self._latest.get(run.workflow_id) is run:
            del self._latest[run.workflow_id]

    # Starting.

    def start(self, definition: Definition, starts: Sequence[Start], answer: Answer) -> None:
        """Start executions of one definition; answers with their runs."""
        self._definitions.store(definition)
        ids = [self._workflow_id(definition, start) for start in starts]
        self._look_up([workflow_id for workflow_id, is_new in ids if not is_new])
        try:
            runs = [
                self._start_one(definition, start, workflow_id)
                for start, (workflow_id, _) in zip(starts, ids, strict=True)
            ]
        except ClientError as error:
            self._journal.answer_later(answer, _raiser(error))
        else:
            self._journal.answer(answer, runs)

    def start_now(self, definition: Definition, start: Start, workflow_id: str) -> RunState:
        """Start an execution whose id was looked up; for schedules."""
        self._definitions.store(definition)
        return self._start_one(definition, start, workflow_id)

    def latest(self, workflow_ids: list[str]) -> dict[str, RunState]:
        """Return the newest run of each workflow id that has one."""
        self._look_up(workflow_ids)
        return {workflow_id: self._latest[workflow_id] for workflow_id in workflow_ids if workflow_id in self._latest}

    def known(self, run_id: str) -> RunState | None:
        """Return what is in memory of a run."""
        return self._residency.runs.get(run_id)

    def _workflow_id(self, definition: Definition, start: Start) -> tuple[str, bool]:
        """Return the execution's id, and whether it is surely new."""
        if start.options.id is not None:
            return str(start.options.id), False
        if self._run_key is None:
            return f"{definition.name}-{new_run_id(self._clock.now())[-12:]}", True
        keywords = start.keyword_input.text if start.keyword_input else ""
        digest = hashlib.sha256(f"{start.input.text}\0{keywords}".encode()).hexdigest()[:12]
        base = f"{self._run_key}/{definition.name}/{digest}"
        self._ordinals[base] += 1
        return f"{base}/{self._ordinals[base]}", False

    def _look_up(self, workflow_ids: list[str]) -> None:
        unknown = [workflow_id for workflow_id in workflow_ids if workflow_id not in self._latest]
        if unknown:
            for workflow_id, row in self._reader.latest_runs(unknown).items():
                self._latest[workflow_id] = self._known(
                    RunState(row.run_id, workflow_id, row.workflow_type, row.status, row.definition_hash)
                )

    def know(self, rows: Sequence[RunRow]) -> None:
        """Take note of open executions that nobody has asked for yet."""
        for row in rows:
            run = RunState(row.run_id, row.workflow_id, row.workflow_type, row.status, row.definition_hash)
            self._latest.setdefault(row.workflow_id, self._known(run))
        self._residency.expect(row.run_id for row in rows if row.status == "Running")

    def _known(self, run: RunState) -> RunState:
        run.definition_hash = self._residency.pins.latest(run.run_id, run.definition_hash)
        return self._residency.runs.setdefault(run.run_id, run)

    def _start_one(self, definition: Definition, start: Start, workflow_id: str) -> RunState:
        options = start.options
        existing = self._latest.get(workflow_id)
        if existing is not None:
            kept = self._existing(existing, options)
            if kept is not None:
                return kept
        now = self._clock.now()
        run = RunState(new_run_id(now), workflow_id, definition.name, "Running", definition.hash)
        event = started_event(definition, start, run, now, (self._run_key, self._identity))
        execution = self.take_in(run, definition, event)
        if start.signal is not None:
            execution.start_signal = self._signaled(*start.signal, 2, now, with_start=True)
            delayed = event.first_workflow_task_backoff is not None
            self._interpreter.append(execution, execution.start_signal, deferred=delayed)
        self._interpreter.begin(execution)
        return run

    def take_in(self, run: RunState, definition: Definition, event: WorkflowExecutionStarted) -> Execution:
        """Take in a new run, the newest of its workflow id from now on; it has not begun yet."""
        self.adopt(run)
        instance = WorkflowInstance(run.run_id, definition, self._converter)
        execution = Execution(run, definition, instance, event)
        self._residency.add(execution)
        self._interpreter.append(execution, event)
        return execution

    def start_or_attach(self, definition: Definition, start: Start) -> tuple[RunState, bool]:
        """Return the run that a start leads to, and whether it is a new one."""
        self._definitions.store(definition)
        workflow_id, is_surely_new = self._workflow_id(definition, start)
        if not is_surely_new:
            self._look_up([workflow_id])
        before = self._latest.get(workflow_id)
        run = self._start_one(definition, start, workflow_id)
        return run, run is not before

    def _signaled(
        self, name: str, args: Payload, event_id: int, now: int, *, with_start: bool | None = None
    ) -> WorkflowExecutionSignaled:
        return WorkflowExecutionSignaled(
            event_id=event_id,
            event_time=now,
            signal_name=name,
            input=args,
            with_start=with_start,
            identity=self._identity,
        )

    def _existing(self, run: RunState, options: WorkflowOptions) -> RunState | None:
        """Return the run that an id policy keeps; None if a new one is to be started."""
        if run.is_open:
            if options.id_conflict == "attach":
                return run
            if options.id_conflict == "fail":
                raise WorkflowAlreadyStartedError(run.workflow_id, run.run_id, run.workflow_type)
            self._terminate(run, "terminated by a new start with the same id")
            return None
        if options.id_reuse == "reject":
            raise WorkflowAlreadyStartedError(run.workflow_id, run.run_id, run.workflow_type)
        return run if options.id_reuse in (None, "failed_only") and run.status == "Completed" else None

    def adopt(self, run: RunState) -> None:
        """Take note of a new run."""
        self._latest[run.workflow_id] = self._residency.runs[run.run_id] = run

    def end(self, run: RunState, reason: str) -> None:
        """Terminate an open run."""
        self._terminate(run, reason)

    # Requests to one execution.

    def find(self, workflow_id: str, run_id: str | None) -> RunState:
        """Find an execution.

        Raises
        ------
        WorkflowNotFoundError
            When there is none.
        """
        if run_id is not None:
            run = self._residency.runs.get(run_id)
            if run is None:
                row = self._reader.run(run_id)
                if row is None or (workflow_id and row.workflow_id != workflow_id):
                    raise WorkflowNotFoundError(workflow_id, run_id)
                run = self._known(
                    RunState(str(run_id), row.workflow_id, row.workflow_type, row.status, row.definition_hash)
                )
            return self.chains.newest(run) if isinstance(run_id, ChainOf) else run
        found = self.latest([workflow_id]).get(workflow_id)
        if found is None:
            raise WorkflowNotFoundError(workflow_id)
        return found

    def describe(self, workflow_id: str, run_id: str | None, answer: Answer) -> None:
        """Answer with the run's state."""
        run = self.find(workflow_id, run_id)
        self._journal.answer(answer, run)

    def history(self, workflow_id: str, run_id: str | None, answer: Answer) -> None:
        """Answer with the events so far, once they are durable."""
        run = self.find(workflow_id, run_id)
        self._journal.answer_later(answer, lambda: self._reader.histories([run.run_id]).get(run.run_id, []))

    def with_execution(self, run: RunState, answer: Answer, action: Callable[[Execution], None]) -> None:
        """Act on an open execution once it is in memory; refuses the answer if that fails."""

        def act(execution: Execution | None) -> None:
            if execution is not None:
                self._problems.pop(run.run_id, None)
                self._interpreter.begin_if_due(execution)
            if execution is None or not run.is_open:
                problem = self._problems.get(run.run_id) or self._residency.stopped
                refuse(answer, problem or WorkflowClosedError(run.workflow_id, run.run_id, run.status))
                return
            try:
                action(execution)
            except Exception as error:  # noqa: BLE001  the caller's to handle
                refuse(answer, error)

        self._residency.when_resident(run, act)

    def signal(self, workflow_id: str, run_id: str | None, name: str, args: Payload, answer: Answer) -> None:
        """Take down a signal and let the workflow react; answers when it is durable."""
        require_text("the name of a signal", name)
        run = self.find(workflow_id, run_id)
        if not run.is_open:
            raise WorkflowClosedError(run.workflow_id, run.run_id, run.status)

        def act(execution: Execution) -> None:
            self._interpreter.deliver(execution, lambda event_id, now: [self._signaled(name, args, event_id, now)])
            self._journal.answer(answer, None)

        self.with_execution(run, answer, act)

    def cancel(self, workflow_id: str, run_id: str | None, reason: str, answer: Answer) -> None:
        """Ask an execution to cancel; nothing happens if it has closed or was asked before."""
        require_text("the reason of a cancellation", reason)
        run = self.find(workflow_id, run_id)
        if run.status == "Imported":
            raise WorkflowClosedError(run.workflow_id, run.run_id, run.status)
        if not run.is_open:
            answer.set_result(False)
            return

        def act(execution: Execution) -> None:
            if not execution.instance.cancel_requested:
                self._interpreter.deliver(
                    execution,
                    lambda event_id, now: [
                        WorkflowExecutionCancelRequested(
                            event_id=event_id, event_time=now, cause=reason, identity=self._identity
                        )
                    ],
                )
            self._journal.answer(answer, True)

        self.with_execution(run, answer, act)

    def terminate(self, workflow_id: str, run_id: str | None, reason: str, answer: Answer) -> None:
        """End an execution; its code does not run, so it need not even be rebuilt."""
        require_text("the reason of a termination", reason)
        run = self.find(workflow_id, run_id)
        if not run.is_open:
            raise WorkflowClosedError(run.workflow_id, run.run_id, run.status)
        self._terminate(run, reason)
        self._journal.answer(answer, None)

    def _terminate(self, run: RunState, reason: str) -> None:
        execution = self._residency.executions.get(run.run_id)
        if execution is not None:
            self._interpreter.deliver(
                execution,
                lambda event_id, now: [
                    WorkflowExecutionTerminated(
                        event_id=event_id, event_time=now, reason=reason, identity=self._identity
                    )
                ],
            )
            return
        row = self._reader.run(run.run_id)
        if row is None:
            raise WorkflowNotFoundError(run.workflow_id, run.run_id)
        event = WorkflowExecutionTerminated(
            event_id=max(row.history_length, run.last_event_id) + 1,
            event_time=self._time_of_end(run, row),
            reason=reason,
            identity=self._identity,
        )
        run.last_event_id = event.event_id
        self._journal.event(run.run_id, run.workflow_id, event)
        run.status = "Terminated"
        self._problems.pop(run.run_id, None)
        self.on_closed_event(run, event)
        self.on_closed_unseen(run, event)

    def _time_of_end(self, run: RunState, row: RunRow) -> int:
        """Return now; for what has not begun, a time within its start delay, as for all that ends one."""
        now = self._clock.now()
        if max(row.history_length, run.last_event_id) > 1:
            return now
        (started,) = self._reader.histories([run.run_id])[run.run_id]
        assert isinstance(started, WorkflowExecutionStarted)
        backoff = started.first_workflow_task_backoff
        return now if not backoff else min(now, started.event_time + round(backoff * 1_000_000) - 1)

    def query(self, workflow_id: str, run_id: str | None, name: str, args: Sequence[Any], answer: Answer) -> None:
        """Answer a query; a closed execution is rebuilt for it, in memory."""
        run = self.find(workflow_id, run_id)
        if run.is_open:

            def act(execution: Execution) -> None:
                with self._interpreter.watched(execution):
                    found = self._query(execution.instance, name, args)
                self._journal.answer(answer, found)

            self.with_execution(run, answer, act)
            return
        self._journal.answer_later(answer, lambda: self._query_closed(run, name, args))

    def _query_closed(self, run: RunState, name: str, args: Sequence[Any]) -> Any:
        history = self._reader.histories([run.run_id]).get(run.run_id, [])
        definition = self._definitions.workflow(run.definition_hash, run.workflow_type)
        instance = WorkflowInstance(run.run_id, definition, self._converter)
        try:
            replay(instance, [event for event in history if type(event) not in CLOSING_EVENTS])
            return self._query(instance, name, args)
        finally:
            instance.evict()

    def _query(self, instance: WorkflowInstance, name: str, args: Sequence[Any]) -> Any:
        """Ask a handler, and let its answer take the way through the codec: the caller is on another thread."""
        return self._converter.decode(self._converter.encode(instance.query(name, args)))

    # Waiting for the end.

    def wait_closed(self, workflow_id: str, run_id: str | None, answer: Answer) -> None:
        """Answer with the closing event, now or when it is durable."""
        run = self.find(workflow_id, run_id)
        problem = self._problems.get(run.run_id)
        if problem is not None:
            raise problem
        if run.status == "Imported":
            raise WorkflowClosedError(run.workflow_id, run.run_id, run.status)
        suspension = self.suspension(run)
        if suspension is not None:
            self._journal.answer_later(answer, _raiser(suspension))
            return
        if run.is_open:
            others = [other for other in self._waiting.get(run.run_id, ()) if not other.done()]
            self._waiting[run.run_id] = [*others, answer]
            return
        if run.closing_event is not None:
            self._journal.answer(answer, run.closing_event)
            return
        self._journal.answer_later(answer, lambda: self._closing_event(run))

    def _closing_event(self, run: RunState) -> HistoryEvent:
        history = self._reader.histories([run.run_id]).get(run.run_id)
        if not history:
            raise WorkflowNotFoundError(run.workflow_id, run.run_id)
        return history[-1]

    def on_closed(self, execution: Execution, event: HistoryEvent) -> None:
        """Tell those who wait, once the closing event is durable."""
        self.updates.note_unfinished(execution)
        self._residency.remove(execution)
        self.on_closed_event(execution.run, event)

    def on_closed_event(self, run: RunState, event: HistoryEvent) -> None:
        """Tell those who wait, once the closing event is durable."""
        self._closings.add(run, event)
        self.on_end(run, event)
        waiting = self._waiting.pop(run.run_id, None)
        if waiting:
            following, staying = self.chains.still_waiting(waiting, event)
            if staying:
                self._waiting[following] = staying
            for answer in waiting:
                if answer not in staying:
                    self._journal.answer(answer, event)
        self.updates.on_closed(run)

    def on_problem(self, run: RunState, error: Exception) -> None:
        """Tell those who wait that the execution can't go on as it is."""
        self._problems[run.run_id] = error
        for answer in self._waiting.pop(run.run_id, ()):
            refuse(answer, error)
        self.updates.on_problem(run, error)

    def tell_waiting(self, run: RunState, error: Exception) -> None:
        """Tell those who wait for a run why it will not close by itself, once that is durable."""
        for answer in self._waiting.pop(run.run_id, ()):
            self._journal.answer_later(answer, _raiser(error))
        self.updates.tell_waiting(run, error)

    def wait_for_time(self, answer: Answer) -> None:
        """Note somebody who waits for the clock, not for an execution, to be told if the engine stops."""
        self._waiting_for_time = [other for other in self._waiting_for_time if not other.done()] + [answer]

    def fail_all(self, error: BaseException) -> None:
        """Tell everybody who waits that the engine has stopped."""
        waiting, self._waiting = {**self._waiting, "": self._waiting_for_time}, {}
        for answers in waiting.values():
            for answer in answers:
                refuse(answer, error)
        self.updates.fail_all(error)


def require_text(what: str, value: object) -> None:
    """Refuse at the door what would make the commit of everybody's events fail."""
    try:
        str.encode(value)  # type: ignore[arg-type]
    except (TypeError, UnicodeEncodeError) as error:
        msg = f"{what} must be text, not {value!r}"
        raise ClientError(msg) from error


def _raiser(error: BaseException) -> Callable[[], Any]:
    def find() -> Any:
        raise error

    return find
