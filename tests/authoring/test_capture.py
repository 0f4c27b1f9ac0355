# ruff: noqa: E501, ISC004  (cells of a notebook, one a line)
"""Definitions: what is taken down of a function, and the function that comes out of it elsewhere."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import textwrap

import pytest
from notebook_cells import Notebook, rebuilt
from replay_player import Player

from nbflow.core.definitions import REGISTRY
from nbflow.exceptions import MissingDefinitionError


def result_of(definition, *args):
    """Run a workflow that waits for nothing."""
    player = Player(lambda: None, *args)
    player.definition = definition
    player.instance = player.fresh()
    player.start()
    assert player.status == "Completed", player.failure
    player.close()
    return player.result


def both(notebook: Notebook, *args):
    """Run a notebook's `flow` as it stands and rebuilt; the results must agree."""
    definition = notebook["flow"].definition()
    result = result_of(definition, *args)
    assert result_of(rebuilt(definition, notebook.find), *args) == result
    return result


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("@workflow\ndef flow(): return 1", 1),
        ("@workflow\nasync def flow(): return 1", 1),
        ("@nbflow.workflow\ndef flow(x=2, *, y=3): return x + y", 5),
        ("def twice(x): return 2 * x\n@workflow\ndef flow(): return twice(4)", 8),
        ("def f(x): return g(x) + 1\ndef g(x): return 2 * x\n@workflow\ndef flow(): return f(4)", 9),
        ("def fact(n): return n * fact(n - 1) if n else 1\n@workflow\ndef flow(): return fact(5)", 120),
        ("def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\n"
         "@workflow\ndef flow(): return [even(4), odd(4)]", [True, False]),
        ("RATE = 1.5\nCITIES = ['Oslo', 'Rome']\nTABLE = {'a': (1, {2})}\n"
         "@workflow\ndef flow(): return [RATE, CITIES, list(TABLE['a'][1])]", [1.5, ["Oslo", "Rome"], [2]]),
        ("ALLOWED = frozenset({'a'})\n@workflow\ndef flow(): return ['a' in ALLOWED, isinstance(ALLOWED, frozenset)]",
         [True, True]),
        ("INF = float('inf')\n@workflow\ndef flow(): return INF > 5", True),
        ("import math\n@workflow\ndef flow(): return math.floor(math.pi)", 3),
        ("import os.path as p\n@workflow\ndef flow(): return p.basename('a/b')", "b"),
        ("from math import floor as down, pi\n@workflow\ndef flow(): return down(pi)", 3),
        ("from collections import Counter\n@workflow\ndef flow(): return Counter('aab').most_common(1)[0][1]", 2),
        ("import numpy as np\n@workflow\ndef flow(): return int(np.sqrt(16))", 4),
        ("from numpy import sqrt\n@workflow\ndef flow(): return int(sqrt(16))", 4),
        ("double = lambda x: 2 * x\n@workflow\ndef flow(): return double(3)", 6),
        ("def g(x): return x + 1\nalias = g\n@workflow\ndef flow(): return alias(1)", 2),
        ("import functools\n@functools.cache\ndef slow(x): return x * 3\n@workflow\ndef flow(): return slow(2)", 6),
        ("def make(k):\n def add(n): return n + k\n return add\nadd2 = make(2)\n@workflow\ndef flow(): return add2(1)", 3),
        ("class Point:\n def __init__(self, x): self.x = x\n def up(self): return self.x + STEP\nSTEP = 10\n"
         "@workflow\ndef flow(): return Point(1).up()", 11),
        ("class Base:\n a = 1\nclass Child(Base):\n b = 2\n@workflow\ndef flow(): return Child.a + Child.b", 3),
        ("from dataclasses import dataclass\n@dataclass\nclass Order:\n city: str\n n: int = 1\n"
         "@workflow\ndef flow(): return [Order('Oslo').city, Order('Oslo').n]", ["Oslo", 1]),
        ("from enum import Enum\nclass Color(Enum):\n RED = 1\n@workflow\ndef flow(): return Color.RED.value", 1),
        ("from collections import namedtuple\nPair = namedtuple('Pair', 'a b')\n"
         "@workflow\ndef flow(): return Pair(1, 2).b", 2),
        ("@workflow\ndef flow():\n def inner(x): return x + OFFSET\n return inner(1)\nOFFSET = 4", 5),
        ("@workflow\ndef flow(): return [x * N for x in range(3)]\nN = 2", [0, 2, 4]),
        ("N = 5\n@workflow\ndef flow(x=N): return x", 5),
        ("def flow():\n return 3\nflow = workflow(flow)", 3),
        ("@workflow\ndef flow() -> 'pd.DataFrame': return 3", 3),
        ("import typing as t\n@workflow\ndef flow(x: t.Optional[int] = None) -> t.List[int]: return [1]", [1]),
    ],
)  # fmt: skip
def test_a_notebooks_function_is_rebuilt_with_what_it_uses(cell, expected):
    """Helpers, classes, constants, imports, closures, recursion, decorators: the rebuilt function does the same."""
    assert both(Notebook(cell)) == expected


