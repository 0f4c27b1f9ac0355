"""The definitions of a notebook, run without the rest of it."""

from __future__ import annotations

import sys

import pytest

from nbflow.exceptions import ConfigurationError
from nbflow.notebook.definition_cells import run_definitions


@pytest.fixture(autouse=True)
def _own_main(monkeypatch):
    """Put the test run's own __main__ back."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def run(*cells):
    """Run the definitions of a notebook and return their names."""
    module = run_definitions(list(enumerate(cells, start=1)), "nb.ipynb")
    return {name for name in vars(module) if not name.startswith("__")}


def test_only_what_workflows_use_is_run():
    """Imports, values, classes, helpers and activities come along, and helpers of helpers; effects do not."""
    names = run(
        "%load_ext nbflow\nimport nbflow\nimport math, json",
        "raise SystemExit('not to be run')",
        "CITIES = ['Oslo']\nUNUSED = print('not to be run')",
        "class Row:\n    pass",
        "%%activity --retry 5\ndef cells_fetch(city):\n    return Row()",
        "def inner():\n    return math.pi\ndef outer():\n    return inner()\ndef plot():\n    return json",
        "@nbflow.workflow(name='cells_report')\ndef report():\n    return cells_fetch.map(CITIES), outer()",
        "handle = report.start()\nhandle.result()",
        "%%bash\necho hello (",
    )
    assert names == {"nbflow", "math", "json", "CITIES", "Row", "cells_fetch", "inner", "outer", "report"}


def test_what_a_workflow_needs_may_be_defined_in_several_ways():
    """By an import that may fail, by a condition, by several assignments, after the workflow."""
    names = run(
        "%%workflow\ndef cells_several():\n    return tomllib, LIMIT, late()",
        "try:\n    import tomllib\nexcept ImportError:\n    tomllib = None",
        "LIMIT = 1\nLIMIT += 2",
        "def late():\n    return 1",
    )
    assert names == {"cells_several", "tomllib", "LIMIT", "late"}


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%workflow\ndef broken(:\n    pass", r"nb\.ipynb, cell 2, line 2: "),
        (
            "import no_such_module\n@nbflow.workflow\ndef cells_broken():\n    no_such_module",
            "cell 2.*line 1.*no_such_module",
        ),
    ],
)
def test_a_cell_that_can_not_be_run_is_named(cell, message):
    """By its number, so that it is found."""
    with pytest.raises(ConfigurationError, match=message):
        run("import nbflow", cell)
