"""The size and shape of the code: short files, short functions, one reason for each file in its docstring."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(file for file in (ROOT / "nbflow").rglob("*.py") if file.stat().st_size)
TEST_FILES = sorted((ROOT / "tests").rglob("test_*.py"))

LONGEST_FILE = 500
# one file on purpose: the whole error tree can be read, and drawn, in one place
LONGER_FILES = {"nbflow/exceptions.py": 800}
LONGEST_FUNCTION = 60
SHORT_FUNCTION = 40
SHARE_OF_SHORT_FUNCTIONS = 0.9


def short(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring: explaining well must not count as being long."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        told = function.body[0]
        lines -= (told.end_lineno or 0) - told.lineno + 1
    return lines


@pytest.mark.parametrize("file", FILES, ids=short)
def test_a_file_says_why_it_exists_and_fits_in_the_head(file):
    """Each file has a module docstring and at most 500 lines."""
    text = file.read_text()
    assert ast.get_docstring(ast.parse(text)), "no module docstring"
    assert len(text.splitlines()) <= LONGER_FILES.get(short(file), LONGEST_FILE)


@pytest.mark.parametrize("file", FILES, ids=short)
def test_no_function_is_longer_than_a_screen(file):
    """No function has more than 60 lines of code."""
    lengths = {it.name: code_lines(it) for it in functions(ast.parse(file.read_text()))}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_nine_functions_in_ten_are_short():
    """Nine functions in ten have fewer than 40 lines of code."""
    lengths = [code_lines(it) for file in FILES for it in functions(ast.parse(file.read_text()))]
    assert sum(length < SHORT_FUNCTION for length in lengths) >= SHARE_OF_SHORT_FUNCTIONS * len(lengths)


@pytest.mark.parametrize("file", TEST_FILES, ids=short)
def test_every_test_states_the_behaviour_in_a_docstring(file):
    """A test's docstring is the sentence that it proves."""
    tests = [it for it in functions(ast.parse(file.read_text())) if it.name.startswith("test_")]
    assert [it.name for it in tests if not ast.get_docstring(it)] == []
