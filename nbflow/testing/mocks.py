"""Activities exchanged for the time of a test: what the engine runs in their place, and what it was called with."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from nbflow.core.activity_context import current_activity
from nbflow.core.definitions import Definition
from nbflow.exceptions import ConfigurationError

__all__ = ["ActivityMock", "Answers", "MockCall"]

_Raised = BaseException | type[BaseException]


@dataclass(frozen=True)
class MockCall:
    """One attempt that a mock answered.

    Parameters
    ----------
    args, kwargs
        What the workflow passed; keyword arguments that have a position are among ``args``.
    attempt
        Which try of its activity, from 1.
    workflow_id, run_id
        Who asked.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    attempt: int
    workflow_id: str
    run_id: str


class Answers:
    """What a mock does in the place of the activity: exactly one of returning, raising, or asking something else.

    Parameters
    ----------
    name
        Of the activity, for errors.
    returns
        The result of every call.
    raises
        An exception, or its class, raised by every call.
    side_effect
        Called with the activity's arguments; or an iterable of what each call gives in turn, exceptions raised.
    """

    def __init__(self, name: str, returns: Any, raises: _Raised | None, side_effect: Any) -> None:
        if (returns is not None) + (raises is not None) + (side_effect is not None) > 1:
            msg = f"mock of {name}: give one of returns, raises and side_effect, not several"
            raise ConfigurationError(msg)
        self._name = name
        self._returns = returns
        self._raises = raises
        self._function: Callable[..., Any] | None = side_effect if callable(side_effect) else None
        self._series: Iterator[Any] | None = None
        if side_effect is not None and self._function is None:
            if not isinstance(side_effect, Iterable):
                msg = f"mock of {name}: side_effect is a function or an iterable of answers, not {side_effect!r}"
                raise ConfigurationError(msg)
            self._series = iter(side_effect)

    def next(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Answer one call; what is awaitable is awaited by the caller."""
        if self._raises is not None:
            # one instance for many calls must not gather all their frames
            raise self._raises if isinstance(self._raises, type) else self._raises.with_traceback(None)
        if self._function is not None:
            return self._function(*args, **kwargs)
        if self._series is None:
            return self._returns
        try:
            answer = next(self._series)
        except StopIteration:
            msg = f"the mock of {self._name} was called more often than it has answers"
            raise AssertionError(msg) from None
        if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
            raise answer
        return answer


class ActivityMock:
    """An activity that is exchanged until the end of a ``with`` block, of :meth:`restore`, or of the environment.

    Made by :meth:`WorkflowEnvironment.mock`.

    Parameters
    ----------
    original
        The activity's definition.
    answers
        What to do in its place.
    times
        How many attempts to answer; the activity itself answers those that follow. Default all.
    on_restore
        Puts back what was there.
    """

    def __init__(
        self, original: Definition, answers: Answers, times: int | None, on_restore: Callable[[ActivityMock], None]
    ) -> None:
        if times is not None and times < 1:
            msg = f"mock of {original.name}: times must be at least 1, got {times}"
            raise ConfigurationError(msg)
        self.name = original.name
        self.calls: list[MockCall] = []
        """Every attempt that was answered, in order of their starts."""
        self._original = original
        self._answers = answers
        self._times = times
        self._on_restore = on_restore
        self._lock = threading.Lock()
        self._takes_cursor = original.options.get("run_in") == "transaction"
        if self._takes_cursor and times is not None:
            msg = f"mock of {original.name}: a transaction can't be mocked for the first times only; leave times out"
            raise ConfigurationError(msg)
        self.definition = Definition(
            kind="activity",
            name=original.name,
            function=self._run_async if original.is_async else self._run,
            hash=original.hash,
            options={name: value for name, value in original.options.items() if name != "run_in"},
        )
        """What the engine runs."""

    def restore(self) -> None:
        """Put the activity back; safe to call twice."""
        self._on_restore(self)

    @property
    def called(self) -> bool:
        """True if it answered at least once."""
        return bool(self.calls)

    def _is_mine(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Note the call; False if the activity itself is to answer."""
        cursor = (None,) if self._takes_cursor else ()
        inspect.signature(self._original.function).bind(*cursor, *args, **kwargs)
        info = current_activity("a mocked activity").info
        with self._lock:
            if self._times is not None and len(self.calls) >= self._times:
                return False
            self.calls.append(MockCall(args, kwargs, info.attempt, info.workflow_id, info.run_id))
            return True

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        if not self._is_mine(args, kwargs):
            return self._original.function(*args, **kwargs)
        answer = self._answers.next(args, kwargs)
        return asyncio.run(_awaited(answer)) if inspect.isawaitable(answer) else answer

    async def _run_async(self, *args: Any, **kwargs: Any) -> Any:
        if not self._is_mine(args, kwargs):
            return await self._original.function(*args, **kwargs)
        answer = self._answers.next(args, kwargs)
        return await answer if inspect.isawaitable(answer) else answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    def __repr__(self) -> str:
        return f"<mock of activity {self.name}, {len(self.calls)} calls>"


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer
