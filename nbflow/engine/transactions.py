"""``@nbflow.transaction``: an attempt whose writes and whose outcome event are one DuckDB transaction.

The code runs in a thread, on a cursor with a transaction open. When it has returned, the engine's
thread makes the outcome events, with the ids that are next at that moment, and hands them with the
cursor to the journal. No execution moves while that commit is under way, so the ids stay right; the
workflow's code hears of the outcome only when it is durable. If the commit fails, nothing of it has
reached anybody. A conflict with another transaction makes the code run again, as the same attempt:
there is no trace of the first try anywhere. Those that met a conflict run one at a time, so that
they make way for each other.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from nbflow.core.events import HistoryEvent
from nbflow.core.failures import APPLICATION, Failure, failure_of_exception
from nbflow.core.transaction_context import open_transaction
from nbflow.engine import outcomes
from nbflow.engine.attempt import Attempt
from nbflow.engine.execution import ActivityTask, Outcome
from nbflow.engine.parts import Parts
from nbflow.engine.runners import ThreadRunner, run_in_thread
from nbflow.exceptions import StoreError
from nbflow.store import EventStore
from nbflow.store.transactions import OpenTransaction, is_conflict

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["TransactionRunner", "Transactions"]

_FIRST_PAUSE, _LONGEST_PAUSE = 1_000, 100_000
"""Microseconds before code that conflicts again and again is run once more."""


class _Activities(Protocol):
    """What this module asks of whoever runs activities."""

    def on_outcome(self, attempt: Attempt, outcome: Outcome) -> None: ...
    def finish(self, task: ActivityTask) -> None: ...


class TransactionRunner(ThreadRunner):
    """Runs attempts in threads, each on a cursor with a transaction open.

    Parameters
    ----------
    capacity
        How many run at once. Commits are one at a time, so a few are enough.
    store
        Opens transactions.
    """

    def __init__(self, capacity: int, store: EventStore) -> None:
        super().__init__(capacity)
        self._store = store

    def _execute(self, attempt: Attempt) -> Outcome:
        transaction = attempt.transaction = OpenTransaction(self._store)
        token = open_transaction.set(transaction.cursor)
        try:
            outcome = run_in_thread(attempt, transaction.cursor)
            broken = None if outcome.result is None else transaction.broken_by()
            if transaction.has_conflict:
                outcome = Outcome(conflict=True)
            elif outcome.is_left_open:
                outcome = Outcome(failure=_not_later(attempt))
            elif broken is not None:
                outcome = Outcome(failure=_aborted(attempt, broken))
        except BaseException:
            transaction.give_up()
            raise
        finally:
            open_transaction.reset(token)
        if outcome.result is None:
            transaction.give_up()
        return outcome

    def cancel(self, attempt: Attempt) -> None:
        """Interrupt the attempt's code, and the statement that it waits for."""
        super().cancel(attempt)
        with attempt.lock:
            if attempt.handle is not None:
                attempt.transaction.stop()


def _aborted(attempt: Attempt, error: Exception) -> Failure:
    """Word that the code went on after a statement had failed, so that DuckDB gave the transaction up."""
    cause = failure_of_exception(error, attempt.owner.converter)
    message = (
        f"a statement of transaction {attempt.definition.name} failed and DuckDB gave the transaction up, but the "
        f"function went on; nothing of it was written. Let the error pass, or test before you write: {error}"
    )
    return Failure(message=message, kind=APPLICATION, info={"type": "TransactionAborted"}, cause=cause)


def _not_later(attempt: Attempt) -> Failure:
    message = (
        f"transaction {attempt.definition.name} called complete_later(), but its writes commit with its outcome; "
        f"nothing of it was written. Let an ordinary activity wait to be completed"
    )
    return Failure(message=message, kind=APPLICATION, info={"type": "DefinitionError", "non_retryable": True})


