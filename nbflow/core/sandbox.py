"""Workflow code over rebound globals: the same names, with deterministic answers.

The function is not copied and nothing global is patched. It runs over a dictionary of its own
that looks names up in the notebook (or module) on first use, and in passing exchanges ``time``,
``datetime``, ``random`` and ``uuid`` for versions that ask the execution, and helper functions of
the same notebook for twins that run over the same dictionary.
"""

from __future__ import annotations

import asyncio
import builtins
import datetime as dt
import random as random_module
import time as time_module
import types
import uuid as uuid_module
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nbflow.core.bridge import block_on, in_workflow_greenlet
from nbflow.core.runtime import current_runtime
from nbflow.exceptions import NondeterminismError

__all__ = ["WorkflowGlobals", "rebind_function"]


class WorkflowGlobals(dict[str, Any]):
    """The globals of one execution's code.

    Parameters
    ----------
    origin
        The globals the code was written over: a notebook's or a module's.
    pinned
        Values that the definition captured; they win over ``origin``.
    """

    def __init__(self, origin: dict[str, Any], pinned: Mapping[str, Any]) -> None:
        super().__init__(__builtins__=origin.get("__builtins__", builtins), __name__=origin.get("__name__", "__main__"))
        self._origin = origin
        self._pinned = pinned
        if "print" not in origin:
            self["print"] = _print

    def __missing__(self, name: str) -> Any:
        value = self._pinned[name] if name in self._pinned else self._origin[name]
        value = self[name] = self.rebind(value)
        return value

    def rebind(self, value: Any) -> Any:
        """Exchange a value for its deterministic twin, if it has one."""
        twin = _TWINS.get(id(value))
        if twin is not None:
            return twin
        if isinstance(value, types.FunctionType) and value.__globals__ is self._origin:
            return rebind_function(value, self)
        return value


def rebind_function(function: types.FunctionType, namespace: WorkflowGlobals) -> types.FunctionType:
    """Make a twin of a function that runs over other globals.

    Parameters
    ----------
    function
        The function.
    namespace
        Its new globals. Closure cells that hold something with a deterministic twin are exchanged too.

    Returns
    -------
    types.FunctionType
        The twin.
    """
    closure = function.__closure__
    if closure:
        closure = tuple(_rebind_cell(cell, namespace) for cell in closure)
    twin = types.FunctionType(function.__code__, namespace, function.__name__, function.__defaults__, closure)
    twin.__kwdefaults__ = function.__kwdefaults__
    twin.__qualname__ = function.__qualname__
    twin.__dict__.update(function.__dict__)
    return twin


def _rebind_cell(cell: types.CellType, namespace: WorkflowGlobals) -> types.CellType:
    try:
        value = cell.cell_contents
    except ValueError:  # not filled yet: a function that refers to itself
        return cell
    twin = namespace.rebind(value)
    return cell if twin is value else types.CellType(twin)


def _print(*values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False) -> None:
    """Print once, however often history is replayed."""
    runtime = current_runtime("print")
    if runtime.is_replaying:
        return
    if file is None:
        runtime.log(20, (" " if sep is None else sep).join(map(str, values)))
    builtins.print(*values, sep=sep, end=end, file=file, flush=flush)


def _now_seconds() -> float:
    return current_runtime("now").now().timestamp()


def _time_sleep(seconds: float) -> None:
    if not in_workflow_greenlet():
        msg = "time.sleep() would block an async def workflow; write 'await nbflow.sleep(...)'"
        raise NondeterminismError(msg)
    block_on(current_runtime("sleep").sleep(seconds))


class _Twin(types.ModuleType):
    """A module whose nondeterministic functions ask the execution; the rest is the module's own."""

    def __init__(self, module: types.ModuleType, functions: Mapping[str, Any]) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(functions)
        self.__dict__["_module"] = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_module"], name)


def _time_functions() -> dict[str, Callable[..., Any]]:
    def seconds_or_now(seconds: float | None) -> float:
        return _now_seconds() if seconds is None else seconds

    def nanoseconds() -> int:
        return round(_now_seconds() * 1_000_000) * 1000

    return {
        "time": _now_seconds,
        "time_ns": nanoseconds,
        "monotonic": _now_seconds,
        "monotonic_ns": nanoseconds,
        "perf_counter": _now_seconds,
        "perf_counter_ns": nanoseconds,
        "process_time": _now_seconds,
        "process_time_ns": nanoseconds,
        "sleep": _time_sleep,
        "localtime": lambda seconds=None: time_module.localtime(seconds_or_now(seconds)),
        "gmtime": lambda seconds=None: time_module.gmtime(seconds_or_now(seconds)),
        "ctime": lambda seconds=None: time_module.ctime(seconds_or_now(seconds)),
        "strftime": lambda fmt, when=None: time_module.strftime(
            fmt, time_module.localtime(_now_seconds()) if when is None else when
        ),
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
        return dt.datetime.fromtimestamp(_now_seconds(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return current_runtime("now").now().replace(tzinfo=None)

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


def _random_function(name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        return getattr(current_runtime("random").random(), name)(*args, **kwargs)

    function.__name__ = name
    return function


def _uuid4() -> uuid_module.UUID:
    return uuid_module.UUID(int=current_runtime("uuid4").random().getrandbits(128), version=4)


def _refused(name: str, instead: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:  # noqa: ARG001  any signature
        msg = f"{name}() gives another answer in every replay; use {instead} in workflow code"
        raise NondeterminismError(msg)

    return function


def _as_completed(futures: Iterable[Any], *, timeout: float | None = None) -> Any:
    """Give asyncio.as_completed futures in a fixed order: it would make tasks in the order of a set."""
    return asyncio.as_completed([asyncio.ensure_future(future) for future in futures], timeout=timeout)


_RANDOM_NAMES = tuple(
    name for name in random_module.__all__ if not name[0].isupper() and hasattr(random_module.Random, name)
)
_RANDOM = {name: _random_function(name) for name in _RANDOM_NAMES}
_TIME = _time_functions()
_UUID: dict[str, Any] = {"uuid4": _uuid4, "uuid1": _refused("uuid.uuid1", "nbflow.uuid4()")}
_DATETIME: dict[str, Any] = {"datetime": _Datetime, "date": _Date}
_ASYNCIO: dict[str, Any] = {"as_completed": _as_completed}


def _twins() -> dict[int, Any]:
    """Pair every nondeterministic module, function and class, by identity, with its twin."""
    pairs: dict[int, Any] = {}
    for module, functions in (
        (time_module, _TIME),
        (random_module, _RANDOM),
        (uuid_module, _UUID),
        (dt, _DATETIME),
        (asyncio, _ASYNCIO),
    ):
        pairs[id(module)] = _Twin(module, functions)
        for name, twin in functions.items():
            if hasattr(module, name):
                pairs[id(getattr(module, name))] = twin
    return pairs


_TWINS = _twins()
