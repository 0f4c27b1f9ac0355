"""A function's definition: its source, what it uses of its notebook, and the hash of both.

The manifest says how to rebuild the function in another process: by source text, with every global
it uses as an import, as more source, or as a plain value. A function of an importable module is
looked for there first, and rebuilt if the module has changed.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import inspect
import json
import math
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from nbflow.authoring.literals import is_mutable, literal
from nbflow.authoring.sources import defined_name, digest_of_code, global_names, normalised, source_of
from nbflow.core.definitions import Definition, DefinitionKind

__all__ = ["VersionCache", "source_of"]

_MISSING: Any = object()


class VersionCache:
    """Captures a function anew when something it uses has changed.

    Parameters
    ----------
    kind, name
        What the function is marked as.
    function
        The user's function.
    options
        What a worker needs to know of its options; JSON-native.
    """

    def __init__(
        self, kind: DefinitionKind, name: str, function: Callable[..., Any], options: Mapping[str, Any]
    ) -> None:
        self._kind = kind
        self._name = name
        self._function = function
        self.options = options
        self._definition: Definition | None = None
        self._seen: list[_Seen] = []

    def current(self) -> Definition:
        """Return the definition as of now."""
        if self._definition is None or any(seen.has_changed() for seen in self._seen):
            capture = _Capture(self._function)
            self._seen = capture.seen
            self._definition = Definition(
                kind=self._kind,
                name=self._name,
                function=self._function,
                hash=capture.hash(self._kind, self._name, self.options),
                source=capture.source,
                manifest=capture.manifest(self.options),
                bindings=capture.bindings,
                options=self.options,
            )
        return self._definition


class _Seen:
    """A global as it was when it was captured."""

    __slots__ = ("name", "scope", "text", "value")

    def __init__(self, scope: Mapping[str, Any], name: str, value: Any, text: str | None) -> None:
        self.scope = scope
        self.name = name
        self.value = value
        self.text = text
        """What a list, dict or set of a notebook held: it may change while it stays the same object."""

    def has_changed(self) -> bool:
        value = self.scope.get(self.name, _MISSING)
        return value is not self.value or (self.text is not None and literal(value) != self.text)


class _ConflictError(Exception):
    """Two functions mean different things by one name."""


class _Capture:
    """One function, taken down with everything it uses."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.source = source_of(function)
        self.seen: list[_Seen] = []
        self.bindings: dict[str, Any] = {}
        self.entries: dict[str, dict[str, Any]] = {}
        """In an order in which they can be executed: what is used comes first."""
        self._function = inspect.unwrap(function)
        self._is_notebook = self._function.__module__ == "__main__"
        self._values: dict[str, Any] = {}
        self._scope: dict[str, Any] = getattr(self._function, "__globals__", {})
        try:
            self._take_names(self.source, self._function)
        except _ConflictError:  # with itself: nothing that could be left out
            self.entries.setdefault(self._function.__name__, {"missing": "function"})

    def _take_names(self, source: str, user: Any) -> None:
        """Take down what a function or class uses."""
        cells = _closure(user)
        for name in global_names(source, user):
            if name == self._function.__name__ and name not in cells and name not in self._values:
                continue
            if name in cells:
                self._take_value(name, cells[name])
            elif name in self._scope or not hasattr(builtins, name):
                self._take_global(name, self._scope.get(name, _MISSING))

    def _take_global(self, name: str, value: Any) -> None:
        """Take down a global. A notebook's lists, dicts and sets are copied: a later cell may change them."""
        text = literal(value) if self._is_notebook and is_mutable(value) else None
        if name not in self._values:
            self.seen.append(_Seen(self._scope, name, value, text))
        if value is not _MISSING:
            self._take_value(name, value)
            self.bindings.setdefault(name, value if text is None else ast.literal_eval(text))

    def _take_value(self, name: str, value: Any) -> None:
        known = self._values.setdefault(name, value)
        if known is not value:
            raise _ConflictError(name)
        if name in self.entries:
            return
        self.entries[name] = {}  # reserves the name against recursion
        entry = self._entry(name, value)
        del self.entries[name]
        self.entries[name] = entry

    def _entry(self, name: str, value: Any) -> dict[str, Any]:
        if isinstance(value, types.ModuleType):
            return {"import": value.__name__}
        if getattr(value, "kind", None) in ("workflow", "activity") and hasattr(value, "definition"):
            return {"definition": [value.kind, value.name], **value.changes()}
        plain = inspect.unwrap(value) if callable(value) else value
        if isinstance(plain, (types.FunctionType, type)) and plain.__module__ == self._function.__module__:
            entry = self._source_entry(plain)
            if entry is not None:
                return entry
        text = literal(value)
        if text is not None:
            return {"value": text}
        if type(value) is frozenset and (text := literal(set(value))) is not None:
            return {"value": text, "frozen": True}
        return _reference(name, value) or {"missing": type(value).__name__}

    def _source_entry(self, value: Any) -> dict[str, Any] | None:
        source = source_of(value)
        name = defined_name(source)
        if name is None:
            return None
        try:
            self._take_names(source, value)
        except _ConflictError as conflict:
            return {"missing": f"function, whose {conflict} is not the {conflict} of another"}
        return {"source": source, "name": name}

    def hash(self, kind: str, name: str, options: Mapping[str, Any]) -> str:
        """Hash the normalised sources and values: comments and spacing do not count."""
        parts = [kind, name, json.dumps(options, sort_keys=True, default=str), normalised(self.source)]
        if not self.source:
            code = getattr(self._function, "__code__", None)
            parts.append(repr(self._function) if code is None else digest_of_code(code))
        for key in sorted(self.entries):
            entry = self.entries[key]
            parts += [key, normalised(entry["source"]) if "source" in entry else json.dumps(entry, sort_keys=True)]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()

    def manifest(self, options: Mapping[str, Any]) -> str:
        """Say, as JSON text, how to rebuild the function elsewhere."""
        tree = {
            "module": self._function.__module__,
            "qualname": getattr(self._function, "__qualname__", ""),
            "options": dict(options),
            "globals": self.entries,
        }
        return json.dumps(tree, ensure_ascii=False)


def _closure(function: Any) -> dict[str, Any]:
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is None or not cells:
        return {}
    filled = {}
    for name, cell in zip(code.co_freevars, cells, strict=True):
        try:
            filled[name] = cell.cell_contents
        except ValueError:  # a name not assigned yet
            continue
    return filled


def _reference(name: str, value: Any) -> dict[str, Any] | None:
    """Say where a value can be imported from: its own module, or that of its type under the same name."""
    if type(value) is float:
        return {"from": "math", "name": "nan" if math.isnan(value) else "inf"} if not value < 0 else None
    candidates = [
        (getattr(value, "__module__", None), getattr(value, "__qualname__", None)),
        (getattr(value, "__module__", None), name),
        (type(value).__module__, name),
    ]
    for module, qualname in candidates:
        if isinstance(module, str) and isinstance(qualname, str) and module != "__main__":
            if module.startswith("nbflow.") and _found("nbflow", qualname) is value:
                return {"from": "nbflow", "name": qualname}  # its place within nbflow may change
            if _found(module, qualname) is value:
                return {"from": module, "name": qualname}
    return None


def _found(module: str, qualname: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = vars(found).get(part, _MISSING) if hasattr(found, "__dict__") else _MISSING
    return found
