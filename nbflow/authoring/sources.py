"""Source text of functions and classes, of files and of notebook cells, and the names it uses."""

from __future__ import annotations

import ast
import inspect
import linecache
import symtable
import textwrap
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["defined_name", "digest_of_code", "global_names", "normalised", "source_of"]


def source_of(thing: Any) -> str:
    """Return the source text of a function or class, dedented; empty if it can't be had.

    Parameters
    ----------
    thing
        A function or a class, of a file or of a notebook cell.
    """
    try:
        return textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError, IndentationError):
        return _class_in_cells(thing) if isinstance(thing, type) else ""


def _class_in_cells(cls: type) -> str:
    """Find a class in the cells run so far: before 3.13, Python does not know where a cell's class is."""
    for lines in _cells():
        for node in reversed(_parse(lines)):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                return _lines_of(node, lines, node.decorator_list)
            if isinstance(node, ast.Assign) and _names_assigned(node) == [cls.__name__]:
                return _lines_of(node, lines)  # Point = namedtuple("Point", "x y")
    return ""


def _cells() -> Iterator[str]:
    """Give the text of the cells run so far, the latest first."""
    for filename in reversed(list(linecache.cache)):
        if "ipykernel" in filename or "ipython" in filename.lower():
            yield "".join(linecache.getlines(filename))


def _lines_of(node: ast.stmt, lines: str, decorators: list[ast.expr] | None = None) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in decorators or ())])
    return "".join(lines.splitlines(keepends=True)[first - 1 : node.end_lineno])


def _parse(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def _names_assigned(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def defined_name(source: str) -> str | None:
    """Return the one name that a source text defines: of a function, a class, or an assignment; None if it has none.

    Parameters
    ----------
    source
        As :func:`source_of` gives it. That of a lambda is the whole statement it stands in.
    """
    statements = _parse(source)
    if len(statements) != 1:
        return None
    match statements[0]:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return None


def normalised(source: str) -> str:
    """Return the source without comments and spacing of its own.

    Parameters
    ----------
    source
        Any; what does not parse comes back as it is.
    """
    return "\n".join(ast.unparse(node) for node in _parse(source)) or source


def global_names(source: str, function: Any) -> list[str]:
    """Return the global names that a source text reads, sorted, those of its decorators and defaults included.

    Parameters
    ----------
    source
        The text; empty if it can't be had.
    function
        The function; its code is asked where there is no text.
    """
    try:
        table = symtable.symtable(source, "<source>", "exec")
    except SyntaxError:
        return sorted(set(_names_of_code(getattr(function, "__code__", None))))
    found = set(_names_of_table(table)) if source else set(_names_of_code(getattr(function, "__code__", None)))
    return sorted(found)


def _names_of_table(table: symtable.SymbolTable) -> Iterator[str]:
    at_top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (at_top or symbol.is_global()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _names_of_table(child)


def _names_of_code(code: types.CodeType | None) -> Iterator[str]:
    if code is not None:
        yield from code.co_names
        yield from code.co_freevars
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from _names_of_code(constant)


def digest_of_code(code: types.CodeType) -> str:
    """Write what a function without source does, the same in every process of this Python version.

    Parameters
    ----------
    code
        The function's code.
    """
    constants = [digest_of_code(it) if isinstance(it, types.CodeType) else repr(it) for it in code.co_consts]
    return repr((code.co_name, code.co_code.hex(), code.co_names, code.co_varnames, constants))
