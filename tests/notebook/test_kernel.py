"""The extension in a real kernel, spoken to as front ends and runners do."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

DEFINE = """\
%%workflow
def nap(seconds: float) -> str:
    nbflow.sleep(seconds, summary="nap")
    return "done"
"""
DEFINE_ASYNC = """\
%%workflow
async def doze(seconds: float) -> str:
    await nbflow.sleep(seconds, summary="doze")
    return "done"
"""


def plain(text):
    """Return a traceback without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("%%activity --retires 5\ndef f(): pass", "ConfigurationError"),
        ("%%activity", "DefinitionError"),
        ("%%flowsql\nSELEC 1", "SqlError"),
        ("%%flowsql", "ConfigurationError"),
        ("%flowsql SELECT $nobody", "ConfigurationError"),
        ("%nbflow shwo x", "ConfigurationError"),
        ("%nbflow show nobody", "WorkflowNotFoundError"),
    ],
)
def test_a_magic_that_fails_is_one_short_real_error(kernel, code, error):
    """The reply is an error, there is an error output, and it has no frames of nbflow or IPython."""
    reply = kernel.run(code)
    assert (reply.status, reply.error, reply.errors) == ("error", error, "")
    assert plain(reply.traceback).startswith(f"{error}: ")
    assert "File " not in reply.traceback


def test_a_runner_fails_on_a_magic_that_fails(tmp_path):
    """nbclient stops at the cell, as it would at any exception."""
    cells = ["%load_ext nbflow", "%nbflow teleport"]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    there, quiet = {"metadata": {"path": str(tmp_path)}}, ["--log-level=ERROR"]
    client = NotebookClient(nb, timeout=60, resources=there, extra_arguments=quiet)
    with pytest.raises(CellExecutionError, match="has no verb 'teleport'"):
        client.execute()


def test_a_waiting_cell_updates_one_display_and_leaves_its_end(kernel):
    """A saved notebook keeps one line, which tells the outcome."""
    kernel.run(DEFINE)
    reply = kernel.run("nap.options(id='n1').start(1.2).result()")
    assert reply.result["text/plain"] == "'done'"
    assert len(reply.displays) == 1
    assert "► n1 Running · next timer" in reply.displays[0]["text/plain"]
    assert reply.updates[-1]["text/plain"].startswith("✓ n1 Completed · 1.")
    assert "✓ Completed" in reply.updates[-1]["text/html"]


def test_a_short_wait_leaves_the_output_clean(kernel):
    """What takes less than half a second shows nothing but its result."""
    kernel.run(DEFINE)
    reply = kernel.run("nap(0.05)")
    assert (reply.result["text/plain"], reply.displays) == ("'done'", [])


def test_an_awaiting_cell_shows_progress_too(kernel):
    """The kernel's loop goes on meanwhile."""
    kernel.run(DEFINE_ASYNC)
    reply = kernel.run("import asyncio\nawait asyncio.gather(doze(0.9), doze(1.1))")
    assert reply.result["text/plain"] == "['done', 'done']"
    assert len(reply.displays) == 1
    assert reply.updates[-1]["text/plain"].count("✓ doze-") == 2


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("h = nap.start(60)\nh.result()", "KeyboardInterrupt"),
        ("h = nap.start(60)\nawait h", "CancelledError"),
        ("h = doze.start(60)\nawait h", "CancelledError"),
    ],
)
def test_an_interrupt_detaches_and_the_workflow_runs_on(kernel, code, error):
    """The cell ends at once, in one line, and says how to wait again."""
    kernel.run(DEFINE)
    kernel.run(DEFINE_ASYNC)
    reply = kernel.run(code, interrupt_on="Running")
    assert (reply.status, reply.error, reply.traceback) == ("error", error, f"{error}: stopped waiting")
    assert "stopped waiting; workflow" in reply.errors
    assert "stopped waiting after" in reply.updates[-1]["text/plain"]
    assert reply.seconds_after_interrupt < 2
    assert kernel.run("h.status").result["text/plain"] == "'Running'"
    assert kernel.run("h.fire()\nh.result(timeout=30)").result["text/plain"] == "'done'"


def test_interrupting_a_direct_call_detaches_too(kernel):
    """Calling a workflow is starting it and waiting for it."""
    kernel.run(DEFINE)
    reply = kernel.run("nap(60)", interrupt_on="Running")
    assert (reply.error, reply.traceback) == ("KeyboardInterrupt", "KeyboardInterrupt: stopped waiting")
    assert kernel.run("nbflow.executions().status[0]").result["text/plain"] == "'Running'"


def test_a_handle_and_a_magic_show_html_and_text(kernel):
    """Both forms go to the front end, which chooses."""
    kernel.run(DEFINE)
    for code in ("nap.options(id='n1').start(60)", "%nbflow show n1", "%nbflow status", "%nbflow help"):
        result = kernel.run(code).result
        assert result["text/html"].startswith("<div")
        assert "<" not in result["text/plain"].replace("<lambda>", "")


def test_completeness_and_completion_work_through_the_kernel(kernel):
    """Consoles ask the kernel."""
    assert kernel.is_complete("%%workflow\ndef w():\n    return 1\n\n") == "complete"
    assert kernel.is_complete("%%workflow\ndef w():") == "incomplete"
    assert "executions" in kernel.complete("%%flowsql\nSELECT * FROM execut")
    assert kernel.complete("%nbflow fai") == ["failures"]


def test_output_of_a_headless_run_is_static(kernel):
    """Under NBFLOW_HEADLESS the line is drawn seldom, and its end is there."""
    kernel.run("import os; os.environ['NBFLOW_HEADLESS'] = '1'\n%reload_ext nbflow")
    try:
        kernel.run(DEFINE)
        reply = kernel.run("nap.options(id='n1').start(1.6).result()")
    finally:
        kernel.run("del os.environ['NBFLOW_HEADLESS']\n%reload_ext nbflow")
    assert (len(reply.displays), len(reply.updates)) == (1, 1)
    assert "✓ n1 Completed" in reply.updates[-1]["text/plain"]


def test_a_marked_workflow_resumes_from_its_stored_definition(kernel, tmp_path):
    """What a magic marked is stored like what a decorator marked: another process finishes it with no cell run."""
    store = tmp_path / "s.duckdb"
    kernel.run(f"nbflow.close(); _ = nbflow.open({str(store)!r})")
    kernel.run("%%activity --retry 2\ndef add(n):\n    return n + 1")
    kernel.run("%%workflow\ndef late(n):\n    nbflow.sleep(0.5)\n    return add(n)")
    assert kernel.run("_ = late.options(id='l1').start(4)\nnbflow.close()").status == "ok"
    code = f"""
    import nbflow
    nbflow.open({str(store)!r})
    print(nbflow.get("l1").result(timeout=30))
    nbflow.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("5\n", "")
