"""Runs that continue: under the same run id nothing that had completed runs again, whoever was killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from nbflow.runner import RunOptions, run_notebook
from nbflow.runner.store_gate import wait_until_free

from .conftest import code, printed, statuses

# each activity leaves a line; the one named in the file `halt` says so and waits to be killed
DEFINITIONS = """\
import os, time, pathlib
from nbflow import activity, workflow

halt = pathlib.Path("halt")

@activity
def step(i: int) -> int:
    with open("effects", "a") as file:
        file.write(f"{i}\\n")
    if halt.exists() and halt.read_text() == str(i):
        halt.unlink()
        pathlib.Path("pid").write_text(str(os.getpid()))
        time.sleep(60)
    return i * i

@workflow
def total(n: int) -> int:
    return sum(step(i) for i in range(n))
"""
CELLS = [code("n = 6", "parameters"), DEFINITIONS, "print(total(n))", "print(total(2))"]


def effects(folder):
    return Counter((folder.path / "effects").read_text().split())


@pytest.mark.parametrize("victims", ["kernel", "runner", "both"])
def test_a_killed_run_continues_and_repeats_nothing_that_completed(folder, victims):
    """Only the activity that was under way, whose outcome nobody knows, runs once more."""
    folder.write("nb.ipynb", *CELLS)
    (folder.path / "halt").write_text("3")
    with folder.spawn("run", "nb.ipynb", "--run-id", "r", "--quiet") as runner:
        kernel = pid_in(folder.path / "pid", runner)
        if victims in {"runner", "both"}:
            runner.kill()
        if victims in {"kernel", "both"}:
            os.kill(kernel, signal.SIGKILL)
        _, told = runner.communicate(timeout=30)
    assert runner.returncode == (137 if victims == "kernel" else -signal.SIGKILL), told
    saved = folder.path / "nb.out.ipynb"
    assert statuses(saved)[2] == ("kernel_died" if victims == "kernel" else "running")
    again = run_notebook(RunOptions(notebook="nb.ipynb", run_id="r"))
    assert (again.exit_code, again.reason) == (0, None)
    assert (again.activities.replayed, again.activities.ran) == (3, 5)
    assert (printed(saved, 2), printed(saved, 3)) == ("55\n", "1\n")
    assert effects(folder) == {"0": 2, "1": 2, "2": 1, "3": 2, "4": 1, "5": 1}


def test_a_finished_run_answers_from_history(folder):
    """Running it once more runs no activity; a new run id starts from nothing."""
    path = folder.write("nb.ipynb", *CELLS)
    counts = []
    for run_id in ("first", "first", "second"):
        activities = run_notebook(RunOptions(notebook=path, run_id=run_id)).activities
        counts.append((activities.replayed, activities.ran, activities.failed, activities.open_executions))
    assert counts == [(0, 8, 0, 0), (8, 0, 0, 0), (0, 8, 0, 0)]


def test_an_execution_with_an_id_of_its_own_continues_under_any_run_id(folder):
    """Its name identifies it; the run that carries it on counts what it replayed and ran."""
    path = folder.write("nb.ipynb", CELLS[0], DEFINITIONS, "print(total.options(id='mine').start(n).result())")
    (folder.path / "halt").write_text("3")
    assert run_notebook(RunOptions(notebook=path, run_id="one", cell_timeout=2)).exit_code == 1
    activities = run_notebook(RunOptions(notebook=path, run_id="two")).activities
    assert (activities.replayed, activities.ran) == (3, 3)
    assert printed(folder.path / "nb.out.ipynb", 2) == "55\n"


def test_a_failed_run_continues_after_the_cause_is_gone(folder):
    """What had completed before the failure stays done."""
    fragile = DEFINITIONS.replace("time.sleep(60)", "raise ValueError('not today')")
    path = folder.write("nb.ipynb", CELLS[0], fragile, *CELLS[2:])
    (folder.path / "halt").write_text("4")
    failed = run_notebook(RunOptions(notebook=path, run_id="r"))
    assert (failed.exit_code, failed.activities.ran, failed.activities.failed) == (1, 4, 1)
    again = run_notebook(RunOptions(notebook=path, run_id="r"))
    assert again.exit_code == 0
    assert printed(folder.path / "nb.out.ipynb", 2) == "55\n"


def test_the_store_is_closed_in_order(folder):
    """After a run its log is part of the file, and another process can open it at once."""
    run_notebook(RunOptions(notebook=folder.write("nb.ipynb", *CELLS), store="sub.duckdb"))
    assert (folder.path / "sub.duckdb").is_file()
    assert not (folder.path / "sub.duckdb.wal").exists()


def test_a_notebook_without_workflows_says_nothing_about_activities(folder):
    """Nor does it make a store."""
    result, _ = folder.run("1")
    assert result.activities is None
    assert not list(folder.path.glob("*.duckdb"))


def test_a_store_that_is_held_is_waited_for(tmp_path):
    """An orphaned kernel lets go after a second; who holds it for longer is reported."""
    store = tmp_path / "held.duckdb"
    assert asyncio.run(wait_until_free(str(store)))
    with hold(store) as holder:
        assert not asyncio.run(wait_until_free(str(store), 0.1))
        holder.kill()
        assert asyncio.run(wait_until_free(str(store), 30))


def hold(path):
    """Hold a store in another process until its standard input ends."""
    source = (
        f"import duckdb, sys\nc = duckdb.connect({str(path)!r})\nc.execute('create table t as select 1')\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    return holder


def pid_in(path, process):
    """Wait until a file holds a process id."""
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
    return int(path.read_text())
