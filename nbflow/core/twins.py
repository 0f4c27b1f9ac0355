"""Deterministic twins of what Python knows of time, chance and identity: they ask the execution.

Where no workflow code runs (inside ``nbflow.side_effect``, or when a twin was handed to somebody
else) a twin does what its original does.
"""

from __future__ import annotations

import asyncio
import builtins
import datetime as dt
import functools
import random as random_module
import sys
import time as time_module
import types
import uuid as uuid_module
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from nbflow.core.bridge import block_on, in_workflow_greenlet
from nbflow.core.runtime import Runtime, runtime_or_none
from nbflow.exceptions import NondeterminismError

__all__ = ["TWINS", "pair_late_modules", "workflow_print"]


def workflow_print(
    *values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
) -> None:
    """Print once, however often history is replayed."""
    runtime = runtime_or_none()
    if runtime is not None:
        if runtime.is_replaying:
            return
        if file is None:
            runtime.log(20, (" " if sep is None else sep).join(map(str, values)))
    builtins.print(*values, sep=sep, end=end, file=file, flush=flush)


def _twin(original: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that asks the execution, if it is called by workflow code."""

    @functools.wraps(original)
    def twin(*args: Any, **kwargs: Any) -> Any:
        runtime = runtime_or_none()
        return original(*args, **kwargs) if runtime is None else answer(runtime, *args, **kwargs)

    return twin


class _TwinModule(types.ModuleType):
    """A module some of whose functions ask the execution; the rest is the module's own."""

    def __init__(self, module: types.ModuleType, functions: Mapping[str, Any]) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(functions)
        self.__dict__["_module"] = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_module"], name)


# Time.


def _seconds(runtime: Runtime, *_: Any) -> float:
    return runtime.now().timestamp()


def _nanoseconds(runtime: Runtime, *_: Any) -> int:
    return round(_seconds(runtime) * 1_000_000) * 1000


def _sleep(runtime: Runtime, seconds: float) -> None:
    if not in_workflow_greenlet():
        msg = "time.sleep() would block an async def workflow; write 'await nbflow.sleep(...)'"
        raise NondeterminismError(msg)
    block_on(runtime.sleep(seconds))


def _localtime(runtime: Runtime, seconds: float | None = None) -> time_module.struct_time:
    return time_module.localtime(_seconds(runtime) if seconds is None else seconds)


def _gmtime(runtime: Runtime, seconds: float | None = None) -> time_module.struct_time:
    return time_module.gmtime(_seconds(runtime) if seconds is None else seconds)


def _ctime(runtime: Runtime, seconds: float | None = None) -> str:
    return time_module.ctime(_seconds(runtime) if seconds is None else seconds)


def _strftime(runtime: Runtime, fmt: str, when: Any = None) -> str:
    return time_module.strftime(fmt, _localtime(runtime) if when is None else when)


_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
_TIME: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_CLOCKS, _seconds),
    **dict.fromkeys((f"{name}_ns" for name in _CLOCKS), _nanoseconds),
    "sleep": _sleep,
    "localtime": _localtime,
    "gmtime": _gmtime,
    "ctime": _ctime,
    "strftime": _strftime,
}


class _InstanceOfOriginal(type):
    """Values made elsewhere are instances too."""

    _original: type

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls._original)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls._original)


