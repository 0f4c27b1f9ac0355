"""Marks: the three spellings of one thing, in a plain IPython shell."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
import warnings

import pytest

from nbflow import Activity, Workflow
from nbflow.core.definitions import REGISTRY
from nbflow.exceptions import ConfigurationError, DefinitionError
from nbflow.notebook.marks import take_cell_mark_for_line_mark, take_empty_cell_magic_for_line_magic


@pytest.mark.parametrize("mark", ["%%activity --retry 5", "%activity --retry 5"])
def test_all_functions_of_a_marked_cell_are_marked_with_its_options(shell, mark):
    """Functions, async functions and no others: classes, imports and values stay what they are."""
    shell.run(f"{mark}\nfrom json import dumps\nx = 1\ndef f(): pass\nasync def g(): pass\nclass K: pass")
    assert isinstance(shell["f"], Activity)
    assert isinstance(shell["g"], Activity)
    assert not any(isinstance(shell[name], Activity) for name in ("dumps", "x", "K"))
    assert shell["f"]._options.retry.maximum_attempts == 5


def test_a_function_is_marked_for_the_rest_of_its_own_cell(shell, env):
    """A cell may define a workflow and run it."""
    assert shell.run("%%workflow\ndef double(n):\n    return 2 * n\ndouble(4)") == 8
    assert len(env.client.rows("SELECT * FROM executions")) == 1


def test_what_has_a_mark_of_its_own_keeps_it(shell):
    """A decorator inside a marked cell wins."""
    shell.run(
        "%%activity --retry 5\nimport nbflow\n@nbflow.activity(retry=2)\ndef f(): pass\n@nbflow.workflow\ndef w(): pass"
    )
    assert shell["f"]._options.retry.maximum_attempts == 2
    assert isinstance(shell["w"], Workflow)


def test_other_decorators_apply_before_the_mark(shell):
    """The mark is the outermost decorator, and the stored source has the others."""
    shell.run("%%activity\nimport functools\n\n@functools.lru_cache\ndef f(n):\n    return n")
    assert isinstance(shell["f"], Activity)
    assert shell["f"].function.cache_info().hits == 0


def test_line_numbers_and_source_are_those_of_the_cell(shell):
    """Tracebacks point at the right line, and the definition is stored as it was written."""
    shell.run("%%workflow\n# a comment\n\ndef w():\n    # inside\n    return 1\n")
    code = shell["w"].function.__code__
    assert (code.co_firstlineno, inspect.getsource(shell["w"].function)) == (
        4,
        "def w():\n    # inside\n    return 1\n",
    )
    assert shell["w"].definition().source == "def w():\n    # inside\n    return 1\n"


def test_the_rest_of_a_marked_cell_is_plain_ipython(shell):
    """Top-level await, other magics and a shown last value work in it."""
    cell = "%%activity\nimport asyncio\ndef f(): return 7\nawait asyncio.sleep(0)\nwho = %who_ls\nf()"
    assert shell.run(cell) == 7
    assert "f" in shell["who"]


def test_a_marked_workflow_uses_activities_of_other_cells(shell, env):
    """Marks of several cells work together."""
    shell.run("%%activity\ndef fetch(n):\n    return n + 1")
    shell.run("%workflow\nasync def collect(n):\n    return await fetch(n) + await fetch(n)")
    assert shell.run("await collect(1)") == 4


@pytest.mark.parametrize(
    ("cell", "error", "part"),
    [
        ("%%activity\ndef good(): pass\ndef bad():\n    yield 1", DefinitionError, "bad is a generator function"),
        ("%%activity\ndef good(): pass\nasync def bad():\n    yield 1", DefinitionError, "bad is a generator function"),
        ("%%activity --run-in process\ndef good(): pass\nasync def bad(): pass", DefinitionError, "bad is async def"),
        ("%%activity --retires 5\ndef good(): pass", ConfigurationError, "did you mean --retry?"),
        ("%%workflow --id x\ndef good(): pass\ndef also(): pass", ConfigurationError, "for one function"),
        ("%%workflow\ngood = 1", DefinitionError, "defines none at its top level"),
        ("%%workflow", DefinitionError, "defines none at its top level"),
        ("good = 1\n%workflow\ndef f(): pass", DefinitionError, "has to be the first statement"),
    ],
)
def test_a_wrong_cell_is_refused_before_any_of_it_is_marked(shell, cell, error, part):
    """Either all functions of a cell are marked, or none; and the error is a real one."""
    before = set(REGISTRY.names("activity") + REGISTRY.names("workflow"))
    with pytest.raises(error) as caught:
        shell.run(cell)
    assert part in str(caught.value)
    assert set(REGISTRY.names("activity") + REGISTRY.names("workflow")) == before
    assert not isinstance(shell.ip.user_ns.get("good"), Activity)


def test_an_exception_in_a_marked_cell_leaves_no_function_unmarked(shell):
    """What was defined before the exception is marked, and so can't run as a plain function by mistake."""
    with pytest.raises(ZeroDivisionError):
        shell.run("%%workflow\ndef first(): pass\n1 / 0\ndef second(): pass")
    assert isinstance(shell["first"], Workflow)
    assert "second" not in shell.ip.user_ns


