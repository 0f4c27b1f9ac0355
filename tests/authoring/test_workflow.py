# ruff: noqa: E501  (cells of a notebook, one a line)
"""@workflow: what starts, with which arguments and options, and what is said at definition time."""

from __future__ import annotations

import asyncio
import warnings

import pytest
from notebook_cells import Notebook
from replay_player import Player

import nbflow
from nbflow import DeterminismWarning, workflow
from nbflow.authoring import launcher
from nbflow.authoring.launcher import current_launcher, use_launcher
from nbflow.exceptions import ConfigurationError, DefinitionError


class Handle:
    """A handle whose result is what was asked for."""

    def __init__(self, request):
        self.request = request

    def result(self):
        return self.request[:2]

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return "awaited"


class Launcher:
    """Takes down what is started."""

    def __init__(self):
        self.started = []

    def start(self, definition, requests):
        self.started.append((definition, list(requests)))
        return [Handle(request) for request in requests]


@pytest.fixture
def started(monkeypatch):
    """Starts go to a launcher that only takes them down."""
    monkeypatch.setattr(launcher, "_factory", None)
    taken = Launcher()
    use_launcher(lambda: taken)
    return taken.started


@workflow(run_timeout="1h", summary="a report")
def report(city, days=30, *, dry=False):
    """Report on a city."""
    return city


@workflow
async def report_async(city):
    return city


def test_a_call_runs_to_the_end(started):
    """def: the result; async def: something to await."""
    assert report("Oslo", dry=True) == (("Oslo",), {"dry": True})
    assert asyncio.run(_await(report_async("Rome"))) == "awaited"
    assert [requests[0][0] for _, requests in started] == [("Oslo",), ("Rome",)]
    assert (report.__name__, report.__doc__, repr(report)) == (
        "report", "Report on a city.", "<workflow report(city, days=30, *, dry=False)>",
    )  # fmt: skip


async def _await(handle):
    return await handle


def test_start_gives_a_handle_and_passes_the_options_on(started):
    """Those of the decorator, changed by those of the call."""
    handle = report.options(id="r-1", id_conflict="fail").start(days=3, city="Oslo")
    assert handle.result() == (("Oslo", 3), {})
    options = started[0][1][0][2]
    assert (options.id, options.id_conflict, options.run_timeout, options.summary) == (
        "r-1",
        "fail",
        3600.0,
        "a report",
    )
    assert report.options().start("x").request[2].id is None


def test_start_many_is_one_request(started):
    """Tuples are several arguments, anything else is one; ids may be given."""
    handles = report.start_many([("Oslo", 3), "Rome"], ids=["a", "b"])
    assert [handle.result()[0] for handle in handles] == [("Oslo", 3), ("Rome",)]
    assert len(started) == 1
    assert [options.id for _, _, options in started[0][1]] == ["a", "b"]
    with pytest.raises(ConfigurationError, match="2 calls but 1 ids"):
        report.start_many(["Oslo", "Rome"], ids=["a"])


def test_map_gives_results_in_order(started):
    """One execution an item."""
    assert report.map(["Oslo", "Rome"]) == [(("Oslo",), {}), (("Rome",), {})]


def test_wrong_arguments_are_told_before_anything_starts(started):
    """With the signature."""
    with pytest.raises(ConfigurationError, match=r"report\(city, days=30, \*, dry=False\): missing a required"):
        report.start()
    assert started == []


def test_without_an_engine_it_says_so(monkeypatch):
    """Whoever uses authoring alone must register what starts executions."""
    monkeypatch.setattr(launcher, "_factory", None)
    with pytest.raises(ConfigurationError, match="no engine is registered"):
        current_launcher()


def test_a_workflow_in_a_workflow_is_a_child(started):
    """Nothing is launched from outside: the call is a command, with a readable id."""

    async def flow():
        report("Oslo")
        await nbflow.sleep(1)

    player = Player(flow).start()
    assert player.types == ["Started", "StartChildWorkflowExecutionInitiated", "TimerStarted"]
    assert player.history[1].workflow_id == "wf-1/report-1-run-1"
    assert started == []
    player.close()


def test_the_definition_that_starts_is_the_latest(started):
    """Helpers may have changed since the cell ran."""
    notebook = Notebook("def helper(): return 1\n@workflow\ndef flow(): return helper()")
    notebook["flow"].start()
    notebook.run("def helper(): return 2")
    notebook["flow"].start()
    first, second = (definition for definition, _ in started)
    assert first.hash != second.hash


@pytest.mark.parametrize("target", [3, lambda: 1])
def test_only_named_functions_can_be_marked(target):
    """Their names are in the history."""
    with pytest.raises(DefinitionError):
        workflow(target)


def test_marking_again_changes_the_options():
    """The function inside is the same."""
    assert workflow(name="other")(report).function is report.function


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("@workflow\ndef flow():\n    return open('x')", "workflow flow, line 3: open() reads or writes a file"),
        (
            "def rows(): return open('x')\n@workflow\ndef flow(): return rows()",
            "workflow flow uses rows, line 1: open()",
        ),
        (
            "import time\nclass Stamp:\n    def now(self): return time.time()\n@workflow\ndef flow(): return Stamp().now()",
            "workflow flow uses Stamp, line 2: time.time() in a class is not the same in every replay; use nbflow.now()",
        ),
    ],
)
def test_what_the_source_says_is_told_at_definition_time(cell, message):
    """Of the workflow, its helpers and its classes."""
    with pytest.warns(DeterminismWarning) as caught:
        Notebook(cell)
    assert any(str(it.message).startswith(message) for it in caught)


def test_a_clean_workflow_is_not_talked_about():
    """Silence is the rule."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Notebook("import time\ndef helper(): return time.time()\n@workflow\ndef flow(): return helper()")


def test_nbflow_names_are_those_that_workflows_use():
    """What is marked here is what the package exports."""
    assert nbflow.workflow is workflow
