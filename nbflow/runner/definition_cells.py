"""Definitions from notebooks and Python files, for processes that serve a store: only what defines is run.

Of a notebook that is every cell of which each statement is an import, a function, a class, a plain value or one of
nbflow's marks. Cells that do anything else are left out, so that serving a notebook does not mean running it.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

from nbflow.exceptions import ConfigurationError
from nbflow.runner.notebook_file import read_notebook

__all__ = ["load_definitions"]

_MAGICS = {("workflow",), ("activity",), ("load_ext", "nbflow"), ("reload_ext", "nbflow")}


def load_definitions(path: str) -> str:
    """Run what a notebook or a Python file defines.

    Parameters
    ----------
    path
        The ``.ipynb`` or ``.py`` file.

    Returns
    -------
    str
        What was done, for people.

    Raises
    ------
    ConfigurationError
        When it can't be read, or a definition fails.
    """
    if path.endswith(".py"):
        _import_file(Path(path))
        return f"definitions of {path} are loaded"
    cells = [str(cell["source"]) for cell in read_notebook(path)["cells"] if cell["cell_type"] == "code"]
    shell = _shell()
    done = 0
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for data
        for number, source in enumerate(cells, 1):
            if source.strip() and _only_defines(shell, source):
                _run(shell, path, number, source)
                done += 1
    return f"definitions of {path} are loaded: {done} of its {len(cells)} code cells, the others do more than define"


def _import_file(file: Path) -> None:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.is_file():
        msg = f"there is no Python file {file}"
        raise ConfigurationError(msg)
    sys.path.insert(0, str(file.parent.absolute()))
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        msg = f"{file} failed: {type(error).__name__}: {error}"
        raise ConfigurationError(msg) from error


def _shell() -> Any:
    """Make the IPython shell whose ``__main__`` the definitions live in, as in a kernel."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    import nbflow

    if InteractiveShell.initialized():
        return InteractiveShell.instance()
    config = Config()
    config.HistoryManager.enabled = False
    home = tempfile.TemporaryDirectory(
        prefix="nbflow-ipython-", ignore_cleanup_errors=True
    )  # gone when the process ends
    shell: Any = InteractiveShell.instance(config=config, ipython_dir=home.name)
    shell.nbflow_home = home
    nbflow.load_ipython_extension(shell)
    return shell


def _only_defines(shell: Any, source: str) -> bool:
    try:
        tree = ast.parse(shell.transform_cell(source))
    except SyntaxError:
        return False
    return all(_defines(statement) for statement in tree.body)


def _defines(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return True
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return _is_plain(value)
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="run_line_magic"), args=args)):
            return _is_mark(args)
    return False


def _is_plain(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _is_mark(args: list[ast.expr]) -> bool:
    words = [str(arg.value) for arg in args if isinstance(arg, ast.Constant)]
    return (words[0],) in _MAGICS or tuple(words) in _MAGICS if words else False


def _run(shell: Any, path: str, number: int, source: str) -> None:
    result: Any = shell.run_cell(source, store_history=False)
    if not result.success:
        error = result.error_before_exec or result.error_in_exec
        msg = f"code cell {number} of {path} failed: {type(error).__name__}: {error}"
        raise ConfigurationError(msg)
