"""Imports run one way: the table of the design, held by parsing every file of the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "nbflow"
FILES = sorted(PACKAGE.rglob("*.py"))

# layer -> the layers it may import, late imports and those for the type checker included. "nbflow" is the root
# package: its __init__ gathers the public names, so only what sits above the client may ask it for one.
MAY_IMPORT = {
    "exceptions": set(),
    "core": {"exceptions"},
    "authoring": {"exceptions", "core"},
    "store": {"exceptions", "core"},
    "interchange": {"exceptions", "core", "store"},
    "engine": {"exceptions", "core", "authoring", "store"},
    "temporal": {"exceptions", "core", "authoring", "store", "interchange"},
    "client": {"exceptions", "core", "authoring", "store", "interchange", "engine", "temporal"},
    "widgets": {"nbflow", "exceptions", "core", "authoring", "store", "engine", "client"},
    "notebook": {"nbflow", "exceptions", "core", "authoring", "store", "engine", "client", "widgets"},
    "runner": {"nbflow", "exceptions", "core", "authoring", "store", "engine", "client", "widgets"},
    "cli": {
        *("nbflow", "exceptions", "core", "authoring", "store", "interchange", "engine", "client", "widgets"),
        *("notebook", "runner"),
    },
    "__main__": {"cli"},
    "testing": {"nbflow", "exceptions", "core", "authoring", "store", "engine", "client", "temporal", "runner"},
    "nbflow": {"exceptions", "core", "authoring", "store", "engine", "temporal", "client", "notebook"},
}

# core does no IO: of the standard library it may not even import what can
IO_MODULES = {
    *("concurrent", "ctypes", "fcntl", "ftplib", "glob", "http", "io", "mmap", "multiprocessing", "os", "pathlib"),
    *("sched", "secrets", "select", "selectors", "shutil", "signal", "smtplib", "socket", "socketserver", "sqlite3"),
    *("ssl", "subprocess", "tempfile", "threading", "urllib"),
}

NO_IO_AFTER_ALL = {"threading.get_ident"}  # which thread this is

HEAVY = ("IPython", "anywidget", "duckdb", "ipywidgets", "nbclient", "numpy", "pandas", "pyarrow", "temporalio")


def module_name(file: Path) -> str:
    """Return a file's dotted name: nbflow/core/__init__.py is nbflow.core."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in FILES}


def layer_of(module: str) -> str:
    """Return the layer that a module of the package belongs to."""
    return module.split(".")[1] if "." in module else "nbflow"


def tree_of(module: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(MODULES[module].read_text())


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yield the dotted names that import statements among the nodes ask for."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES or name in NO_IO_AFTER_ALL else str(node.module)


def at_import_time(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is imported: no function bodies, nothing for the type checker only."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_layer_and_those_below(module):
    """Imports run exceptions -> core -> store -> engine -> client -> notebook, widgets, runner -> cli."""
    layer = layer_of(module)
    assert layer in MAY_IMPORT, f"{layer} has no place in the table of layers"
    asked = [name for name in imports(ast.walk(tree_of(module))) if name.split(".")[0] == "nbflow"]
    wrong = {name for name in asked if layer_of(name) not in MAY_IMPORT[layer] | {layer}}
    assert not wrong, f"{module} must not import {sorted(wrong)}"


def test_nothing_in_the_table_may_import_testing():
    """Test helpers are for tests: production code that imports them would ship them."""
    assert all("testing" not in allowed for allowed in MAY_IMPORT.values())


@pytest.mark.parametrize("module", [name for name in MODULES if layer_of(name) == "core"])
def test_core_imports_the_standard_library_and_greenlet_only(module):
    """Core does no IO, so a whole workflow can run in a test that plays the engine."""
    names = set(imports(ast.walk(tree_of(module)))) - NO_IO_AFTER_ALL
    asked = {name.split(".")[0] for name in names} - {"nbflow", "greenlet"}
    assert asked <= set(sys.stdlib_module_names), f"third-party: {sorted(asked - set(sys.stdlib_module_names))}"
    assert not asked & IO_MODULES, f"does IO: {sorted(asked & IO_MODULES)}"


def test_modules_import_each_other_without_cycles():
    """Any module can be imported first."""
    asked = {module: set(imports(at_import_time(tree_of(module)))) for module in MODULES}
    graph = {module: (names & set(MODULES)) - {module} for module, names in asked.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_importing_nbflow_loads_nothing_heavy():
    """A fresh interpreter that imports nbflow has none of the notebook, data and cluster libraries in memory."""
    code = f"import nbflow, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
