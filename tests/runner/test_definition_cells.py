"""Of a notebook, or a Python file, what defines is run, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import nbformat

LOAD = """
import sys
from nbflow.core.definitions import REGISTRY
from nbflow.runner.definition_cells import load_definitions
print(load_definitions(sys.argv[1]))
print(*REGISTRY.names("workflow"), *REGISTRY.names("activity"))
print(REGISTRY.current("activity", "add_bonus").function(1))
"""
CELLS = [
    "import nbflow\n%load_ext nbflow",
    "%%activity\ndef add_bonus(x):\n    return x + BONUS",
    "BONUS = 100",
    "%%workflow --retry 2\ndef bonus(x):\n    return add_bonus(x)",
    "@nbflow.workflow\nasync def other(): ...",
    "nbflow.schedule('s', bonus, 1, every='1h')",
    "raise SystemExit('it ran')",
    "BONUS = 1 / 0",
    "this is no Python",
    "",
]


def load(path):
    """Load in a process of its own: its ``__main__`` becomes the notebook's."""
    command = [sys.executable, "-c", LOAD, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=path.parent)


def test_cells_that_only_define_are_run(tmp_path):
    """Imports, marked and decorated functions, plain values; no store is made."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbformat.write(notebook, tmp_path / "a.ipynb")
    done = load(tmp_path / "a.ipynb")
    told, names, answer = done.stdout.splitlines()
    assert told.endswith("are loaded: 5 of its 10 code cells, the others do more than define")
    assert (names, answer) == ("bonus other add_bonus", "101")
    assert [file.name for file in tmp_path.iterdir()] == ["a.ipynb"]


def test_a_python_file_is_imported(tmp_path):
    """As a module of its name."""
    (tmp_path / "jobs.py").write_text("import nbflow\n\n@nbflow.activity\ndef add_bonus(x):\n    return x + 1\n")
    assert load(tmp_path / "jobs.py").stdout.splitlines()[1:] == [" add_bonus".strip(), "2"]


def test_a_definition_that_fails_is_named(tmp_path):
    """With its cell and what it said."""
    cells = [nbformat.v4.new_code_cell(cell) for cell in ("import nbflow", "import no_such_module")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    assert "ConfigurationError: code cell 2 of" in load(tmp_path / "a.ipynb").stderr
    assert "there is no Python file" in load(tmp_path / "none.py").stderr