def test_nested_functions_and_generators_are_left_alone(shell):
    """Only what stands at the left margin is marked; an inner generator does not make its function one."""
    shell.run(
        "%%activity\ndef f():\n    def inner():\n        yield 1\n    return list(inner())\nif True:\n    def g(): pass"
    )
    assert shell["f"]() == [1]
    assert not isinstance(shell["g"], Activity)


@pytest.mark.parametrize("outer", ["%%time", "%%capture out"])
def test_a_mark_inside_another_cell_magic_works(shell, outer, capsys):
    """Magics that run their cell run a marked one too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shell.run(f"{outer}\n%%workflow\ndef w(): pass")
    assert isinstance(shell["w"], Workflow)


def test_a_workflow_whose_source_is_unknown_is_told_about(shell, capsys):
    """Under %%time Python does not keep the source, so the execution could not be rebuilt elsewhere."""
    with pytest.warns(UserWarning, match="w has no source that Python knows"):
        shell.run("%%time\n%%workflow\ndef w(): pass")


def test_the_magic_itself_runs_a_marked_cell(shell):
    """run_cell_magic, as other magics call it, keeps the source and returns the last value."""
    assert shell.ip.run_cell_magic("workflow", "--name other", "\ndef w():\n    return 1\n5") == 5
    assert shell["w"].name == "other"
    assert "return 1" in shell["w"].definition().source


def test_transformers_are_pure_and_keep_the_number_of_lines():
    """They run for completeness checks too, any number of times."""
    lines = ["%%workflow --id x\n", "def w():\n", "    return 1\n"]
    given = copy.copy(lines)
    assert take_cell_mark_for_line_mark(lines) == ["%workflow --id x\n", "def w():\n", "    return 1\n"]
    assert lines == given
    for other in (
        ["%%workflow?\n", "x\n"],
        ["%%workflows\n", "x\n"],
        ["%%sql\n", "x\n"],
        ["%workflow\n", "x\n"],
        [],
        ["%%workflow\n"],
    ):
        assert take_cell_mark_for_line_mark(other) == other
    assert take_empty_cell_magic_for_line_magic(["%%flowsql\n", "\n"]) == ["%flowsql\n", "\n"]
    assert take_empty_cell_magic_for_line_magic(lines) == lines


@pytest.mark.parametrize(
    ("cell", "status"),
    [("%%workflow", "incomplete"), ("%%workflow\ndef w():", "incomplete"), ("%%workflow\nx = 1", "complete")],
)
def test_completeness_is_judged_by_the_python_below_the_mark(shell, cell, status):
    """A console that asks after each line neither runs a cell too early nor waits for ever."""
    assert shell.ip.check_complete(cell)[0] == status


def test_a_plain_script_marks_with_decorators():
    """Without IPython the decorators are all there is, and need none of the notebook layer."""
    code = "import nbflow, sys\n@nbflow.workflow\ndef w(): return 1\nassert 'IPython' not in sys.modules; print(w)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "<workflow w()>"
