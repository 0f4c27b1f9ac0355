"""Workflow code over rebound globals: the same names, with deterministic answers.

The function is not copied and nothing global is patched. It runs over a dictionary of its own
that looks names up in the notebook (or module) on first use, and in passing exchanges ``time``,
``datetime``, ``random`` and ``uuid`` for versions that ask the execution, and helper functions of
the same notebook for twins that run over the same dictionary. Imports inside functions get the
same versions.
"""

from __future__ import annotations

import builtins
import copy
from collections.abc import Mapping
from types import CellType, FunctionType
from typing import Any

from nbflow.core.twins import TWINS, pair_late_modules, workflow_print

__all__ = ["Sandbox"]


class Sandbox:
    """What one execution's code sees in place of the globals that it was written over.

    Parameters
    ----------
    function
        The workflow's function; it may be wrapped in others by decorators.
    pinned
        Values that the definition captured; they win over what its globals hold now.

    Attributes
    ----------
    function
        The function's twin for this execution: the same code over globals of its own.
    """

    def __init__(self, function: FunctionType, pinned: Mapping[str, Any]) -> None:
        pair_late_modules()
        self._namespaces: dict[int, _Namespace] = {}
        self._functions: dict[int, FunctionType] = {}
        layer: Any = function
        while isinstance(layer, FunctionType):  # decorators that were put around it, and at last itself
            is_innermost = not hasattr(layer, "__wrapped__")
            self._namespaces[id(layer.__globals__)] = _Namespace(
                layer.__globals__, pinned if is_innermost else {}, self
            )
            layer = getattr(layer, "__wrapped__", None)
        self.function = self.rebind_function(function)

    def close(self) -> None:
        """Let go of everything, so that no reference cycle keeps it in memory."""
        for namespace in self._namespaces.values():
            namespace.forget()
        self._namespaces.clear()
        self._functions.clear()
        del self.function

    def has_twin(self, value: Any) -> bool:
        """Say whether a value is exchanged."""
        return id(value) in TWINS or (type(value) is FunctionType and id(value.__globals__) in self._namespaces)

    def rebind(self, value: Any) -> Any:
        """Exchange a value for its deterministic twin, if it has one."""
        twin = TWINS.get(id(value))
        if twin is not None:
            return twin
        return self.rebind_function(value) if self.has_twin(value) else value

    def rebind_function(self, function: FunctionType) -> FunctionType:
        """Make a function's twin, once."""
        twin = self._functions.get(id(function))
        if twin is None:
            cells = function.__closure__ or ()
            exchanged = [self._is_exchanged(cell) for cell in cells]
            closure = tuple(CellType() if new else cell for cell, new in zip(cells, exchanged, strict=True))
            namespace = self._namespaces[id(function.__globals__)]
            twin = FunctionType(function.__code__, namespace, function.__name__, None, closure or None)
            self._functions[id(function)] = twin  # before its cells are filled: it may refer to itself
            for cell, original, new in zip(closure, cells, exchanged, strict=True):
                if new:
                    cell.cell_contents = self.rebind(original.cell_contents)
            twin.__defaults__ = function.__defaults__ and tuple(map(self.rebind, function.__defaults__))
            twin.__kwdefaults__ = function.__kwdefaults__ and {
                name: self.rebind(value) for name, value in function.__kwdefaults__.items()
            }
            twin.__qualname__ = function.__qualname__
            twin.__dict__.update(function.__dict__)
        return twin

    def _is_exchanged(self, cell: CellType) -> bool:
        try:
            return self.has_twin(cell.cell_contents)
        except ValueError:  # not filled yet
            return False


class _Namespace(dict[str, Any]):
    """Globals of one execution's code, filled as names are used."""

    def __init__(self, origin: dict[str, Any], pinned: Mapping[str, Any], sandbox: Sandbox) -> None:
        super().__init__(__builtins__=_BUILTINS, __name__=origin.get("__name__", "__main__"))
        self._origin = origin
        self._pinned = pinned
        self._sandbox = sandbox

    def forget(self) -> None:
        """Drop what was looked up; whatever code is left looks it up again."""
        self.clear()
        self["__builtins__"] = _BUILTINS

    def __missing__(self, name: str) -> Any:
        if name in self._pinned:
            value = self._pinned[name]
            if type(value) in _MUTABLE:
                value = _copy_of(value)  # what this execution changes, no other sees
        else:
            try:
                value = self._origin[name]
            except KeyError:
                value = _BUILTINS[name] if name in _BUILTINS else vars(builtins)[name]
                self[name] = value  # else the interpreter would ask here again and again
                return value
        value = self[name] = self._sandbox.rebind(value)
        return value


_MUTABLE = (list, dict, set, bytearray)


def _copy_of(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001  it holds what has no copies (a module, an activity, a lock): those are shared
        return copy.copy(value)


def _import(name: str, *args: Any, **kwargs: Any) -> Any:
    """Import for code that imports inside functions."""
    module = builtins.__import__(name, *args, **kwargs)
    pair_late_modules()
    return TWINS.get(id(module), module)


_BUILTINS: dict[str, Any] = {**vars(builtins), "print": workflow_print, "__import__": _import}