def test_decorators_below_the_mark_are_kept_and_those_above_are_not():
    """What was marked is what is rebuilt."""
    notebook = Notebook(
        """
        import functools
        def shout(function):
            @functools.wraps(function)
            def wrapper(*args): return function(*args) + '!'
            return wrapper
        def never(function): raise RuntimeError('not for the workflow')
        @workflow
        @shout
        def flow(word): return word
        """
    )
    assert both(notebook, "hey") == "hey!"


# Versions.


def hash_of(*cells: str) -> str:
    return Notebook(*cells)["flow"].definition().hash


BASE = """
def helper(x):
    return x + RATE
RATE = 2
@workflow
def flow(x):
    return helper(x)
"""


@pytest.mark.parametrize(
    "same",
    [
        BASE.replace("return helper(x)", "# a remark\n    return  helper( x )  # another"),
        BASE.replace("def helper(x):", "def helper( x ):\n    # a remark"),
        BASE + "\nUNRELATED = 5\ndef other(): return 1\n",
        BASE.replace("x + RATE", "(x + RATE)"),
    ],
)
def test_spacing_comments_and_unrelated_code_do_not_make_a_version(same):
    """The hash is of what the code means."""
    assert hash_of(same) == hash_of(BASE)


@pytest.mark.parametrize(
    "other",
    [
        BASE.replace("return helper(x)", "return helper(x) + 1"),
        BASE.replace("x + RATE", "x - RATE"),
        BASE.replace("RATE = 2", "RATE = 3"),
        BASE.replace("RATE = 2", "RATE = [2]"),
        BASE.replace("def flow(x)", "def flow(x, y=1)"),
        BASE.replace("@workflow", "@workflow(name='renamed')"),
    ],
)
def test_another_meaning_is_another_version(other):
    """Own code, a helper's code, a constant, the signature, the name."""
    assert hash_of(other) != hash_of(BASE)


def test_a_local_name_like_a_globals_is_not_captured():
    """A variable of the function is its own business."""
    cell = "@workflow\ndef flow():\n df = [1]\n return [df for df in df]"
    assert hash_of("df = 1", cell) == hash_of("df = 2", cell) == hash_of(cell)


def test_a_helper_that_changes_later_makes_a_version_at_the_next_look():
    """Running a helper's cell again is enough."""
    notebook = Notebook(BASE)
    first = notebook["flow"].definition()
    assert notebook["flow"].definition() is first
    notebook.run("def helper(x): return x * 100")
    second = notebook["flow"].definition()
    assert second.hash != first.hash
    assert (result_of(first, 1), result_of(second, 1)) == (3, 100)


def test_a_list_that_changes_in_place_makes_a_version():
    """Each version keeps the values it was captured with."""
    notebook = Notebook("CITIES = ['Oslo']\n@workflow\ndef flow(): return CITIES")
    first = notebook["flow"].definition()
    notebook["CITIES"].append("Rome")
    second = notebook["flow"].definition()
    assert (result_of(first), result_of(second)) == (["Oslo"], ["Oslo", "Rome"])
    assert (result_of(rebuilt(first)), result_of(rebuilt(second))) == (["Oslo"], ["Oslo", "Rome"])


def test_what_one_execution_changes_no_other_sees():
    """A captured list is copied for each execution, so a replay finds it as it was."""
    notebook = Notebook("SEEN = []\n@workflow\ndef flow():\n SEEN.append(1)\n return SEEN")
    definition = notebook["flow"].definition()
    assert [result_of(definition), result_of(definition)] == [[1], [1]]
    assert notebook["SEEN"] == []


