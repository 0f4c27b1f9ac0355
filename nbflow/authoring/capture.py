"""A function's definition: its source, what it uses of its notebook, and the hash of both.

The manifest says how to rebuild the function in another process. For a function of an importable
module that is its name; for a notebook's function it is source text, with every global it uses as
an import, as more source, or as a plain value.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import linecache
import sys
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nbflow.core.definitions import Definition, DefinitionKind

__all__ = ["VersionCache", "source_of"]

_MISSING: Any = object()
_LARGEST_VALUE = 65536


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
        self._options = options
        self._definition: Definition | None = None
        self._seen: list[tuple[Mapping[str, Any], str, Any]] = []

    def current(self) -> Definition:
        """Return the definition as of now."""
        if self._definition is None or any(scope.get(name, _MISSING) is not value for scope, name, value in self._seen):
            capture = _Capture(self._function)
            self._seen = capture.seen
            self._definition = Definition(
                kind=self._kind,
                name=self._name,
                function=self._function,
                hash=capture.hash(self._kind, self._name, self._options),
                source=capture.source,
                manifest=capture.manifest(self._options),
                bindings=capture.bindings,
                options=self._options,
            )
        return self._definition


class _Capture:
    """One function, taken down with everything it uses."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.source = source_of(function)
        self.seen: list[tuple[Mapping[str, Any], str, Any]] = []
        self.bindings: dict[str, Any] = {}
        self.entries: dict[str, dict[str, Any]] = {}
        """In an order in which they can be executed: what is used comes first."""
        self._scope: dict[str, Any] = getattr(function, "__globals__", {})
        self._take(self.source, function)

    def _take(self, source: str, function: Any) -> None:
        cells = _closure(function)
        for name in _names_in(source, function):
            if name in self.entries or name == getattr(self.function, "__name__", None):
                continue
            value = cells.get(name, _MISSING) if name in cells else self._scope.get(name, _MISSING)
            if name in cells or name in self._scope or not hasattr(__builtins_module__, name):
                if name not in cells:
                    self.seen.append((self._scope, name, value))
                if value is not _MISSING:
                    self._take_value(name, value)

    def _take_value(self, name: str, value: Any) -> None:
        if name in self._scope:
            self.bindings[name] = value
        self.entries[name] = {}  # reserves the name against recursion
        entry = self._entry(value)
        del self.entries[name]
        self.entries[name] = entry

    def _entry(self, value: Any) -> dict[str, Any]:
        if isinstance(value, types.ModuleType):
            return {"import": value.__name__}
        if getattr(value, "kind", None) in ("workflow", "activity") and hasattr(value, "definition"):
            return {"definition": [value.kind, value.name]}
        if isinstance(value, (types.FunctionType, type)) and value.__module__ == self.function.__module__:
            source = source_of(value)
            if source:
                self._take(source, value)
                return {"source": source, "name": value.__name__}
        if reference := _importable(value):
            return reference
        text = _literal(value)
        return {"missing": type(value).__name__} if text is None else {"value": text}

    def hash(self, kind: str, name: str, options: Mapping[str, Any]) -> str:
        """Hash the normalised sources and values: comments and spacing do not count."""
        parts = [
            kind,
            name,
            json.dumps(options, sort_keys=True, default=str),
            _normalised(self.source) or repr(self.function),
        ]
        if not self.source and hasattr(self.function, "__code__"):
            parts.append(self.function.__code__.co_code.hex())
        for key in sorted(self.entries):
            entry = self.entries[key]
            parts += [key, _normalised(entry["source"]) if "source" in entry else json.dumps(entry, sort_keys=True)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def manifest(self, options: Mapping[str, Any]) -> str:
        """Say, as JSON text, how to rebuild the function elsewhere."""
        module, qualname = self.function.__module__, getattr(self.function, "__qualname__", "")
        tree: dict[str, Any] = {"module": module, "qualname": qualname, "options": dict(options)}
        if module == "__main__" or "<locals>" in qualname:
            tree["globals"] = self.entries
        return json.dumps(tree, ensure_ascii=False)


__builtins_module__ = sys.modules["builtins"]


def source_of(thing: Any) -> str:
    """Return the source text of a function or class, dedented; empty if it can't be had.

    Parameters
    ----------
    thing
        A function or a class, of a file or of a notebook cell.
    """
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):
        return _class_in_cells(thing) if isinstance(thing, type) else ""


def _class_in_cells(cls: type) -> str:
    """Find a class in the cells run so far: before 3.13, Python does not know where a cell's class is."""
    for filename in reversed(list(linecache.cache)):
        if "ipykernel" not in filename and "ipython" not in filename.lower():
            continue
        lines = "".join(linecache.getlines(filename))
        for node in _parse(lines):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return "".join(lines.splitlines(keepends=True)[first - 1 : node.end_lineno])
    return ""


def _parse(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def _normalised(source: str) -> str:
    return "\n".join(ast.unparse(node) for node in _parse(source)) or source


def _names_in(source: str, function: Any) -> list[str]:
    """Names that the source reads, in order of appearance; from the code object where there is no source."""
    statements = _parse(source)
    if not statements:
        return list(dict.fromkeys(_names_of_code(getattr(function, "__code__", None))))
    names = [
        node.id
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]
    return list(dict.fromkeys(names))


def _names_of_code(code: types.CodeType | None) -> Iterator[str]:
    if code is not None:
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from _names_of_code(constant)


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


def _importable(value: Any) -> dict[str, Any] | None:
    module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str) or module == "__main__":
        return None
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, _MISSING)
    return {"from": module, "name": qualname} if found is value else None


def _literal(value: Any) -> str | None:
    """Write a plain value as a literal, if it is one."""
    if not _is_plain(value):
        return None
    text = repr(value)
    return text if len(text) <= _LARGEST_VALUE else None


def _is_plain(value: Any) -> bool:
    if value is None or type(value) in (int, float, bool, str, bytes, complex):
        return True
    if type(value) in (list, tuple, set, frozenset):
        return len(value) <= _LARGEST_VALUE and all(map(_is_plain, value))
    if type(value) is dict:
        return len(value) <= _LARGEST_VALUE and all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return False
