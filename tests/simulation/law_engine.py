"""The real engine on one thread: its commits, runners and time are in the hands of a scheduler.

Nothing of the engine's logic is replaced: only its thread, its loop, the commit thread, and where attempts run.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from law_store import MemoryStore

from nbflow.core.payloads import JsonConverter
from nbflow.engine.attempt import Attempt
from nbflow.engine.clock import RealClock
from nbflow.engine.engine import Engine, EngineOptions
from nbflow.engine.execution import RunState
from nbflow.store import Batch

START = 1_800_000_000_000_000


class VirtualTime:
    """Stands in for the module ``time`` in the engine's clock: wall and monotonic time of the simulated machine."""

    def __init__(self) -> None:
        self.wall = START
        self.ticks = 0

    def time_ns(self) -> int:
        """Tell the wall clock, which may be set."""
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

    def crash_at(self, moment: str) -> bool:
        """Say whether the process dies before, or after, this commit."""
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
    """An asyncio loop that the engine asks for turns; the scheduler gives them anyway."""

    def call_soon(self, *args: Any) -> None: ...

    call_soon_threadsafe = call_later = call_soon

    def stop(self) -> None: ...


class _Commits:
    """The queue to the commit thread: one commit under way, ended by the scheduler."""

    def __init__(self, engine: SimEngine) -> None:
        self._engine = engine

    def put(self, work: tuple[Batch, list[Any]]) -> None:
        assert self._engine.in_flight is None, "two commits under way"
        self._engine.in_flight = work


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
        self.memory = store
        self.in_flight: tuple[Batch, list[Any]] | None = None
        self.urgent: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        super().__init__(store, JsonConverter(), RealClock(), options)  # type: ignore[arg-type]
        self._loop.close()
        self._loop = _NoLoop()  # type: ignore[assignment]
        self.runner = SimRunner(capacity, scheduler)
        for kind in self._runners:
            self._runners[kind] = self.runner
        self.journal._thread = object()  # type: ignore[assignment]
        self.journal._queue = _Commits(self)  # type: ignore[assignment]
        self.recovered = self.submit(self._recover)

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

    def commit(self, batch: Batch) -> None:
        """Commit, unless the process dies before it, or right after."""
        if self.scheduler.crash_at("before a commit"):
            raise Crash
        self.memory.commit(batch)
        if self.scheduler.crash_at("after a commit"):
            raise Crash

    # What the scheduler does.

    @property
    def wants_a_turn(self) -> bool:
        """True if there is something to do without time passing."""
        due = self.deadlines.next_due
        return bool(
            self._inbox
            or self.residency.has_wanted
            or (due is not None and due <= self.clock.now())
            or not (self.journal.is_idle or self.in_flight)
        )

    def end_commit(self) -> None:
        """Let the commit under way end, as the commit thread would."""
        assert self.in_flight is not None
        (batch, actions), self.in_flight = self.in_flight, None
        self.commit(batch)
        self._run_urgent(self.journal._committed, (actions,))

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