def test_the_hash_is_the_same_in_every_process(tmp_path):
    """Sets, functions without source, dicts: nothing of it depends on addresses or on the hash seed."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import nbflow
            NAMES = {"Oslo", "Rome", "Bergen", "Paris"}
            exec("@nbflow.workflow\\ndef nowhere(x=1): return [x, {1, 2}, NAMES]")
            @nbflow.workflow
            def flow(): return NAMES
            print(flow.definition().hash, nowhere.definition().hash)
        """)
    )
    hashes = {
        subprocess.run(
            [sys.executable, script],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in "123"
    }
    assert len(hashes) == 1


# What can't be stored.


def test_what_can_not_be_stored_is_told_when_it_is_used():
    """A DataFrame of the notebook, say: the rest of the function runs."""
    notebook = Notebook(
        "import pandas as pd\ndf = pd.DataFrame()\n@workflow\ndef flow(look): return len(df) if look else 7"
    )
    definition = rebuilt(notebook["flow"].definition())
    assert result_of(definition, False) == 7
    player = Player(lambda: None, True)
    player.definition = definition
    player.instance = player.fresh()
    with pytest.raises(MissingDefinitionError, match=r"workflow flow uses 'df', a DataFrame that could not be stored"):
        player.start()
    player.close()


def test_helpers_that_mean_different_things_by_one_name_are_not_mixed_up():
    """Two closures over another k: rather told than wrong."""
    notebook = Notebook(
        """
        def make(k):
            def add(n): return n + k
            return add
        add1, add2 = make(1), make(2)
        @workflow
        def flow(): return [add1(0), add2(0)]
        """
    )
    definition = notebook["flow"].definition()
    assert result_of(definition) == [1, 2]
    entries = json.loads(definition.manifest)["globals"]
    assert "whose k is not the k of another" in entries["add2"]["missing"]


def test_a_missing_package_is_named():
    """In a process that lacks it."""
    notebook = Notebook("import numpy\n@workflow\ndef flow(): return numpy.pi")
    definition = notebook["flow"].definition()
    manifest = definition.manifest.replace('"import": "numpy"', '"import": "nowhere_to_be_found"')
    with pytest.raises(MissingDefinitionError, match="imports 'nowhere_to_be_found', which is not installed here"):
        rebuilt(type(definition)(**{**vars(definition), "manifest": manifest}))


def test_a_function_without_source_says_so():
    """Python keeps no source of what exec made."""
    namespace = Notebook().namespace
    exec("@workflow\ndef flow(): return 1", namespace)
    with pytest.raises(MissingDefinitionError, match="its source was not stored"):
        rebuilt(namespace["flow"].definition())


# References.


def test_names_of_nbflow_are_stored_as_public_ones():
    """Where they live within nbflow may change."""
    notebook = Notebook(
        "from nbflow import sleep as nap, logger, RetryPolicy, ApplicationError\n"
        "@workflow\ndef flow():\n logger.info('x')\n RetryPolicy(), ApplicationError('x')\n return nap.__name__"
    )
    entries = json.loads(notebook["flow"].definition().manifest)["globals"]
    assert entries["nap"] == {"from": "nbflow", "name": "sleep"}
    assert entries["logger"] == {"from": "nbflow", "name": "logger"}
    assert both(notebook) == "sleep"


def test_activities_are_stored_by_name_with_what_was_changed():
    """Also a variant with options of its own keeps them."""
    notebook = Notebook(
        """
        @activity(retry=3, start_to_close_timeout='30s')
        def fetch(x): return x
        patient = fetch.options(retry=9, summary='again')
        @workflow
        async def flow(): fetch(1), patient(2)
        """
    )
    definition = notebook["flow"].definition()
    assert json.loads(definition.manifest)["globals"]["fetch"] == {"definition": ["activity", "fetch"]}
    again = rebuilt(definition, notebook.find)
    for it in (definition, again):
        player = Player(lambda: None)
        player.definition = it
        player.instance = player.fresh()
        player.start()
        first, second = player.history[1:3]
        assert (first.retry_policy["maximum_attempts"], first.start_to_close_timeout) == (3, 30.0)
        assert (second.retry_policy["maximum_attempts"], second.summary) == (9, "again")
        player.close()


def test_an_activity_that_is_nowhere_is_told_when_it_is_called():
    """Not before."""
    notebook = Notebook("@activity\ndef fetch(x): return x\n@workflow\ndef flow(call): return fetch(1) if call else 2")
    definition = rebuilt(notebook["flow"].definition())
    assert result_of(definition, False) == 2


# Functions of modules.

MODULE = """
import nbflow
STEP = object()
def helper(x): return x + 1
@nbflow.workflow
def flow(x):
    assert STEP
    return helper(x)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that can be imported, and imported again when it has changed."""
    path = tmp_path / "nbflow_capture_module.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("nbflow_capture_module"), path
    sys.modules.pop("nbflow_capture_module", None)


def test_a_modules_function_is_imported(module):
    """It is the module's own function that runs."""
    definition = module[0].flow.definition()
    assert rebuilt(definition).function is module[0].flow.function


def test_a_modules_function_is_rebuilt_when_the_module_has_changed(module):
    """An execution stays with the code it began with; what could not be stored is the module's own."""
    definition = module[0].flow.definition()
    sys.modules.pop("nbflow_capture_module")
    module[1].write_text(MODULE.replace("x + 1", "x + 100"))
    importlib.invalidate_caches()
    again = rebuilt(definition)
    assert result_of(again, 1) == 2
    assert result_of(importlib.import_module("nbflow_capture_module").flow.definition(), 1) == 101


def test_importing_for_a_rebuild_makes_nothing_current(module):
    """What an import registers on the way does not take the place of what the notebook defined."""
    definition = module[0].flow.definition()
    sys.modules.pop("nbflow_capture_module")
    notebook = Notebook("@workflow\ndef flow(x): return -1")
    rebuilt(definition)
    assert REGISTRY.current("workflow", "flow").hash == notebook["flow"].definition().hash