class _Datetime(dt.datetime, metaclass=_InstanceOfOriginal):
    _original = dt.datetime

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return dt.datetime(*args, **kwargs)  # noqa: DTZ001  as the user wrote it

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        runtime = runtime_or_none()
        if runtime is None:
            return dt.datetime.now(tz)  # noqa: TID251  not workflow code
        return dt.datetime.fromtimestamp(_seconds(runtime), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(dt.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()

    @classmethod
    def fromtimestamp(cls, timestamp: float, tz: dt.tzinfo | None = None) -> Any:
        return dt.datetime.fromtimestamp(timestamp, tz)

    @classmethod
    def fromisoformat(cls, text: str) -> Any:
        return dt.datetime.fromisoformat(text)

    @classmethod
    def strptime(cls, text: str, fmt: str) -> Any:
        return dt.datetime.strptime(text, fmt)  # noqa: DTZ007  as the user wrote it

    @classmethod
    def combine(cls, *args: Any, **kwargs: Any) -> Any:
        return dt.datetime.combine(*args, **kwargs)


class _Date(dt.date, metaclass=_InstanceOfOriginal):
    _original = dt.date

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return dt.date(*args, **kwargs)

    @classmethod
    def today(cls) -> Any:
        return _Datetime.now().date()

    @classmethod
    def fromisoformat(cls, text: str) -> Any:
        return dt.date.fromisoformat(text)


# Chance and identity.


def _drawing(name: str) -> Callable[..., Any]:
    def draw(runtime: Runtime, *args: Any, **kwargs: Any) -> Any:
        return getattr(runtime.random(), name)(*args, **kwargs)

    return draw


class _Random(random_module.Random, metaclass=_InstanceOfOriginal):
    """Without a seed, it is seeded by the execution's own generator."""

    _original = random_module.Random

    def __new__(cls, x: Any = None) -> Any:
        runtime = runtime_or_none()
        return random_module.Random(x if x is not None or runtime is None else runtime.random().getrandbits(64))


def _uuid4(runtime: Runtime) -> uuid_module.UUID:
    return uuid_module.UUID(int=runtime.random().getrandbits(128), version=4)


def _refused(name: str, instead: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        msg = f"{name}() is not the same in every replay; use {instead} in workflow code"
        raise NondeterminismError(msg)

    return refuse


_RANDOM: dict[str, Callable[..., Any]] = {
    **{name: _drawing(name) for name in random_module.__all__ if name[0].islower()},
    "SystemRandom": _refused("random.SystemRandom", "nbflow.random()"),
}
_UUID: dict[str, Callable[..., Any]] = {
    "uuid4": _uuid4,
    **{name: _refused(f"uuid.{name}", "nbflow.uuid4()") for name in ("uuid1", "uuid6", "uuid7")},
}


# Waiting.


def _as_completed(_: Runtime, futures: Iterable[Any], *, timeout: float | None = None) -> Any:
    """Give asyncio.as_completed futures in a fixed order: it would make tasks in the order of a set."""
    return asyncio.as_completed([asyncio.ensure_future(future) for future in futures], timeout=timeout)


def _run(_: Runtime, main: Coroutine[Any, Any, Any], **__: Any) -> Any:
    """Let a plain ``def`` workflow call asyncio.run: it waits on the loop that there is."""
    if not in_workflow_greenlet():
        main.close()
        msg = "asyncio.run() can't be called from a running event loop; write 'await' instead"
        raise RuntimeError(msg)
    return block_on(asyncio.ensure_future(main))


_ASYNCIO: dict[str, Callable[..., Any]] = {"as_completed": _as_completed, "run": _run}


_DRAW = "nbflow.random()"
_ACTIVITIES = "activities, which run beside each other"
_REFUSED_LATE = {
    "secrets": dict.fromkeys(
        ("choice", "randbelow", "randbits", "token_bytes", "token_hex", "token_urlsafe", "SystemRandom"), _DRAW
    ),
    "threading": dict.fromkeys(("Thread", "Timer"), _ACTIVITIES),
    "concurrent.futures": dict.fromkeys(("ThreadPoolExecutor", "ProcessPoolExecutor"), _ACTIVITIES),
}
"""What is refused of modules that this one does not import: paired once somebody has imported them."""


def _pair(module: types.ModuleType, answers: Mapping[str, Callable[..., Any]], classes: Mapping[str, type]) -> None:
    """Pair a module, its functions and classes, by identity, with their twins."""
    twins: dict[str, Any] = dict(classes)
    for name, answer in answers.items():
        if hasattr(module, name):
            twins[name] = _twin(getattr(module, name), answer)
    TWINS[id(module)] = _TwinModule(module, twins)
    TWINS.update({id(getattr(module, name)): twin for name, twin in twins.items()})


def pair_late_modules() -> None:
    """Pair the modules that somebody has imported since."""
    for module in [name for name in _REFUSED_LATE if name in sys.modules]:
        refused = _REFUSED_LATE.pop(module)
        _pair(sys.modules[module], {name: _refused(f"{module}.{name}", use) for name, use in refused.items()}, {})


TWINS: dict[int, Any] = {}
"""By identity of the original."""

_pair(time_module, _TIME, {})
_pair(dt, {}, {"datetime": _Datetime, "date": _Date})
_pair(random_module, _RANDOM, {"Random": _Random})
_pair(uuid_module, _UUID, {})
_pair(asyncio, _ASYNCIO, {})