class Transactions:
    """Commits what attempts wrote together with their outcome.

    Parameters
    ----------
    parts
        The engine's parts.
    activities
        Settles activities.
    runner
        Runs attempts again.
    """

    def __init__(self, parts: Parts, activities: _Activities, runner: TransactionRunner) -> None:
        self.clock = parts.clock
        self.journal = parts.journal
        self.converter = parts.converter
        self.post = parts.post
        self.interpreter = parts.interpreter
        self.activities = activities
        self._deadlines = parts.deadlines
        self._runner = runner
        self._contended: deque[Attempt] = deque()
        self._alone: Attempt | None = None
        """The one of those that met a conflict that runs."""

    def on_outcome(self, attempt: Attempt, outcome: Outcome) -> None:
        """Hear, on the engine's thread, how an attempt's code ended."""
        if outcome.conflict and _is_wanted(attempt):
            self._run_again(attempt)
        elif outcome.result is not None and _is_wanted(attempt):
            self.journal.transact(_Commit(self, attempt, outcome))
        else:
            if attempt.transaction is not None:
                attempt.transaction.give_up()
            self.end(attempt, Outcome() if outcome.conflict else outcome)

    def end(self, attempt: Attempt, outcome: Outcome) -> None:
        """Let an attempt end that has nothing to commit."""
        self._let_next_run(attempt)
        self.activities.on_outcome(attempt, outcome)

    def commit_refused(self, attempt: Attempt, error: StoreError) -> None:
        """Hear that an attempt's transaction could not be committed; nothing of it is anywhere."""
        if is_conflict(error):
            self._run_again(attempt)
        else:
            self.end(attempt, Outcome(failure=failure_of_exception(error, self.converter)))

    def committed(self, attempt: Attempt, events: list[HistoryEvent]) -> None:
        """Hear that an attempt's transaction is durable, and let the workflow react."""
        self._let_next_run(attempt)
        task = attempt.task
        self.activities.finish(task)
        self.interpreter.react(task.execution, events)

    # Conflicts.

    def _run_again(self, attempt: Attempt) -> None:
        attempt.conflicts += 1
        if attempt is self._alone:  # with one that met no conflict yet
            pause = min(_FIRST_PAUSE << min(attempt.conflicts, 10), _LONGEST_PAUSE)
            self._deadlines.add(self.clock.now() + pause, self._restart, attempt)
            return
        self._contended.append(attempt)
        if self._alone is None:
            self._take_next()

    def _let_next_run(self, attempt: Attempt) -> None:
        if attempt is self._alone:
            self._take_next()

    def _take_next(self) -> None:
        self._alone = None
        while self._contended:
            attempt = self._contended.popleft()
            if _is_wanted(attempt):
                self._alone = attempt
                self._runner.start(attempt)
                return
            self.activities.on_outcome(attempt, Outcome())

    def _restart(self, attempt: Attempt) -> None:
        if _is_wanted(attempt):
            self._runner.start(attempt)
        else:
            self.end(attempt, Outcome())


class _Commit:
    """One attempt that has returned and waits for its commit."""

    def __init__(self, owner: Transactions, attempt: Attempt, outcome: Outcome) -> None:
        self._owner = owner
        self._attempt = attempt
        self._outcome = outcome
        self._events: list[HistoryEvent] = []

    @property
    def cursor(self) -> DuckDBPyConnection:
        """The cursor with the transaction open."""
        cursor: DuckDBPyConnection = self._attempt.transaction.connection
        return cursor

    def events(self) -> list[tuple[str, str, HistoryEvent, bool]] | None:
        """Make the outcome events with the ids that are next now; None if nobody wants them any more."""
        attempt, task = self._attempt, self._attempt.task
        if not _is_wanted(attempt) or self._outcome.result is None:
            return None
        execution = task.execution
        now = self._owner.clock.now()
        self._events = outcomes.completed(task, self._outcome.result, execution.next_event_id, now)
        started, completed = self._events
        run_id, workflow_id = execution.run_id, execution.workflow_id
        # deferred: the code reacts in a later commit, or after a restart
        return [(run_id, workflow_id, started, False), (run_id, workflow_id, completed, True)]

    def committed(self) -> None:
        """It is durable."""
        self._owner.committed(self._attempt, self._events)

    def refused(self, error: StoreError) -> None:
        """It is not, and never will be."""
        self._owner.commit_refused(self._attempt, error)

    def dropped(self) -> None:
        """Nobody wants it any more."""
        self._attempt.transaction.give_up()
        self._owner.end(self._attempt, self._outcome)


def _is_wanted(attempt: Attempt) -> bool:
    task: Any = attempt.task
    return not attempt.is_abandoned and task.state == "Running" and task.running is attempt
