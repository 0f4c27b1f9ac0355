"""Planted bugs: each is one mistake that an engine could make, and that the law must notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from law_store import MemoryReader, MemoryStore

from nbflow.core.embedded_runtime import EmbeddedRuntime
from nbflow.engine.activities import Activities
from nbflow.engine.interpreter import Interpreter
from nbflow.engine.journal import Journal
from nbflow.engine.requests import Requests
from nbflow.engine.residency import Residency
from nbflow.store import Batch

Patch = pytest.MonkeyPatch


def actions_do_not_wait(patch: Patch) -> None:
    """Activities start before what schedules them is durable."""
    patch.setattr(Journal, "after_commit", lambda self, action, *args: self._run(action, args))


def answers_do_not_wait(patch: Patch) -> None:
    """Callers hear before it is durable."""
    patch.setattr(Journal, "answer", lambda self, answer, value=None: answer.set_result(value))


def signals_come_twice(patch: Patch) -> None:
    """A signal is delivered again."""
    deliver = Interpreter.deliver

    def twice(self: Interpreter, execution: Any, make: Any) -> None:
        probe = type(make(1, 1)[-1]).__name__
        deliver(self, execution, make)
        if probe == "WorkflowExecutionSignaled" and execution.run.status == "Running":
            deliver(self, execution, make)

    patch.setattr(Interpreter, "deliver", twice)


def commits_tear(patch: Patch) -> None:
    """Of a large batch only the first half reaches the log."""
    commit = MemoryStore.commit

    def torn(self: MemoryStore, batch: Batch) -> None:
        if len(batch.events) > 3:
            batch = Batch(events=batch.events[: len(batch.events) // 2], definitions=batch.definitions)
        commit(self, batch)

    patch.setattr(MemoryStore, "commit", torn)


def timers_are_early(patch: Patch) -> None:
    """A timer that comes back from the log fires a second too early."""
    start = Interpreter.start_timer

    def early(self: Interpreter, execution: Any, event: Any) -> None:
        start(self, execution, event)
        deadline = execution.deadlines.pop(event.event_id)
        due, args = deadline.due - 1_000_000, deadline.args
        deadline.cancel()
        execution.deadlines[event.event_id] = self._deadlines.add(due, self.fire_timer, *args)

    patch.setattr(Interpreter, "start_timer", early)


def lost_attempts_do_not_count(patch: Patch) -> None:
    """After a crash the attempt under way runs again under its own number."""
    patch.setattr(Activities, "_lose", lambda self, task: self._enqueue(task))


def retries_are_not_authorised(patch: Patch) -> None:
    """No dispatch row is written."""
    dispatch = Activities._dispatch

    def unwritten(self: Activities, task: Any, kind: str) -> None:
        dispatch(self, task, kind)
        self.journal.batch.dispatches.clear()

    patch.setattr(Activities, "_dispatch", unwritten)


def late_reports_count(patch: Patch) -> None:
    """What an abandoned attempt reports settles its activity, once more."""
    settle = Activities._settle

    def again(self: Activities, task: Any, make: Any) -> None:
        was_settled = task.state == "Settled"
        settle(self, task, make)
        if not was_settled and task.execution.run.status == "Running":
            self._interpreter.deliver(task.execution, make)

    patch.setattr(Activities, "_settle", again)


def chance_is_not_recorded(patch: Patch) -> None:
    """A replay draws other random numbers, and takes another time."""
    count = iter(range(10**9))
    patch.setattr(EmbeddedRuntime, "now", lambda self: _Stamp(next(count)))


class _Stamp:
    def __init__(self, number: int) -> None:
        self._number = number

    def isoformat(self) -> str:
        """Tell another time whenever asked."""
        return str(self._number)


def sleepers_are_forgotten(patch: Patch) -> None:
    """Nobody looks for the deadlines of executions that are not in memory."""
    patch.setattr(MemoryReader, "due", lambda self, until: [])
    patch.setattr(Residency, "_wake", lambda self, run_id: None)


def ids_are_not_unique(patch: Patch) -> None:
    """A second start with an id in use starts a second execution."""
    patch.setattr(Requests, "_existing", lambda self, run, options: None)


def closed_ones_take_signals(patch: Patch) -> None:
    """A signal that comes just after the end is recorded behind it."""
    close = Interpreter.close

    def with_more(self: Interpreter, execution: Any, event: Any) -> None:
        close(self, execution, event)
        from nbflow.core.events import WorkflowExecutionSignaled
        from nbflow.core.payloads import Payload

        late = WorkflowExecutionSignaled(
            event_id=execution.next_event_id, event_time=event.event_time, signal_name="go", input=Payload("[]")
        )
        self.append(execution, late)

    patch.setattr(Interpreter, "close", with_more)


def backoff_is_forgotten(patch: Patch) -> None:
    """After a restart a failed activity is tried again at once."""
    pending = MemoryReader._pending
    patch.setattr(MemoryReader, "_pending", lambda *args: pending(*args)._replace(next_attempt_time=None))


MUTANTS: dict[Callable[[Patch], None], set[str]] = {
    actions_do_not_wait: {"I5"},
    answers_do_not_wait: {"I9"},
    signals_come_twice: {"I10"},
    commits_tear: {"I1", "I2", "I5", "I7", "I8", "I14", "I15", "I9"},
    timers_are_early: {"I11"},
    lost_attempts_do_not_count: {"I5", "I6", "I7"},
    retries_are_not_authorised: {"I5"},
    late_reports_count: {"I2", "I4", "I7", "I15"},
    chance_is_not_recorded: {"I13"},
    sleepers_are_forgotten: {"I14"},
    ids_are_not_unique: {"I16"},
    closed_ones_take_signals: {"I3"},
    backoff_is_forgotten: {"I11"},
}
"""Each mistake, and the laws that tell of it."""
