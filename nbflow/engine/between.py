"""What executions owe each other: kept in a queue, seen to in the same turn, found again after a restart.

Rule 1: whatever one execution's event brings about in another one goes through this queue, never directly: an
execution reacts to one event at a time.
Rule 2: both sides are written in one batch. What is on its way when the process ends is found by SQL, and since
both sides are there or neither, it is done once.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from nbflow.core.events import CLOSING_EVENTS, HistoryEvent, StartChildWorkflowExecutionInitiated
from nbflow.engine.children import Children
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.external_requests import ExternalRequests
from nbflow.engine.parts import Parts
from nbflow.engine.requests import Requests
from nbflow.engine.residency import Residency
from nbflow.store import NoteRow, Owed

__all__ = ["Between"]

_ITEMS_PER_TURN = 2000
_ROUNDS = 50

Work = Callable[..., None]


class Between:
    """The queue of what executions owe each other.

    Parameters
    ----------
    parts
        The engine's parts.
    requests
        Finds and takes in executions.
    residency
        Brings executions into memory.
    run
        Runs a piece of work so that an error in it stops no other.
    identity
        Who this process is, for the history.
    """

    def __init__(
        self,
        parts: Parts,
        requests: Requests,
        residency: Residency,
        run: Callable[[Work, tuple[Any, ...]], None],
        identity: str,
    ) -> None:
        self._clock = parts.clock
        self._reader = parts.reader
        self._journal = parts.journal
        self._interpreter = parts.interpreter
        self._requests = requests
        self._residency = residency
        self._run = run
        self._queue: deque[tuple[Work, tuple[Any, ...]]] = deque()
        self._returned: list[Execution] = []
        self._stalled: dict[str, list[tuple[Work, tuple[Any, ...]]]] = {}
        """Work that needs an execution which can't come back as it is, by run id."""
        self._last_wishes: set[tuple[str, int]] = set()
        """What closed executions asked for and nobody has seen to yet: run and initiated_event_id."""
        self.has_relations = False
        """True if any execution in the store ever had to do with another one."""
        self.children = Children(parts, requests, self, identity)
        self.externals = ExternalRequests(parts, requests, self)
        parts.interpreter.between = self
        requests.on_closed_unseen = self.closed_unseen
        residency.on_returned = self.returned

    # The queue.

    @property
    def is_busy(self) -> bool:
        """True if there is something to do."""
        return bool(self._queue or self._returned)

    def add(self, work: Work, *args: Any) -> None:
        """Have something done before the turn ends."""
        self._queue.append((work, args))

    def settle(self) -> None:
        """Do what is to be done, and bring executions back for it, as far as one turn goes."""
        done = 0
        for _ in range(_ROUNDS):
            if self._returned:
                self._look_after_returned()
            while self._queue and done < _ITEMS_PER_TURN:
                work, args = self._queue.popleft()
                self._run(work, args)
                done += 1
            if not self._residency.has_wanted or done >= _ITEMS_PER_TURN:
                break
            self._residency.load_wanted()

    def resident(self, run: RunState) -> Execution | None:
        """Return an execution that is in memory; have it brought there if it is not."""
        execution = self._residency.executions.get(run.run_id)
        if execution is None and run.is_open:
            # once there, it finds by itself what it asked for and has no outcome
            self._residency.when_resident(run, _nothing)
        return execution

    def when_resident(self, run: RunState, work: Work, *args: Any) -> None:
        """Do something when an execution is in memory again; it may take until somebody repairs it."""

        def on_return(execution: Execution | None) -> None:
            if execution is not None or not run.is_open:
                self._queue.append((work, args))
            else:
                self._stalled.setdefault(run.run_id, []).append((work, args))

        self._residency.when_resident(run, on_return)

    # Executions that come back, or close.

    def returned(self, execution: Execution) -> None:
        """An execution came back into memory."""
        if execution.instance.relations.has_pending:
            self._returned.append(execution)
        stalled = self._stalled.pop(execution.run_id, None)
        if stalled:
            self._queue.extend(stalled)

    def _look_after_returned(self) -> None:
        executions, self._returned = self._returned, []
        here = [execution for execution in executions if execution.run.is_open]
        for execution in here:
            for child in execution.instance.relations.children.values():
                if child.state == "Initiated":
                    self.add(self.children.start, execution.run, child.initiated)
            for request in execution.instance.relations.requests.values():
                self.add(self.externals.send, execution.run, request.initiated)
        self.children.look_after(here)

    def on_initiated(self, execution: Execution, event: HistoryEvent) -> None:
        """See to what an execution's code has just asked for."""
        self.has_relations = True
        if isinstance(event, StartChildWorkflowExecutionInitiated):
            self.children.keep_definition(event)
            self.add(self.children.start, execution.run, event)
        else:
            self.add(self.externals.send, execution.run, event)

    def on_closing(self, execution: Execution, event: HistoryEvent) -> None:
        """See to the children and last wishes of an execution that closes, and tell its parent."""
        relations, run = execution.instance.relations, execution.run
        if relations.has_pending:
            for child in relations.children.values():
                initiated = child.initiated
                assert initiated is not None
                if child.state == "Started":
                    self.children.forsake(run, initiated, child.run_id)
                elif initiated.parent_close_policy == "ABANDON":
                    self.children.keep_parent(execution.started, initiated, run.run_id)
                    self._wish(self.children.start, run, initiated)
            for request in relations.requests.values():
                self._wish(self.externals.send, run, request.initiated)
        if execution.started.parent_run_id:
            self.children.tell_parent(run, execution.started, event)

    def closed_unseen(self, run: RunState, event: HistoryEvent) -> None:
        """See to the relations of an execution that was closed without being in memory."""
        if self.has_relations:
            self.add(self._see_to_unseen, run, event)

    def _see_to_unseen(self, run: RunState, event: HistoryEvent) -> None:
        history = self._reader.histories([run.run_id]).get(run.run_id, [])
        history = [event for event in history if type(event) not in CLOSING_EVENTS]
        if history:
            self.children.see_to_unseen(run, history, event)

    # Last wishes.

    def _wish(self, work: Work, run: RunState, initiated: HistoryEvent) -> None:
        self._last_wishes.add((run.run_id, initiated.event_id))
        self.add(work, run, initiated)

    def is_wished(self, run: RunState, initiated_event_id: int) -> bool:
        """True if a closed execution asked for this and it has not been seen to."""
        return (run.run_id, initiated_event_id) in self._last_wishes

    def fulfil(self, run: RunState, initiated_event_id: int) -> None:
        """Note that what a closed execution asked for is seen to: its history takes no more events."""
        self._last_wishes.discard((run.run_id, initiated_event_id))
        body = json.dumps({"initiated_event_id": initiated_event_id})
        note = NoteRow(run.run_id, run.workflow_id, self._clock.now(), "RequestSettled", body)
        self._journal.batch.notes.append(note)

    # After a restart.

    def recover(self, owed: Owed) -> None:
        """Take up what was under way when the last process ended."""
        self.has_relations = owed.has_relations
        self._residency.recover(owed.unsettled_parents)
        for run_id, initiated in owed.undelivered:
            run = self._requests.find("", run_id)
            is_child = isinstance(initiated, StartChildWorkflowExecutionInitiated)
            self._wish(self.children.start if is_child else self.externals.send, run, initiated)
        for run_id, workflow_id, policy, parent_run_id, parent_workflow_id in owed.forsaken_children:
            self.add(self.children.apply_policy, workflow_id, run_id, policy, (parent_workflow_id, parent_run_id))

    def look_again(self) -> None:
        """Something was defined: children that lacked it may start."""
        self.children.look_again()


def _nothing(execution: Execution | None) -> None:
    pass
