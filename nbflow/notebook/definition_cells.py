"""The definitions of a notebook without the rest of it: what its workflows are and use, and no other statement.

Of all top-level statements of the cells, those are run that define a marked function, or a name that
one of these uses, and so on. Cells that start, wait, plot or load data for themselves stay unrun.
"""

from __future__ import annotations

import ast
import linecache
import sys
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from IPython.core.inputtransformer2 import TransformerManager

from nbflow.authoring.sources import global_names
from nbflow.exceptions import ConfigurationError
from nbflow.notebook.marks import MarkTransformer, take_cell_mark_for_line_mark

__all__ = ["run_definitions"]

_MARKS = frozenset({"workflow", "activity", "transaction", "mark"})


@dataclass(eq=False)
class _Statement:
    node: ast.stmt
    filename: str
    defines: frozenset[str]
    uses: frozenset[str] = field(default=frozenset())
    is_marked: bool = False


def run_definitions(cells: Sequence[tuple[int, str]], where: str) -> types.ModuleType:
    """Run what defines the workflows of a notebook, as ``__main__`` of this process.

    Parameters
    ----------
    cells
        Number and source of each code cell.
    where
        Name of the notebook, for errors and tracebacks.

    Returns
    -------
    ModuleType
        The module that stands for the notebook; it stays ``__main__``, since stored values name its classes.

    Raises
    ------
    ConfigurationError
        When a cell does not parse, or a statement raises; names the cell.
    """
    statements = [statement for number, source in cells for statement in _statements(number, source, where)]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for statement in _needed(statements):
        code = compile(ast.Module([statement.node], []), statement.filename, "exec")
        try:
            exec(code, vars(module))  # noqa: S102  the user's own notebook
        except Exception as error:
            what = ", ".join(sorted(statement.defines))
            msg = f"{statement.filename}, line {statement.node.lineno}, defines {what}: {type(error).__name__}: {error}"
            raise ConfigurationError(msg) from error
    return module


def _statements(number: int, source: str, where: str) -> list[_Statement]:
    filename = f"<{where} cell {number}>"
    manager = TransformerManager()  # type: ignore[no-untyped-call]
    manager.cleanup_transforms.insert(0, take_cell_mark_for_line_mark)
    text = manager.transform_cell(source)
    try:
        tree = ast.parse(text, filename)
    except SyntaxError as error:
        msg = f"{where}, cell {number}, line {error.lineno}: {error.msg}"
        raise ConfigurationError(msg) from error
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    MarkTransformer().visit(tree)  # in place
    return [_statement(node, filename) for node in tree.body]


def _statement(node: ast.stmt, filename: str) -> _Statement:
    decorators = getattr(node, "decorator_list", [])
    marks = {_last_name(decorator) for decorator in decorators} & _MARKS
    return _Statement(node, filename, frozenset(_defined(node)), frozenset(_used(node)), bool(marks))


def _last_name(decorator: ast.expr) -> str:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _defined(node: ast.stmt) -> Iterable[str]:
    """Name what a top-level statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name.split(".")[0]
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id
    elif isinstance(node, ast.If | ast.Try):  # try: import tomllib / except ImportError: ...
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                yield from _defined(child)
            elif isinstance(child, ast.ExceptHandler):
                for statement in child.body:
                    yield from _defined(statement)


def _used(node: ast.stmt) -> Iterable[str]:
    return global_names(ast.unparse(node), None)


def _needed(statements: Sequence[_Statement]) -> list[_Statement]:
    """Choose the marked functions and, over and over, what defines the names that the chosen ones use."""
    chosen = {id(statement) for statement in statements if statement.is_marked}
    names = {name for statement in statements if id(statement) in chosen for name in statement.uses}
    while True:
        more = [it for it in statements if id(it) not in chosen and it.defines & names]
        if not more:
            return [it for it in statements if id(it) in chosen]
        chosen |= {id(it) for it in more}
        names |= {name for it in more for name in it.uses}
