"""The journal: what happened since the last commit, and what may happen once it is durable.

Group commit: while one batch is being committed on the commit thread, everything that happens
gathers in the next. Whatever waits for durability (a caller, an activity's start) is an action
that runs on the engine's thread after its batch is durable.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from nbflow.core.events import HistoryEvent
from nbflow.exceptions import StoreError
from nbflow.store import Batch

__all__ = ["Action", "Journal", "Transaction", "refuse"]

_LARGEST_INLINE = 32
"""Events; a larger batch is worth the two hops to the commit thread and back."""

_FULL = 3000
"""Events in a batch: more would make commits long and keep executions in memory that could leave it."""

Action = tuple[Callable[..., None], tuple[Any, ...]]


class _Commits(Protocol):
    def commit(self, batch: Batch) -> None: ...
    def commit_transaction(self, cursor: Any, batch: Batch) -> None: ...
    @property
    def may_be_tidied(self) -> bool: ...
    def tidy(self) -> None: ...


class Transaction(Protocol):
    """Writes of user code that commit together with the events that tell of them."""

    @property
    def cursor(self) -> Any:
        """The cursor with the transaction open."""
        ...

    def events(self) -> list[tuple[str, str, HistoryEvent, bool]] | None:
        """Make the events, at the moment when the commit begins; None if nobody wants them any more."""
        ...

    def committed(self) -> None:
        """Hear that all of it is durable, before anything else happens."""
        ...

    def refused(self, error: StoreError) -> None:
        """Hear that it was not committed, and why."""
        ...

    def dropped(self) -> None:
        """Hear that it was not tried, because there were no events."""
        ...


class Journal:
    """Gathers events and rows, and has them committed.

    Parameters
    ----------
    store
        Commits a batch durably.
    post
        Hands a callback to the engine's thread.
    on_failure
        Hears, on the engine's thread, that a commit failed; nothing is committed after that.
    run
        Runs an action so that an error in it stops no other.
    """

    def __init__(
        self,
        store: _Commits,
        post: Callable[..., None],
        on_failure: Callable[[BaseException], None],
        run: Callable[[Callable[..., None], tuple[Any, ...]], None],
    ) -> None:
        self._store = store
        self._post = post
        self._on_failure = on_failure
        self._run = run
        self._actions: list[Action] = []
        self._answers: list[tuple[Future[Any], Callable[[], Any]]] = []
        self._answers_in_flight: list[tuple[Future[Any], Callable[[], Any]]] = []
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._transactions: deque[Transaction] = deque()
        self._commits_transaction = False
        self._thread: threading.Thread | None = None
        self.batch = Batch()
        self.sequence = 1
        """Number of the batch that gathers now."""
        self.committed = 0
        """Number of the last durable batch."""
        self.in_flight = False
        self.failed = False
        self._batch_in_flight = Batch()

    @property
    def is_full(self) -> bool:
        """True if the engine must wait for the commit under way.

        So much waits for it already; or it is that of a transaction, which may fail, so that nothing may build on it.
        """
        return self.in_flight and (self._commits_transaction or len(self.batch.events) >= _FULL)

    @property
    def is_idle(self) -> bool:
        """True if everything that happened is durable."""
        return not (self.in_flight or self.batch or self._actions or self._answers or self._transactions)

    def event(self, run_id: str, workflow_id: str, event: HistoryEvent, *, deferred: bool = False) -> None:
        """Take down an event."""
        self.batch.events.append((run_id, workflow_id, event, deferred))

    def not_durable_yet(self, run_id: str) -> list[HistoryEvent]:
        """Return the events of a run that the log may lack, in order."""
        batches = [self._batch_in_flight, self.batch] if self.in_flight else [self.batch]
        return [event for batch in batches for run, _, event, _ in batch.events if run == run_id]

    def after_commit(self, action: Callable[..., None], *args: Any) -> None:
        """Run an action on the engine's thread once all taken down so far is durable."""
        self._actions.append((action, args))

    def transact(self, transaction: Transaction) -> None:
        """Have a transaction committed behind all that was taken down so far; one a commit."""
        self._transactions.append(transaction)

    def answer(self, answer: Future[Any], value: Any = None) -> None:
        """Resolve a caller's future once all taken down so far is durable; fail it if that fails."""
        self._answers.append((answer, lambda: value))

    def answer_later(self, answer: Future[Any], find: Callable[[], Any]) -> None:
        """Resolve a caller's future with what ``find`` then finds, or raises."""
        self._answers.append((answer, find))

    def flush(self, *, inline: bool = False) -> None:
        """Have what gathered committed, unless a commit is under way: its end flushes again.

        Parameters
        ----------
        inline
            True to commit on the calling thread: quicker when the engine has nothing else to do.
        """
        if self.in_flight or self.failed or self.is_idle:
            return
        batch, actions = self.batch, self._actions
        self.batch, self._actions = Batch(), []
        self._answers_in_flight, self._answers = self._answers, []
        self.sequence += 1
        self.in_flight = True
        self._batch_in_flight = batch
        work = _Work(batch, actions)
        if self._transactions:
            self._take_transaction(work)
        if not batch and work.transaction is None:
            self._committed(work)
            return
        if inline and work.transaction is None and len(batch.events) <= _LARGEST_INLINE:
            self._commit_inline(work)
            return
        self._hand_over(work)

    def tidy(self) -> None:
        """Work the log into the file, if nothing waits to be committed."""
        if self.is_idle and not self.failed and self._store.may_be_tidied:
            self.in_flight = True
            self._hand_over(_Work(Batch(), []))

    def _hand_over(self, work: _Work) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._commit_forever, name="nbflow-commit", daemon=True)
            self._thread.start()
        self._queue.put(work)

    def _take_transaction(self, work: _Work) -> None:
        """Let the next transaction that is still wanted share the commit."""
        while self._transactions:
            transaction = self._transactions.popleft()
            events = transaction.events()
            if events is not None:
                work.transaction, work.events = transaction, events
                self._commits_transaction = True
                return
            self._run(transaction.dropped, ())

    def _commit_inline(self, work: _Work) -> None:
        try:
            self._store.commit(work.batch)
        except BaseException as error:  # noqa: BLE001  handed to the engine, which stops
            self.fail(error)
        else:
            self._committed(work)

    def _commit_forever(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                if work.transaction is not None:
                    self._commit_transaction(work, work.transaction)
                elif work.batch:
                    self._store.commit(work.batch)
                else:
                    self._store.tidy()
            except BaseException as error:  # noqa: BLE001  handed to the engine, which stops
                self._post(self.fail, error)
            else:
                self._post(self._committed, work)

    def _commit_transaction(self, work: _Work, transaction: Transaction) -> None:
        """Commit the batch and the transaction together; if that can't be, the batch alone."""
        together = replace(work.batch, events=work.batch.events + work.events)
        try:
            self._store.commit_transaction(transaction.cursor, together)
        except StoreError as error:
            work.refusal = error
            if work.batch:
                self._store.commit(work.batch)

    def _committed(self, work: _Work) -> None:
        self.in_flight = self._commits_transaction = False
        self.committed = self.sequence - 1
        if work.transaction is not None:
            if work.refusal is None:
                self._run(work.transaction.committed, ())
            else:
                self._run(work.transaction.refused, (work.refusal,))
        answers, self._answers_in_flight = self._answers_in_flight, []
        for answer, find in answers:
            _resolve(answer, find)
        for action, args in work.actions:
            self._run(action, args)
        self.flush()

    def fail(self, error: BaseException) -> None:
        """Commit no more: everybody who waits is told, and the engine stops."""
        self.in_flight = self._commits_transaction = False
        self.failed = True
        for answer, _ in (*self._answers_in_flight, *self._answers):
            refuse(answer, error)
        self._on_failure(error)

    def stop(self) -> None:
        """End the commit thread after the commit under way."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None


@dataclass(slots=True)
class _Work:
    """One commit."""

    batch: Batch
    actions: list[Action]
    transaction: Transaction | None = None
    events: list[tuple[str, str, HistoryEvent, bool]] = field(default_factory=list)
    """The transaction's."""
    refusal: StoreError | None = None
    """Why the transaction was not committed."""


def refuse(answer: Future[Any], error: BaseException) -> None:
    """Fail a caller's future, unless it has its answer or the caller has given up."""
    if not answer.done() and answer.set_running_or_notify_cancel():
        answer.set_exception(error)


def _resolve(answer: Future[Any], find: Callable[[], Any]) -> None:
    if answer.done() or not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(find())
    except Exception as error:  # noqa: BLE001  the caller's to handle
        answer.set_exception(error)
