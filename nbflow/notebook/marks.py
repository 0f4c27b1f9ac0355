"""The marks ``%%workflow`` and ``%%activity``: every function that the cell defines becomes one.

A cell's first line ``%%workflow`` is taken for ``%workflow``, by text, so that the rest stays plain Python:
line numbers, ``inspect.getsource`` and top-level await survive. In the cell's syntax tree the line then
becomes a check of the whole cell, which runs before any of it, and each top-level function gets the
decorator. So a function is marked the moment it exists, also for the rest of its own cell.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nbflow.authoring.activity import activity
from nbflow.authoring.capture import source_of
from nbflow.authoring.workflow import workflow
from nbflow.exceptions import ConfigurationError, DefinitionError
from nbflow.notebook.mark_options import Mark, read_mark_options

__all__ = [
    "MarkTransformer",
    "begin_marked_cell",
    "mark",
    "take_cell_mark_for_line_mark",
    "take_empty_cell_magic_for_line_magic",
]

_CELL_MARK = re.compile(r"%%(?:workflow|activity)(?=\s|$)")
_EMPTY = re.compile(r"%%(?:workflow|activity|flowsql)(?=\s|$)")
_DECORATORS: Mapping[str, Callable[..., Any]] = {"workflow": workflow, "activity": activity}
_NO_SOURCE = (
    "{} has no source that Python knows, as under %%time: after a restart it goes on only once this cell has run "
    "again; give it a cell of its own"
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def take_cell_mark_for_line_mark(lines: list[str]) -> list[str]:
    """Rewrite the first line of a marked cell; an input transformer of IPython.

    Parameters
    ----------
    lines
        The cell, line ends kept.

    Returns
    -------
    list of str
        As many lines. A mark with nothing below it is left to the magic of that name.
    """
    if lines and _CELL_MARK.match(lines[0]) and any(line.strip() for line in lines[1:]):
        return [lines[0][1:], *lines[1:]]
    return lines


def take_empty_cell_magic_for_line_magic(lines: list[str]) -> list[str]:
    """Rewrite a cell magic of ours with nothing below it; an input transformer of IPython.

    IPython itself would answer with a UsageError, which some runners take for success.

    Parameters
    ----------
    lines
        The cell, line ends kept.
    """
    if lines and _EMPTY.match(lines[0]) and not any(line.strip() for line in lines[1:]):
        return [lines[0][1:], *lines[1:]]
    return lines


# a cell whose first line stands alone may still go on: completeness checks must not use this one
take_empty_cell_magic_for_line_magic.has_side_effects = True  # type: ignore[attr-defined]


class MarkTransformer(ast.NodeTransformer):
    """Puts the mark of a cell above each of its functions; an AST transformer of IPython."""

    def visit(self, node: ast.AST) -> ast.AST:
        """Return the tree, its functions decorated if its first statement is a mark.

        Parameters
        ----------
        node
            The tree of a whole cell.
        """
        if not isinstance(node, ast.Module) or not node.body:
            return node
        first = node.body[0]
        found = _mark_of(first)
        if found is None:
            return node
        functions = [statement for statement in node.body if isinstance(statement, _Function)]
        for function in functions:
            place = function.decorator_list[0] if function.decorator_list else function
            function.decorator_list.insert(0, _call("mark", found, place))
        shapes = {function.name: _shape(function) for function in functions}
        node.body[0] = ast.copy_location(ast.Expr(_call("begin_marked_cell", (*found, shapes), first)), first)
        return node


def _mark_of(statement: ast.stmt) -> tuple[str, str] | None:
    """Return kind and options if the statement is what IPython makes of a line ``%workflow ...``."""
    match statement:
        case ast.Expr(
            ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name("get_ipython")), attr="run_line_magic"),
                args=[ast.Constant("workflow" | "activity" as kind), ast.Constant(str(line))],
            )
        ):
            return kind, line
    return None


def _call(name: str, arguments: tuple[Any, ...], place: ast.stmt | ast.expr) -> ast.expr:
    """Build a call of this module's function that needs no name in the notebook's namespace."""
    text = f"__import__({__name__!r}, fromlist=['']).{name}({', '.join(map(repr, arguments))})"
    call = ast.parse(text, mode="eval").body
    for node in ast.walk(call):
        ast.copy_location(node, place)
        if isinstance(node, ast.expr):  # a call may not seem to end before it begins, nor reach over other lines
            node.end_lineno, node.end_col_offset = node.lineno, node.col_offset
    return call


def _shape(function: _Function) -> str:
    is_bare = not function.decorator_list[1:]
    if is_bare and any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_nodes(function)):
        return "generator"
    return "async" if isinstance(function, ast.AsyncFunctionDef) else "plain"


def _own_nodes(function: _Function) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, _Function | ast.Lambda | ast.ClassDef):
            yield node
            waiting.extend(ast.iter_child_nodes(node))


# What a marked cell calls.


def begin_marked_cell(kind: Mark, line: str, shapes: Mapping[str, str]) -> None:
    """Check a marked cell before any of it runs, so that either all of its functions get marked or none.

    Parameters
    ----------
    kind, line
        The mark and its options.
    shapes
        Its functions by name: ``"plain"``, ``"async"`` or ``"generator"``.

    Raises
    ------
    ConfigurationError
        When an option is unknown, or makes no sense here.
    DefinitionError
        When a function can't be marked, or there is none.
    """
    options = read_mark_options(kind, line)
    if not shapes:
        msg = f"%%{kind} marks the functions that its cell defines, and this cell defines none at its top level"
        raise DefinitionError(msg)
    for option in ("name", "id"):
        if option in options and len(shapes) > 1:
            msg = f"%%{kind}: --{option} is for one function, and this cell defines {len(shapes)}: {', '.join(shapes)}"
            raise ConfigurationError(msg)
    for name, shape in shapes.items():
        if shape == "generator":
            msg = f"{name} is a generator function, and an activity or workflow returns once; nothing was marked"
            raise DefinitionError(msg)
        if shape == "async" and options.get("run_in", "loop") != "loop":
            msg = f"{name} is async def: it runs on the engine's loop, not in a {options['run_in']}; nothing was marked"
            raise DefinitionError(msg)


def mark(kind: Mark, line: str) -> Callable[[Any], Any]:
    """Return the decorator of a marked cell.

    Parameters
    ----------
    kind, line
        The mark and its options.

    Returns
    -------
    Callable
        Marks a function; leaves alone what has a mark of its own, or what other decorators made no function of.
    """

    def mark_one(function: Any) -> Any:
        if getattr(function, "kind", None) in _DECORATORS:
            return function
        if not callable(function) or not hasattr(function, "__name__"):
            return function
        if not source_of(function):
            warnings.warn(_NO_SOURCE.format(function.__name__), stacklevel=2)
        return _DECORATORS[kind](**read_mark_options(kind, line))(function)

    return mark_one
