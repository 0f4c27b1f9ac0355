"""Children: started for their parents, told of to them when they close, and seen to when a parent closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nbflow.core.child_effects import ALREADY_EXISTS
from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.events import (
    ChildWorkflowExecutionCanceled,
    ChildWorkflowExecutionCompleted,
    ChildWorkflowExecutionFailed,
    ChildWorkflowExecutionStarted,
    ChildWorkflowExecutionTerminated,
    ChildWorkflowExecutionTimedOut,
    HistoryEvent,
    StartChildWorkflowExecutionFailed,
    StartChildWorkflowExecutionInitiated,
    WorkflowExecutionCanceled,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionTimedOut,
)
from nbflow.core.run_times import expiration
from nbflow.engine.clock import new_run_id, new_seed
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.parts import Parts
from nbflow.engine.requests import Requests
from nbflow.exceptions import MissingDefinitionError
from nbflow.store import LogRow

if TYPE_CHECKING:
    from nbflow.engine.between import Between

__all__ = ["Children"]

_BY_POLICY = "by parent close policy"


class Children:
    """Starts children, tells their parents, and applies parent close policies.

    Parameters
    ----------
    parts
        The engine's parts.
    requests
        Finds and takes in executions.
    between
        The queue that all of this goes through.
    identity
        Who this process is, for the history.
    """

    def __init__(self, parts: Parts, requests: Requests, between: Between, identity: str) -> None:
        self._clock = parts.clock
        self._reader = parts.reader
        self._journal = parts.journal
        self._interpreter = parts.interpreter
        self._definitions = parts.definitions
        self._requests = requests
        self._between = between
        self._identity = identity
        self._parents: dict[tuple[str, int], WorkflowExecutionStarted] = {}
        """First events of closed parents whose last children have not started yet, by run and initiated_event_id."""
        self._lacking: list[tuple[RunState, StartChildWorkflowExecutionInitiated]] = []

    # Starting.

    def keep_definition(self, initiated: StartChildWorkflowExecutionInitiated) -> None:
        """Take down the code that a child will run, in the batch that says so."""
        definition = REGISTRY.by_hash("workflow", initiated.definition_hash)
        if definition is not None:
            self._definitions.store(definition)

    def keep_parent(
        self, started: WorkflowExecutionStarted, initiated: StartChildWorkflowExecutionInitiated, run_id: str
    ) -> None:
        """Remember the parent of a child that starts after its parent has closed."""
        self._parents[run_id, initiated.event_id] = started

    def start(self, parent: RunState, initiated: StartChildWorkflowExecutionInitiated) -> None:
        """Start a child and tell its parent, in one batch; or say why it can't be."""
        number = initiated.event_id
        execution = self._between.resident(parent)
        if execution is None:
            if parent.is_open or not self._between.is_wished(parent, number):
                return
            self._start_for_closed(parent, initiated)
            return
        child = execution.instance.relations.children.get(number)
        if child is None or child.state != "Initiated":
            return
        try:
            definition = self._definition(initiated)
        except MissingDefinitionError as error:
            self._wait_for_definition(parent, initiated, error)
            return
        if self._is_refused(parent, initiated):
            self._refuse(execution, initiated)
            return
        begun = self._launch(execution.started, parent, initiated, definition)
        self._interpreter.deliver(
            execution,
            lambda event_id, now: [
                ChildWorkflowExecutionStarted(
                    event_id=event_id,
                    event_time=now,
                    initiated_event_id=number,
                    workflow_id=begun.workflow_id,
                    run_id=begun.run_id,
                    workflow_type=initiated.workflow_type,
                )
            ],
        )
        self._interpreter.begin(begun)

    def _start_for_closed(self, parent: RunState, initiated: StartChildWorkflowExecutionInitiated) -> None:
        """Start a child that was asked for in its parent's last moment, to go on without it."""
        try:
            definition = self._definition(initiated)
        except MissingDefinitionError as error:
            self._wait_for_definition(parent, initiated, error)
            return
        if not self._is_refused(parent, initiated):
            started = self._parents.pop((parent.run_id, initiated.event_id), None)
            if started is None:
                first = self._reader.histories([parent.run_id])[parent.run_id][0]
                assert isinstance(first, WorkflowExecutionStarted)
                started = first
            self._interpreter.begin(self._launch(started, parent, initiated, definition))
        self._between.fulfil(parent, initiated.event_id)

    def _definition(self, initiated: StartChildWorkflowExecutionInitiated) -> Definition:
        name, hash_ = initiated.workflow_type, initiated.definition_hash
        definition = self._definitions.workflow(hash_, name) if hash_ else self._definitions.latest_workflow(name)
        if definition is None:
            msg = f"no workflow {name!r} is defined in this process or in the store; run its cell"
            raise MissingDefinitionError(msg)
        return definition

    def _wait_for_definition(
        self, parent: RunState, initiated: StartChildWorkflowExecutionInitiated, error: MissingDefinitionError
    ) -> None:
        self._lacking.append((parent, initiated))
        message = f"child workflow {initiated.workflow_id!r} can't start yet: {error}"
        self._journal.batch.logs.append(
            LogRow(parent.run_id, parent.workflow_id, None, None, self._clock.now(), "ERROR", "nbflow.engine", message)
        )

    def look_again(self) -> None:
        """Something was defined: try those again that lacked it."""
        lacking, self._lacking = self._lacking, []
        for parent, initiated in lacking:
            self._between.add(self.start, parent, initiated)

    def _is_refused(self, parent: RunState, initiated: StartChildWorkflowExecutionInitiated) -> bool:
        """Say whether the child's id is taken, or used up by its reuse policy."""
        workflow_id = initiated.workflow_id
        if workflow_id.startswith(f"{parent.workflow_id}/") and workflow_id.endswith(parent.run_id[-6:]):
            return False  # made up, so it is new
        existing = self._requests.latest([workflow_id]).get(workflow_id)
        if existing is None:
            return False
        if existing.is_open or initiated.workflow_id_reuse_policy == "REJECT_DUPLICATE":
            return True
        return initiated.workflow_id_reuse_policy == "ALLOW_DUPLICATE_FAILED_ONLY" and existing.status == "Completed"

    def _refuse(self, execution: Execution, initiated: StartChildWorkflowExecutionInitiated) -> None:
        self._interpreter.deliver(
            execution,
            lambda event_id, now: [
                StartChildWorkflowExecutionFailed(
                    event_id=event_id,
                    event_time=now,
                    initiated_event_id=initiated.event_id,
                    workflow_id=initiated.workflow_id,
                    workflow_type=initiated.workflow_type,
                    cause=ALREADY_EXISTS,
                )
            ],
        )

    def _launch(
        self,
        parent_started: WorkflowExecutionStarted,
        parent: RunState,
        initiated: StartChildWorkflowExecutionInitiated,
        definition: Definition,
    ) -> Execution:
        now = self._clock.now()
        run = RunState(new_run_id(now), initiated.workflow_id, definition.name, "Running", definition.hash)
        timeout = initiated.workflow_execution_timeout
        started = WorkflowExecutionStarted(
            event_id=1,
            event_time=now,
            workflow_type=definition.name,
            workflow_id=initiated.workflow_id,
            input=initiated.input,
            keyword_input=initiated.keyword_input,
            definition_hash=definition.hash,
            random_seed=new_seed(),
            run_key=parent_started.run_key,
            workflow_execution_timeout=timeout,
            workflow_run_timeout=initiated.workflow_run_timeout,
            workflow_execution_expiration_time=expiration(now, timeout),
            first_workflow_task_backoff=initiated.start_delay,
            retry_policy=initiated.retry_policy,
            memo=initiated.memo,
            search_attributes=initiated.search_attributes,
            summary=initiated.summary,
            on_error=initiated.on_error,
            parent_workflow_id=parent.workflow_id,
            parent_run_id=parent.run_id,
            parent_initiated_event_id=initiated.event_id,
            root_workflow_id=parent_started.root_workflow_id or parent.workflow_id,
            root_run_id=parent_started.root_run_id or parent.run_id,
            priority=parent_started.priority,
            identity=self._identity,
        )
        return self._requests.take_in(run, definition, started)

    # Telling the parent.

    def tell_parent(self, run: RunState, started: WorkflowExecutionStarted, event: HistoryEvent) -> None:
        """Have a parent told how its child closed, unless another run of the child follows."""
        if getattr(event, "new_execution_run_id", None):
            return
        parent = self._requests.find(started.parent_workflow_id or "", started.parent_run_id)
        if parent.is_open and started.parent_initiated_event_id is not None:
            self._between.add(self._tell, parent, started.parent_initiated_event_id, run.run_id, event)

    def _tell(self, parent: RunState, initiated_event_id: int, run_id: str, closing: HistoryEvent) -> None:
        if not parent.is_open:
            return
        execution = self._between.resident(parent)
        if execution is None:
            self._between.when_resident(parent, self._tell, parent, initiated_event_id, run_id, closing)
            return
        child = execution.instance.relations.children.get(initiated_event_id)
        if child is None or child.state != "Started":
            return
        cls, details = _outcome(closing)
        self._interpreter.deliver(
            execution,
            lambda event_id, now: [
                cls(
                    event_id=event_id,
                    event_time=now,
                    initiated_event_id=initiated_event_id,
                    started_event_id=child.started_event_id,
                    workflow_id=child.workflow_id,
                    run_id=run_id,
                    workflow_type=child.workflow_type,
                    **details,
                )
            ],
        )

    def look_after(self, parents: Sequence[Execution]) -> None:
        """Find children of parents that came back which closed meanwhile."""
        asked: dict[str, tuple[RunState, set[str]]] = {}
        for parent in parents:
            workflow_ids = {
                child.workflow_id
                for child in parent.instance.relations.children.values()
                if child.state == "Started" and not self._is_known_open(child.run_id)
            }
            if workflow_ids:
                asked[parent.run_id] = (parent.run, workflow_ids)
        if asked:
            workflow_ids = set().union(*(ids for _, ids in asked.values()))
            for parent_run_id, number, run_id, closing in self._reader.closed_children(list(workflow_ids), list(asked)):
                if not getattr(closing, "new_execution_run_id", None):
                    self._between.add(self._tell, asked[parent_run_id][0], number, run_id, closing)

    def _is_known_open(self, run_id: str | None) -> bool:
        run = self._requests.known(run_id or "")
        return run is not None and run.is_open

    # When a parent closes.

    def forsake(self, parent: RunState, initiated: StartChildWorkflowExecutionInitiated, run_id: str | None) -> None:
        """Apply the parent close policy to a child that runs."""
        if initiated.parent_close_policy != "ABANDON":
            self._between.add(
                self.apply_policy,
                initiated.workflow_id,
                run_id,
                initiated.parent_close_policy,
                (parent.workflow_id, parent.run_id),
            )

    def apply_policy(self, workflow_id: str, run_id: str, policy: str, parent: tuple[str, str]) -> None:
        """End, or ask to cancel, the child of a parent that has closed."""
        run = self._requests.chains.newest(self._requests.find(workflow_id, run_id))
        if not run.is_open:
            return
        if policy == "TERMINATE":
            self._requests.end(run, _BY_POLICY)
            return
        execution = self._between.resident(run)
        if execution is None:
            self._between.when_resident(run, self.apply_policy, workflow_id, run_id, policy, parent)
        elif not execution.instance.cancel_requested:
            self._interpreter.deliver(
                execution,
                lambda event_id, now: [
                    WorkflowExecutionCancelRequested(
                        event_id=event_id,
                        event_time=now,
                        cause=_BY_POLICY,
                        identity=self._identity,
                        external_workflow_id=parent[0],
                        external_run_id=parent[1],
                    )
                ],
            )

    def see_to_unseen(self, run: RunState, history: Sequence[HistoryEvent], closing: HistoryEvent) -> None:
        """Do for an execution that closed without being in memory what others do for themselves."""
        open_children: dict[int, StartChildWorkflowExecutionInitiated] = {}
        run_ids: dict[int, str] = {}
        for event in history:
            if isinstance(event, StartChildWorkflowExecutionInitiated):
                open_children[event.event_id] = event
            elif isinstance(event, ChildWorkflowExecutionStarted):
                run_ids[event.initiated_event_id] = event.run_id
            elif type(event) in _OUTCOMES:
                run_ids.pop(event.initiated_event_id, None)  # type: ignore[attr-defined]
        for number, run_id in run_ids.items():
            self.forsake(run, open_children[number], run_id)
        started = history[0]
        if isinstance(started, WorkflowExecutionStarted) and started.parent_run_id:
            self.tell_parent(run, started, closing)


def _outcome(closing: HistoryEvent) -> tuple[Any, dict[str, Any]]:
    """Return the event that tells a parent how a child closed, and what it tells beside the child's identity."""
    match closing:
        case WorkflowExecutionCompleted():
            return ChildWorkflowExecutionCompleted, {"result": closing.result}
        case WorkflowExecutionFailed():
            return ChildWorkflowExecutionFailed, {"failure": closing.failure, "retry_state": closing.retry_state}
        case WorkflowExecutionCanceled():
            return ChildWorkflowExecutionCanceled, {"details": closing.details}
        case WorkflowExecutionTimedOut():
            return ChildWorkflowExecutionTimedOut, {"retry_state": closing.retry_state}
        case WorkflowExecutionTerminated():
            return ChildWorkflowExecutionTerminated, {}
    raise AssertionError(closing)


_OUTCOMES = frozenset(
    {
        ChildWorkflowExecutionCompleted,
        ChildWorkflowExecutionFailed,
        ChildWorkflowExecutionCanceled,
        ChildWorkflowExecutionTimedOut,
        ChildWorkflowExecutionTerminated,
    }
)
