"""A store and engine for tests, on a clock that skips: ``sleep("30 days")`` takes milliseconds."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from nbflow.client import Client, use_client
from nbflow.core.durations import Duration, parse_duration
from nbflow.engine.clock import SkippingClock
from nbflow.engine.engine import EngineOptions

__all__ = ["WorkflowEnvironment"]

_ALL_THE_FUTURE = 100 * 365 * 86400.0
"""Seconds: on a clock that skips, every deadline is near."""


class WorkflowEnvironment:
    """A context manager that makes a test store the default.

    While a caller waits for a result and nothing else runs, the clock jumps to the next deadline.
    Time also passes as usual.

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
        self.clock = SkippingClock(None if start is None else round(start.timestamp() * 1_000_000))
        self._options = options or EngineOptions(look_ahead=_ALL_THE_FUTURE)
        self.client: Client
        self._previous: Client | None = None

    def __enter__(self) -> Self:
        self.client = Client(self._path, self.clock, self._options)
        self._previous = use_client(self.client)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        use_client(self._previous)

    def now(self) -> datetime:
        """Return the environment's time, UTC."""
        return datetime.fromtimestamp(self.clock.now() / 1_000_000, UTC)

    def sleep(self, duration: Duration) -> None:
        """Let time pass: every deadline on the way is met in order.

        Parameters
        ----------
        duration
            How long.
        """
        self.client.engine.call(self.client.engine.skip, round(parse_duration(duration) * 1_000_000))
