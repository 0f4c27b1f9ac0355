"""``map`` in workflow code: a call for every item, how many at a time, and when it counts as done.

Rule 1: all calls are started by one coroutine, in the order of the items; the next one starts as one ends.
Rule 2: this file knows nothing of what is called: an activity, a child workflow, anything that ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from nbflow.authoring.inside import gather, wait_here
from nbflow.core.runtime import current_runtime
from nbflow.exceptions import ConfigurationError, MapError

__all__ = ["CompletionPolicy", "MapResult", "map_calls"]

R = TypeVar("R")
_SHOWN = 3
"""Failures told in the message of a MapError."""


@dataclass(frozen=True, kw_only=True)
class CompletionPolicy:
    """When a ``map`` is done, and when it has failed.

    Parameters
    ----------
    min_successful
        Done as soon as so many calls succeeded; the others are cancelled. Failed when so many can't succeed any more.
    tolerated_failures
        Failed when more calls than this failed.
    tolerated_failure_percentage
        The same, in percent of all calls.
    """

    min_successful: int | None = None
    tolerated_failures: int | None = None
    tolerated_failure_percentage: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            kinds = (int, float) if name.endswith("percentage") else (int,)
            if value is not None and (type(value) not in kinds or value < 0):
                what = "a percentage" if name.endswith("percentage") else "a number of calls"
                msg = f"{name} must be {what}, not {value!r}"
                raise ConfigurationError(msg)

    @property
    def is_given(self) -> bool:
        """True if it says anything."""
        return any(value is not None for value in vars(self).values())

    def is_reached(self, succeeded: int) -> bool:
        """True if enough calls succeeded."""
        return self.min_successful is not None and succeeded >= self.min_successful

    def violation(self, total: int, failed: int) -> str | None:
        """Say what so many failures break; None if they are tolerated."""
        needed = self.min_successful
        if needed is not None and total - failed < needed:
            return f"{needed} had to succeed"
        if self.tolerated_failures is not None and failed > self.tolerated_failures:
            return f"{self.tolerated_failures} were tolerated"
        percentage = self.tolerated_failure_percentage
        if percentage is not None and failed * 100 > percentage * total:
            return f"{percentage:g} % were tolerated"
        return None


@dataclass(frozen=True)
class MapResult(Sequence[R], Generic[R]):
    """How a ``map`` with a completion policy ended: a sequence of what the calls returned that succeeded.

    Parameters
    ----------
    total
        How many calls there were to make.
    succeeded
        What calls returned, by position of the item.
    failed
        Exceptions of calls that failed, by position.
    cancelled
        Positions of calls that were cancelled, or not begun, because the policy had been decided.
    """

    total: int
    succeeded: Mapping[int, R] = field(default_factory=dict)
    failed: Mapping[int, BaseException] = field(default_factory=dict)
    cancelled: Sequence[int] = ()

    @property
    def results(self) -> list[R]:
        """What the calls returned that succeeded, in order of the items."""
        return list(self.succeeded.values())

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> list[R]: ...
    def __getitem__(self, index: int | slice) -> R | list[R]:
        return self.results[index]

    def __iter__(self) -> Iterator[R]:
        return iter(self.succeeded.values())

    def __len__(self) -> int:
        return len(self.succeeded)


def map_calls(
    name: str,
    start: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    *,
    policy: CompletionPolicy | None = None,
    max_concurrency: int | None = None,
    return_exceptions: bool = False,
) -> Any:
    """Make calls from workflow code and wait for them.

    Parameters
    ----------
    name
        What is called, for errors.
    start
        Begins one call; returns a future that can be cancelled.
    calls
        Arguments of each.
    policy
        When it is done; default when all succeeded, or one failed.
    max_concurrency
        So many at a time at most; default all at once.
    return_exceptions
        True to return failures and not raise.

    Returns
    -------
    list, MapResult, or an Awaitable of it
        Results in order of the calls; with a policy, a MapResult.

    Raises
    ------
    MapError
        When the policy is violated; its cause is the first failure.
    ConfigurationError
        When an option makes no sense.
    """
    current_runtime(f"{name}.map")
    if max_concurrency is not None and (type(max_concurrency) is not int or max_concurrency < 1):
        msg = f"{name}.map: max_concurrency must be a number of calls, at least 1, not {max_concurrency!r}"
        raise ConfigurationError(msg)
    with_policy = policy is not None and policy.is_given
    if max_concurrency is None and not with_policy:
        return gather(*[start(*call) for call in calls], return_exceptions=return_exceptions)
    mapping = _Mapping(name, start, calls, policy if policy and with_policy else None, return_exceptions)
    return wait_here(mapping.run(max_concurrency or len(calls)))


class _Mapping:
    """One ``map`` under way."""

    def __init__(
        self,
        name: str,
        start: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        policy: CompletionPolicy | None,
        return_exceptions: bool,
    ) -> None:
        self._name = name
        self._start = start
        self._calls = calls
        self._policy = policy
        self._return_exceptions = return_exceptions
        self._under_way: dict[int, Any] = {}
        self._ended: list[int] = []
        self._wake: Any = None
        self._succeeded: dict[int, Any] = {}
        self._failed: dict[int, BaseException] = {}
        self._cancelled: list[int] = []

    async def run(self, at_a_time: int) -> Any:
        """Make the calls."""
        try:
            problem = await self._make_calls(at_a_time)
        except BaseException:
            await self._cancel_rest()
            raise
        await self._cancel_rest()
        return self._outcome(problem)

    async def _make_calls(self, at_a_time: int) -> str | None:
        """Make the calls until it is decided; returns what broke the policy."""
        waiting = iter(range(len(self._calls)))
        problem = self._policy.violation(len(self._calls), 0) if self._policy else None
        while problem is None and not self._is_decided():
            while len(self._under_way) < at_a_time and (position := next(waiting, None)) is not None:
                self._begin(position)
            if not self._under_way:
                break
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
            problem = self._take_ended()
        return problem

    def _begin(self, position: int) -> None:
        future = self._under_way[position] = asyncio.ensure_future(self._start(*self._calls[position]))

        def on_end(_: Any) -> None:
            self._ended.append(position)
            if self._wake is not None and not self._wake.done():
                self._wake.set_result(None)

        future.add_done_callback(on_end)

    def _is_decided(self) -> bool:
        return self._policy is not None and self._policy.is_reached(len(self._succeeded))

    def _take_ended(self) -> str | None:
        """Sort the calls that ended; returns what broke the policy, and raises where there is none."""
        ended, self._ended = self._ended, []
        for position in ended:
            future = self._under_way.pop(position)
            error = _error_of(future)
            if error is None:
                self._succeeded[position] = future.result()
                continue
            self._failed[position] = error
            if self._policy is not None:
                problem = self._policy.violation(len(self._calls), len(self._failed))
                if problem is not None:
                    return problem
            elif not self._return_exceptions:
                raise error
        return None

    async def _cancel_rest(self) -> None:
        """Cancel what is under way and wait until it has ended."""
        rest, self._under_way = self._under_way, {}
        for future in rest.values():
            future.cancel()
        if any(not future.done() for future in rest.values()):
            await asyncio.wait(list(rest.values()))
        for position, future in rest.items():
            error = _error_of(future)  # asked for, so that nobody complains that it was not
            if error is None:  # it could not be stopped any more
                self._succeeded[position] = future.result()
        done = {*self._succeeded, *self._failed}
        self._cancelled = [position for position in range(len(self._calls)) if position not in done]

    def _outcome(self, problem: str | None) -> Any:
        if self._policy is None:
            return [self._succeeded[i] if i in self._succeeded else self._failed[i] for i in range(len(self._calls))]
        result: MapResult[Any] = MapResult(
            len(self._calls), dict(sorted(self._succeeded.items())), dict(sorted(self._failed.items())), self._cancelled
        )
        if problem is None or self._return_exceptions:
            return result
        raise self._error(problem, result)

    def _error(self, problem: str, result: MapResult[Any]) -> MapError:
        shown = "; ".join(f"item {i}: {error}" for i, error in list(self._failed.items())[:_SHOWN])
        more = "" if len(self._failed) <= _SHOWN else "; …"
        msg = (
            f"{self._name}.map: {len(self._failed)} of {len(self._calls)} calls failed where {problem} "
            f"({len(self._succeeded)} succeeded, {len(self._cancelled)} were cancelled): {shown}{more}"
        )
        error = MapError(msg, result)
        error.__cause__ = next(iter(self._failed.values()), None)
        return error


def _error_of(future: Any) -> BaseException | None:
    if future.cancelled():
        return asyncio.CancelledError("the call was cancelled")
    error: BaseException | None = future.exception()
    return error
