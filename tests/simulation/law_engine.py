"""The real engine on one thread: its commits, runners and time are in the hands of a scheduler.

Nothing of the engine's logic is replaced: only its thread, its loop, the commit thread, and where attempts run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

import pytest
from law_store import MemoryStore

from nbflow.core.payloads import JsonConverter
from nbflow.engine.attempt import Attempt
from nbflow.engine.clock import RealClock
from nbflow.engine.engine import Engine, EngineOptions
from nbflow.engine.execution import RunState
from nbflow.exceptions import EngineClosedError
from nbflow.store import Batch

START = 1_800_000_000_000_000


class VirtualTime:
    """Stands in for the module ``time`` in the engine's clock: wall and monotonic time of the simulated machine."""

    def __init__(self) -> None:
        self.wall = START
        self.ticks = 0

    def time_ns(self) -> int:
        """Tell the wall clock, which may be set; a microsecond passes."""
        self.pass_by(1)
        return self.wall * 1000

    def monotonic_ns(self) -> int:
        """Tell the monotonic clock."""
        return self.ticks * 1000

    def monotonic(self) -> float:
        """Tell the monotonic clock in seconds."""
        return self.ticks / 1e6

    def pass_by(self, microseconds: int) -> None:
        """Let time pass."""
        self.wall += microseconds
        self.ticks += microseconds


class Crash(BaseException):
    """The simulated process died."""


class Scheduler(Protocol):
    """What the simulated parts tell the simulation."""

    def may_start(self, attempt: Attempt) -> None:
        """Hear that an attempt starts."""
        ...

    def commit(self, batch: Batch) -> None:
        """Make a batch durable; or the process dies before it, or right after."""
        ...

    def violated(self, law: str, text: str) -> None:
        """Hear of a broken law."""
        ...


class SimRunner:
    """Holds attempts until the simulation says how they end."""

    def __init__(self, capacity: int, scheduler: Scheduler) -> None:
        self.capacity = capacity
        self._scheduler = scheduler
        self.running: list[Attempt] = []
        self.abandoned: list[Attempt] = []

    def start(self, attempt: Attempt) -> None:
        """Take an attempt."""
        if len(self.running) < self.capacity:
            self._scheduler.may_start(attempt)
        self.running.append(attempt)

    @property
    def at_work(self) -> list[Attempt]:
        """Attempts whose code runs; those behind wait for a place."""
        return self.running[: self.capacity]

    def take(self, attempt: Attempt) -> None:
        """Let an attempt go; the next one begins."""
        index = self.running.index(attempt)
        self.running.remove(attempt)
        if index < self.capacity and len(self.running) >= self.capacity:
            self._scheduler.may_start(self.running[self.capacity - 1])

    def cancel(self, attempt: Attempt) -> None:
        """Note that an attempt is to stop."""
        attempt.cancel_requested = True

    def abandon(self, attempt: Attempt) -> None:
        """Wait no more for an attempt; it may still report."""
        attempt.is_abandoned = True
        self.take(attempt)
        self.abandoned.append(attempt)

    def close(self) -> None:
        """Nothing to stop."""


class _NoLoop:
    """Stands in for the engine's asyncio loop: whatever is asked of it, the scheduler gives turns anyway."""

    def __getattr__(self, name: str) -> Any:
        return self._nothing

    def _nothing(self, *args: Any) -> _Handle:
        return _Handle()


class _Handle:
    def cancel(self) -> None: ...


class _Store:
    """What the engine takes for its store."""

    path = ":simulated:"
    has_large_log = False

    def __init__(self, memory: MemoryStore, scheduler: Scheduler) -> None:
        self.reader = memory.reader
        self.commit = scheduler.commit


class _Queue:
    """The queue to the commit thread: one commit under way, done when the scheduler says so."""

    def __init__(self) -> None:
        self.work: list[Any] = []

    def put(self, work: Any) -> None:
        assert not self.work, "two commits under way"
        self.work.append(work)

    def get(self) -> Any:
        """Hand the work out once, then say that there is no more."""
        return self.work.pop() if self.work else None


class SimEngine(Engine):
    """An engine whose every step somebody else takes.

    Parameters
    ----------
    store
        What survives.
    options
        Limits.
    capacity
        How many attempts run at once.
    scheduler
        Hears what happens.
    """

    def __init__(self, store: MemoryStore, options: EngineOptions, capacity: int, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.urgent: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "new_event_loop", _NoLoop)
            super().__init__(_Store(store, scheduler), JsonConverter(), RealClock(), options)  # type: ignore[arg-type]
        self.runner = SimRunner(capacity, scheduler)
        for kind in self._runners:
            self._runners[kind] = self.runner
        self.journal._thread = object()  # type: ignore[assignment]
        self.queue = self.journal._queue = _Queue()  # type: ignore[assignment]
        self.submit(self._recover).add_done_callback(self._on_recovered)

    def _on_recovered(self, answer: Future[Any]) -> None:
        error = answer.exception()
        if error is not None and not isinstance(error, EngineClosedError | Crash):
            self.scheduler.violated("I15 nothing fails inside the engine", f"it could not recover: {error!r}")

    def post(self, callback: Callable[..., None], *args: Any) -> None:
        """Take a callback for the next turn."""
        self._inbox.append((callback, args))
        self._is_woken = True

    def _post_urgent(self, callback: Callable[..., None], *args: Any) -> None:
        self.urgent.append((callback, args))

    def _guarded(self, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        try:
            callback(*args)
        except Exception as error:
            self.scheduler.violated("I15 nothing fails inside the engine", f"{callback} raised {error!r}")
            raise

    def _sleep_until_next_deadline(self) -> None:
        """The scheduler looks itself."""

    def _on_problem(self, run: RunState, error: Exception) -> None:
        super()._on_problem(run, error)
        self.scheduler.violated("I15 nothing fails inside the engine", f"run {run.run_id} was parked: {error!r}")

    # What the scheduler does.

    @property
    def wants_a_turn(self) -> bool:
        """True if there is something to do without time passing."""
        due = self.deadlines.next_due
        return bool(
            self._inbox
            or self.residency.has_wanted
            or self.between.is_busy
            or (due is not None and due <= self.clock.now())
            or not (self.journal.is_idle or self.journal.in_flight)
        )

    def end_commit(self) -> None:
        """Let the commit under way end, as the commit thread would."""
        self.journal._commit_forever()
        news, self.urgent = self.urgent, []
        for callback, args in news:
            self._run_urgent(callback, args)

    def evict_all(self) -> None:
        """Let every execution leave memory that may."""
        capacity, self.residency._capacity = self.residency._capacity, 0
        self.residency.evict_surplus()
        self.residency._capacity = capacity

    def die(self) -> None:
        """End without a word; only what is committed is left."""
        for execution in list(self.residency.executions.values()):
            execution.instance.evict()
        self.residency.executions.clear()


def ask(engine: SimEngine, request: Callable[..., None], *args: Any) -> Future[Any]:
    """Post a request."""
    return engine.submit(request, *args)
