"""A store and engine for tests, on a clock that skips: ``sleep("30 days")`` takes milliseconds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from nbflow.client import Client, WorkflowHandle, use_client
from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.durations import Duration, parse_duration
from nbflow.engine.clock import SkippingClock
from nbflow.engine.engine import EngineOptions
from nbflow.exceptions import ConfigurationError, EngineClosedError
from nbflow.store import EventStore
from nbflow.testing.mocks import ActivityMock, Answers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WorkflowEnvironment"]

_ALL_THE_FUTURE = 100 * 365 * 86400.0
"""Seconds: on a clock that skips, every deadline is near."""


class _TestClock(SkippingClock):
    """Skips unless it is held."""

    is_held = False

    def skip_to(self, due: int) -> bool:
        """Jump to a deadline, unless it is held."""
        return not self.is_held and super().skip_to(due)


class _KeptStore(EventStore):
    """A store that outlives its engine: one in memory is gone once it closes."""

    def close(self) -> None:
        """Leave it open for the next engine."""

    def discard(self) -> None:
        """Close it for good."""
        super().close()


class WorkflowEnvironment:
    """A context manager that makes a test store the default; also as ``async with``.

    While a caller waits for a result and nothing else runs, the clock jumps to the next deadline: never while an
    activity runs, and never while nobody waits. Time also passes as usual.

    Parameters
    ----------
    store
        File of the store; default in memory.
    start
        Time to begin at; default now.
    options
        Limits of the engine.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        *,
        start: datetime | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        self._path = ":memory:" if store is None else os.fspath(store)
        self.clock = _TestClock(None if start is None else round(start.timestamp() * 1_000_000))
        self._options = options or EngineOptions(look_ahead=_ALL_THE_FUTURE)
        self.client: Client
        self._kept: _KeptStore | None = None
        self._previous: Client | None = None
        self._mocks: list[ActivityMock] = []
        self._is_open = False

    # Life.

    def open(self) -> Self:
        """Begin, as ``with`` does."""
        if self._path == ":memory:":
            self._kept = cast("_KeptStore", _KeptStore.open(self._path))
        try:
            self._open_client()
        except BaseException:
            self._discard()
            raise
        self._previous = use_client(self.client)
        self._is_open = True
        return self

    def _open_client(self) -> None:
        self.client = Client(self._kept or self._path, self.clock, self._options)
        self._install_mocks()

    def _discard(self) -> None:
        if self._kept is not None:
            self._kept.discard()
            self._kept = None

    def close(self) -> None:
        """End: mocks are gone, and what was the default store before is so again. Safe to call twice."""
        if not self._is_open:
            return
        self._is_open = False
        self._mocks.clear()
        try:
            self.client.close()
            self._discard()
        finally:
            use_client(self._previous)

    def restart(self, *, crash: bool = False) -> None:
        """Stop the engine and start another on the same store, as a restarted kernel does. Mocks stay.

        Attempts under way are lost, and run again as their policies say. Handles made before belong to the engine
        that has stopped; get new ones by :func:`nbflow.get`.

        Parameters
        ----------
        crash
            True to lose what is not durable yet, as when the process is killed; else it is committed first.
        """
        self._check_open()
        engine = self.client.engine
        if crash:
            engine.post(engine.journal.fail, EngineClosedError("the environment crashed, as the test asked for"))
        self.client.close()
        self._open_client()
        use_client(self.client)

    def _check_open(self) -> None:
        if not self._is_open:
            msg = "the test environment is not open; use it in a with block"
            raise EngineClosedError(msg)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    # Executions.

    def start(self, workflow: Any, *args: Any, **kwargs: Any) -> WorkflowHandle:
        """Start an execution and go on; ids and other options by ``workflow.options(id=...)``.

        Parameters
        ----------
        workflow
            A function marked ``@workflow``.
        *args, **kwargs
            Its arguments.

        Returns
        -------
        WorkflowHandle
            Once the start is durable.
        """
        self._check_open()
        handle: WorkflowHandle = workflow.start(*args, **kwargs)
        return handle

    def execute(self, workflow: Any, *args: Any, **kwargs: Any) -> Any:
        """Start an execution, skip to its end, and return its result."""
        return self.start(workflow, *args, **kwargs).result()

    def get(self, workflow_id: str, run_id: str | None = None) -> WorkflowHandle:
        """Return the handle of an execution, as :func:`nbflow.get`."""
        return self.client.get(workflow_id, run_id)

    def sql(self, query: str, **parameters: Any) -> pd.DataFrame:
        """Query the event log, as :func:`nbflow.sql`."""
        return self.client.sql(query, parameters)

    # Time.

    def now(self) -> datetime:
        """Return the environment's time, UTC."""
        return datetime.fromtimestamp(self.clock.now() / 1_000_000, UTC)

    def sleep(self, duration: Duration) -> None:
        """Let time pass: every deadline on the way is met in order, and activities that it starts are waited for.

        Parameters
        ----------
        duration
            How long.
        """
        self._check_open()
        was_held, self.clock.is_held = self.clock.is_held, False
        try:
            self.client.engine.call(self.client.engine.skip, round(parse_duration(duration) * 1_000_000))
        finally:
            self.clock.is_held = was_held

    skip = sleep

    async def sleep_async(self, duration: Duration) -> None:
        """Let time pass, as :meth:`sleep`, while the caller's loop goes on."""
        await asyncio.to_thread(self.sleep, duration)

    @contextmanager
    def auto_time_skipping_disabled(self) -> Iterator[None]:
        """Let only :meth:`sleep` skip time in the block: a caller that waits for a result really waits."""
        was_held, self.clock.is_held = self.clock.is_held, True
        try:
            yield
        finally:
            self.clock.is_held = was_held

    # Mocks.

    def mock(
        self,
        activity: Any,
        *,
        returns: Any = None,
        raises: BaseException | type[BaseException] | None = None,
        side_effect: Any = None,
        times: int | None = None,
    ) -> ActivityMock:
        """Exchange an activity, from now to the end of a ``with`` block or of the environment.

        Retries, timeouts and heartbeats stay those of the activity. A call outside of workflows, which is a plain
        call, is not exchanged.

        Parameters
        ----------
        activity
            The function marked ``@activity``, or its name.
        returns
            Result of every call.
        raises
            An exception, or its class, that every call raises.
        side_effect
            Called with the activity's arguments, ``def`` or ``async def``; or an iterable of answers, one a call,
            of which exceptions are raised.
        times
            How many attempts to answer; those that follow run the activity itself. Default all.

        Returns
        -------
        ActivityMock
            Its ``calls`` tell what it was called with.

        Raises
        ------
        ConfigurationError
            When there is no such activity, or the answers contradict each other.
        """
        self._check_open()
        original = self._activity(activity)
        mock = ActivityMock(original, Answers(original.name, returns, raises, side_effect), times, self._restore)
        self._mocks.append(mock)
        self._install_mocks()
        return mock

    def _activity(self, activity: Any) -> Definition:
        name = activity if isinstance(activity, str) else getattr(activity, "name", None)
        if not isinstance(activity, str) and getattr(activity, "kind", None) != "activity":
            msg = f"only an activity can be mocked, not {activity!r}; mark it with @activity"
            raise ConfigurationError(msg)
        definition = REGISTRY.current("activity", str(name))
        if definition is None:
            known = ", ".join(REGISTRY.names("activity")) or "none"
            msg = f"there is no activity {name!r} to mock; defined are: {known}"
            raise ConfigurationError(msg)
        return definition

    def _restore(self, mock: ActivityMock) -> None:
        if mock in self._mocks:
            self._mocks.remove(mock)
            self._install_mocks()

    def _install_mocks(self) -> None:
        """Tell the engine; of several mocks of one activity the last one counts."""
        self.client.engine.definitions.substitutes = {mock.name: mock.definition for mock in self._mocks}
