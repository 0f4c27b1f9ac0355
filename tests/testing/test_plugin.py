"""The pytest plugin as a user has it: in a process of its own, with warnings as errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "tested_project"


def run_pytest(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run pytest with the plugin and no other; return exit code and output."""
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "nbflow.testing.plugin", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "NO_COLOR": "1"}
    done = subprocess.run(
        [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


def notebook(path: Path, *cells: str, parameters: str | None = None) -> None:
    """Write a notebook of code cells."""
    made = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": it} for it in cells]
    if parameters is not None:
        tagged = {**made[0], "source": parameters, "metadata": {"tags": ["parameters"]}} if made else {}
        made.insert(0, tagged)
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": made}))


def test_the_example_project_passes() -> None:
    """Its tests and its notebook are collected, and nothing is left behind."""
    before = sorted(EXAMPLE.rglob("*"))
    code, output = run_pytest(EXAMPLE, "-v")
    assert code == 0, output
    assert "7 passed" in output
    assert "orders.ipynb::orders PASSED" in output
    left = [path for path in sorted(EXAMPLE.rglob("*")) if path not in before and "__pycache__" not in path.parts]
    assert left == []


def test_notebooks_that_pass_and_fail(tmp_path: Path) -> None:
    """A failure shows the cell and its traceback; parameters reach the notebooks; what a run wrote is no test."""
    notebook(tmp_path / "good.ipynb", "assert city == 'Oslo'", parameters="city = 'Rome'")
    notebook(tmp_path / "bad.ipynb", "x = 1", "def divide(y):\n    return x / y", "print('before')\ndivide(0)")
    notebook(tmp_path / "bad.out.ipynb", "1 / 0")
    code, output = run_pytest(tmp_path, "--nbflow", "--nbflow-param", "city=Oslo", "-m", "nbflow_notebook")
    assert code == 1, output
    assert "1 failed, 1 passed" in output
    assert "cell 3 (failed)" in output or "cell 4 (failed)" in output
    assert "    divide(0)" in output
    assert "ZeroDivisionError: division by zero" in output
    assert "\x1b[" not in output
    assert {path.name for path in tmp_path.iterdir()} == {"good.ipynb", "bad.ipynb", "bad.out.ipynb"}


def test_what_one_test_defines_the_next_does_not_see(tmp_path: Path) -> None:
    """The fixture forgets a test's definitions, and the environment of one test is not that of the next."""
    (tmp_path / "test_leaks.py").write_text(
        "import pytest, nbflow\n"
        "from nbflow.core.definitions import REGISTRY\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_defines(n, nbflow_env):\n"
        "    assert 'leaky' not in REGISTRY.names('workflow')\n"
        "    @nbflow.workflow\n"
        "    def leaky() -> int:\n"
        "        return n\n"
        "    assert leaky.options(id='one')() == n\n"
        "def test_is_gone():\n"
        "    assert 'leaky' not in REGISTRY.names('workflow')\n"
    )
    code, output = run_pytest(tmp_path)
    assert (code, "3 passed" in output) == (0, True), output


def test_the_plugin_disturbs_nobody(tmp_path: Path) -> None:
    """Without its option no notebook is collected, and nothing heavy is loaded."""
    notebook(tmp_path / "bad.ipynb", "1 / 0")
    (tmp_path / "test_light.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    heavy = {'duckdb', 'IPython', 'nbclient', 'nbformat', 'pandas', 'pyarrow'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    code, output = run_pytest(tmp_path)
    assert (code, "1 passed" in output) == (0, True), output
