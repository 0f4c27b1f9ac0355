"""The benchmark harness: tiny series run to figures, and the table says what they mean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from benchmarks.__main__ import main
from benchmarks.engines import ENGINES, Engine
from benchmarks.runner import ROOT, Outcome, run
from benchmarks.table import markdown, medians
from benchmarks.venvs import NotInstallableError, python_of
from benchmarks.workloads import WORKLOADS, parse

RAW = ["raw_fdatasync", "raw_duckdb", "raw_appender"]


def outcome(engine, workload, **figures):
    return Outcome(engine, WORKLOADS[workload].title, 0, WORKLOADS[workload].full, figures)


def played(engine, workload):
    return run(ENGINES[engine], WORKLOADS[workload], quick=True, timeout=60)


@pytest.mark.parametrize("workload", ["w1", "w2", "w3", "w6", "w7"])
@pytest.mark.parametrize("engine", RAW)
def test_a_floor_yields_figures(engine, workload):
    """Each raw floor gives positive figures that the workload's cell can tell."""
    ran = played(engine, workload)
    assert ran.error == ""
    assert ran.figures[WORKLOADS[workload].headline] > 0
    assert WORKLOADS[workload].cell(ran.figures)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_plays_on_nbflow(workload):
    """nbflow gives figures for each workload; W4 and W5 go on in a second process after the first was killed."""
    ran = played("nbflow_async", workload)
    assert ran.error == ""
    assert ran.figures[WORKLOADS[workload].headline] > 0
    assert all(value > 0 for value in ran.figures.values())


@pytest.mark.parametrize("workload", ["w1", "w2", "w5"])
def test_plain_functions_play_too(workload):
    """The other colour of functions runs the same workloads: steps in sequence, gathered, and after a crash."""
    ran = played("nbflow_threads", workload)
    assert ran.error == ""
    assert ran.figures[WORKLOADS[workload].headline] > 0


def test_a_run_ends_with_the_one_who_started_it():
    """When the parent is gone, the run kills its process group: no server outlives an interrupted series."""
    reading, writing = os.pipe()
    order = {"library": "no_such_library", "pipe": writing}
    command = [sys.executable, "-m", "benchmarks.child", json.dumps(order)]
    run_ = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, pass_fds=[writing], cwd=ROOT)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert "no_such_library" in pipe.readline()
    assert run_.poll() is None
    run_.stdin.close()
    assert run_.wait(30) == -signal.SIGKILL


def test_what_an_engine_cannot_play_is_told_as_not_available():
    """A workload without a function in the adapter is no failure: its cell says n/a."""
    ran = played("raw_fdatasync", "w4")
    assert ran.unavailable
    table = markdown([ran], [ENGINES["raw_fdatasync"]], [WORKLOADS["w4"]])
    assert "| raw_fdatasync | n/a |" in table


def test_an_adapter_that_breaks_is_told_with_its_error():
    """A run that fails carries its traceback, its cell says so and the error stands below the table."""
    broken = Engine("broken", "raw_file", "no_such_library")
    ran = run(broken, WORKLOADS["w7"], quick=True, timeout=60)
    assert "no_such_library" in ran.error
    table = markdown([ran], [broken], [WORKLOADS["w7"]])
    assert "| broken | failed |" in table
    assert "ModuleNotFoundError" in table


def test_ratios_say_how_many_times_better_the_reference_is():
    """A longer time and a lower rate both give a ratio above one."""
    outcomes = [
        outcome("nbflow_async", "w1", ms_p50=1.0, ms_p99=2.0),
        outcome("dbos", "w1", ms_p50=3.0, ms_p99=4.0),
        outcome("nbflow_async", "w2", steps_s=20_000.0),
        outcome("dbos", "w2", steps_s=400.0),
    ]
    engines = [ENGINES["nbflow_async"], ENGINES["dbos"]]
    table = markdown(outcomes, engines, [WORKLOADS["w1"], WORKLOADS["w2"]])
    assert "| nbflow_async | 1 (2) | 20,000 |" in table
    assert "| dbos | 3 (4) x3 | 400 x50 |" in table


def test_cells_are_medians_over_the_repetitions():
    """One disturbed run among three does not move a figure."""
    outcomes = [outcome("dbos", "w2", steps_s=rate) for rate in (300.0, 310.0, 20.0)]
    assert medians(outcomes)["dbos", WORKLOADS["w2"].title] == {"steps_s": 300.0}


def test_the_best_run_can_be_shown_instead():
    """On a busy machine the highest rate and the shortest time are the least disturbed ones."""
    outcomes = [outcome("dbos", "w2", steps_s=rate) for rate in (300.0, 310.0, 20.0)]
    outcomes += [outcome("dbos", "w1", ms_p50=time, ms_p99=9.0) for time in (3.0, 2.0, 4.0)]
    table = markdown(outcomes, [ENGINES["dbos"]], [WORKLOADS["w1"], WORKLOADS["w2"]], pick_best=True)
    assert "| dbos | 2 (9) | 310 |" in table


def test_sizes_can_be_given_on_the_command_line():
    """`w4:n=100000` changes one size and says so in the head of its column."""
    workload = parse("w4:n=100_000")
    assert workload.full["n"] == 100_000
    assert "n=100000" in workload.title
    with pytest.raises(SystemExit, match="no parameter sleepers"):
        parse("w4:sleepers=3")


def test_a_peer_without_a_fitting_python_is_refused_with_what_to_do(monkeypatch):
    """Where no Python is new enough, the message names the variable to set."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", "/nonexistent")
    future = Engine("future", "raw_file", "os", requirements=("no-such-peer==1",), python=(sys.version_info[0], 99))
    with pytest.raises(NotInstallableError, match="NBFLOW_BENCHMARK_PYTHON"):
        python_of(future)


def test_one_command_prints_the_table_and_writes_every_run(tmp_path, capsys):
    """`python -m benchmarks` gives Markdown on stdout and all runs, with their surroundings, as JSON."""
    file = tmp_path / "figures.json"
    options = ["--quick", "--repeat", "2", "--engines", "raw_fdatasync", "--workloads", "w1", "--json", str(file)]
    assert main(options) == 0
    assert "| raw_fdatasync |" in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert [it["repetition"] for it in written["runs"]] == [0, 1]
    assert written["machine"]["processors"] >= 1
