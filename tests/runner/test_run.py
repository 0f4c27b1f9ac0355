"""Whole runs with real kernels: states are truthful, outputs find their cells, and the notebook is always saved."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from nbflow.exceptions import ConfigurationError
from nbflow.runner import RunOptions, run_notebook

from .conftest import Recorder, code, printed, statuses

# it kills itself when the runner has its words, as a file says
KILL = """\
import os, pathlib, signal, time
print("last words", flush=True)
while not pathlib.Path("heard").exists():
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


def cell_of(path, index):
    return json.loads(path.read_text())["cells"][index]


def test_a_run_fills_the_notebook_and_leaves_its_source_alone(folder):
    """Outputs, counts, stamps and states of a good run; parameters, tags, display ids and progress bars on the way."""
    path = folder.write(
        "nb.ipynb",
        code("n: int = 5", "parameters"),
        "print('n is', n)\nn * 2",
        code("1 / 0", "raises-exception"),
        code("raise RuntimeError('not run')", "skip-execution"),
        "   ",
        "import os\nprint({k: v for k, v in os.environ.items() if k.startswith('NBFLOW_')})",
        "for i in range(5):\n    print(f'\\r{i} of 5', end='', flush=True)\nprint()",
        "from IPython.display import display\nh = display('old', display_id=True)",
        "h.update('new')",
        "from IPython import get_ipython\nprint(get_ipython().parent_header['metadata'])",
    )
    before = Path(path).read_text()
    result = run_notebook(RunOptions(notebook=path, output="out/{n}.ipynb", parameters={"n": 7}, run_id="run-1"))
    saved = folder.path / "out" / "7.ipynb"
    assert (str(result.status), result.exit_code, result.run_id) == ("succeeded", 0, "run-1")
    assert Path(path).read_text() == before
    assert statuses(saved) == [*["succeeded"] * 4, "not_run", "not_run", *["succeeded"] * 5]
    assert printed(saved, 2) == "n is 7\n"
    assert cell_of(saved, 2)["outputs"][1]["data"]["text/plain"] == ["14"]
    assert cell_of(saved, 3)["outputs"][0]["ename"] == "ZeroDivisionError"
    assert "NBFLOW_RUN_ID': 'run-1'" in printed(saved, 6)
    assert printed(saved, 7) == "4 of 5\n"
    assert cell_of(saved, 8)["outputs"][0]["data"]["text/plain"] == ["'new'"]
    assert "'cellId': 'cell-10'" in printed(saved, 10)
    meta = cell_of(saved, 2)["metadata"]
    assert set(meta["execution"]) == {
        *("iopub.execute_input", "iopub.status.busy", "iopub.status.idle", "shell.execute_reply")
    }
    assert set(meta["nbflow"]) == {"schema_version", "status", "start_time", "end_time", "duration"}
    of_run = json.loads(saved.read_text())["metadata"]["nbflow"]
    assert (of_run["status"], of_run["run_id"], of_run["parameters"], of_run["schema_version"]) == (
        *("succeeded", "run-1", {"n": 7}, 1),
    )


def test_a_failing_cell_ends_the_run_and_is_saved_with_its_traceback(folder):
    """The cell after it never runs and says so, and keeps no output of an earlier run."""
    old = code("print('later')") | {"outputs": [{"output_type": "stream", "name": "stdout", "text": "old"}]}
    result, saved = folder.run("x = 1", "def f():\n    raise ValueError('bad')\nf()", old)
    assert (result.exit_code, result.reason) == (1, "cell 2 failed: ValueError: bad")
    assert statuses(saved) == ["succeeded", "failed", "not_run"]
    assert cell_of(saved, 1)["outputs"][0]["ename"] == "ValueError"
    assert cell_of(saved, 1)["metadata"]["nbflow"]["error"] == {"ename": "ValueError", "evalue": "bad"}
    assert cell_of(saved, 2)["outputs"] == []


@pytest.mark.parametrize(
    ("source", "exit_code", "status"),
    [
        ("%no_such_magic", 1, "failed"),
        ("import sys\nsys.exit(3)", 1, "failed"),
        ("import sys\nsys.exit(0)", 0, "succeeded"),
        ("exit()", 0, "succeeded"),
        ("input('?')", 1, "failed"),
    ],
)
def test_the_reply_of_the_kernel_decides(folder, source, exit_code, status):
    """A magic's UsageError leaves no error output and fails all the same; a clean exit ends the run, successfully."""
    result, saved = folder.run(source, "print('later')")
    assert (result.exit_code, statuses(saved)) == (exit_code, [status, "not_run"])


def test_a_killed_kernel_is_told_with_signal_and_cause(folder):
    """What it had printed is kept, the cell says kernel_died, the next one not_run."""
    recorder = Recorder()
    recorder.cell_printed = lambda *_: (folder.path / "heard").touch()
    result, saved = folder.run("x = 1", KILL, "print('later')", reporter=recorder)
    assert (str(result.status), result.exit_code) == ("kernel_died", 137)
    assert "SIGKILL" in result.reason
    assert "memory peaked at" in result.reason
    assert statuses(saved) == ["succeeded", "kernel_died", "not_run"]
    assert printed(saved, 1) == "last words\n"


def test_a_crash_in_native_code_shows_the_python_stack(folder):
    """A segmentation fault is exit code 138 and names the line of the cell that did it."""
    result, _ = folder.run("import ctypes\ndef culprit():\n    ctypes.string_at(0)\nculprit()")
    assert result.exit_code == 138
    assert "SIGSEGV" in result.reason
    assert "in culprit" in result.reason


def test_a_kernel_that_ends_itself_is_dead_too(folder):
    """os._exit(0) is no success: nobody knows what was lost."""
    result, _ = folder.run("import os\nos._exit(0)", "1")
    assert (str(result.status), result.exit_code) == ("kernel_died", 138)
    assert "exited with code 0" in result.reason


@pytest.mark.parametrize("wait", ["import time\ntime.sleep(60)", "import asyncio\nawait asyncio.sleep(60)"])
def test_a_cell_that_takes_too_long_is_interrupted_for_its_traceback(folder, wait):
    """Also one that awaits, whose loop sleeps through the signal."""
    begun = time.monotonic()
    result, saved = folder.run(f"print('begun')\n{wait}", "1", cell_timeout=0.5)
    assert (str(result.status), result.exit_code) == ("failed", 1)
    assert "longer than its timeout of 0.5 s" in result.reason
    assert statuses(saved) == ["timed_out", "not_run"]
    assert printed(saved, 0) == "begun\n"
    assert cell_of(saved, 0)["outputs"][-1]["ename"] in {"KeyboardInterrupt", "CancelledError"}
    assert time.monotonic() - begun < 5


def test_a_cell_that_ignores_the_interrupt_is_killed(folder):
    """The grace is over after a while; the cell's own file says what happened."""
    stubborn = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)"
    result, saved = folder.run(stubborn, cell_timeout=0.5, interrupt_grace=0.3)
    assert (result.exit_code, statuses(saved)) == (1, ["timed_out"])
    assert "ignored the interrupt" in result.reason


def test_the_timeout_of_the_run_is_124(folder):
    """However many cells share it."""
    result, saved = folder.run("x = 1", "import time\ntime.sleep(60)", "1", run_timeout=2.5)
    assert (str(result.status), result.exit_code) == ("timed_out", 124)
    assert statuses(saved) == ["succeeded", "timed_out", "not_run"]


def test_the_file_on_disk_tells_the_truth_while_a_cell_runs(folder):
    """A runner that is killed leaves: the cells before succeeded, this one running, the rest pending."""
    look = (
        "import json, time\n"
        "def look():\n"
        "    saved = json.load(open('nb.out.ipynb'))\n"
        "    states = [it['metadata']['nbflow']['status'] for it in (*saved['cells'], saved)]\n"
        "    return states if states[1] == 'running' else None\n"
        "while not (states := look()):\n"
        "    time.sleep(0.01)\n"
        "print(*states)"
    )
    result, saved = folder.run("print('one')", look, "3")
    assert result.exit_code == 0
    assert printed(saved, 1) == "succeeded running pending running\n"


def test_output_of_a_thread_reaches_the_notebook_after_its_cell_has_ended(folder):
    """What is printed between cells, or while the last one has ended, is not dropped."""
    thread = "import threading, time\ngo = threading.Event()\ndef f():\n    go.wait()\n    print('from the thread')\n"
    result, saved = folder.run(thread + "t = threading.Thread(target=f)\nt.start()", "go.set()\nt.join()")
    assert result.exit_code == 0
    assert printed(saved, 0) + printed(saved, 1) == "from the thread\n"


def test_the_state_of_widgets_is_saved_also_when_a_cell_fails(folder):
    """A failed run is looked at more closely than a good one."""
    result, saved = folder.run("import ipywidgets\nipywidgets.IntSlider(value=7)", "1 / 0")
    assert result.exit_code == 1
    state = json.loads(saved.read_text())["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert 7 in [it["state"].get("value") for it in state.values()]


def test_the_kernel_may_end_in_order(folder):
    """Exit handlers run, so an engine can close its store."""
    done = folder.path / "closed"
    result, _ = folder.run(f"import atexit, pathlib\natexit.register(pathlib.Path({str(done)!r}).touch)")
    assert result.exit_code == 0
    assert done.exists()


def test_a_kernel_that_does_not_end_is_killed(folder):
    """A hanging exit handler holds nobody up for longer than the grace."""
    begun = time.monotonic()
    result, _ = folder.run("import atexit, time\natexit.register(time.sleep, 60)", shutdown_grace=0.5)
    assert result.exit_code == 0
    assert time.monotonic() - begun < 10


def test_the_kernel_works_in_the_folder_of_the_notebook_unless_told(folder):
    """Relative paths in a notebook mean what they mean in Jupyter."""
    (folder.path / "sub").mkdir()
    path = folder.write("sub/nb.ipynb", "import os\nprint(os.getcwd())")
    run_notebook(RunOptions(notebook=path))
    assert printed(folder.path / "sub/nb.out.ipynb", 0) == f"{folder.path / 'sub'}\n"
    run_notebook(RunOptions(notebook=path, cwd=str(folder.path)))
    assert printed(folder.path / "sub/nb.out.ipynb", 0) == f"{folder.path}\n"


def test_what_happens_is_told_in_order(folder):
    """A reporter sees each cell begin, print and end."""
    recorder = Recorder()
    folder.run("print('a')", code("b", "skip-execution"), "1 / 0", "4", reporter=recorder)
    assert recorder.told == [
        ("started", 1),
        ("printed", 1, "stdout", "a\n"),
        ("ended", 1, "succeeded"),
        ("ended", 2, "not_run"),
        ("started", 3),
        ("ended", 3, "failed"),
        ("ended", 4, "not_run"),
    ]


def test_settings_of_users_under_our_metadata_key_stay(folder):
    """We own the keys that we write, not the others."""
    _, saved = folder.run(code("1", nbflow={"status": "stale", "timeout": 5}, other={"a": 1}))
    meta = cell_of(saved, 0)["metadata"]
    assert (meta["nbflow"]["timeout"], meta["nbflow"]["status"], meta["other"]) == (5, "succeeded", {"a": 1})


def test_a_disk_that_stops_taking_the_notebook_is_told(folder, monkeypatch):
    """The run goes on, for its effects are what matters, and does not pass for a success."""
    recorder = Recorder()
    monkeypatch.setattr("nbflow.runner.notebook_file.Path.replace", _refusing_after(2, os.replace))
    result, _ = folder.run("1", "2", reporter=recorder)
    assert (result.exit_code, result.reason) == (1, "the executed notebook could not be saved")
    assert [cell.status for cell in result.cells] == ["succeeded", "succeeded"]
    assert [kind for kind, *_ in recorder.told if kind == "warned"] == ["warned"]
    assert "No space left" in result.warnings[0]


def _refusing_after(count, real):
    calls = []

    def replace(self, target):
        calls.append(target)
        if len(calls) > count:
            raise OSError(28, "No space left on device")
        return real(self, target)

    return replace


def test_an_output_that_cannot_be_written_is_a_usage_error(folder):
    """Nothing runs when nothing can be saved."""
    (folder.path / "file").write_text("")
    path = folder.write("nb.ipynb", "1")
    with pytest.raises(ConfigurationError, match="can't make the output's folder"):
        run_notebook(RunOptions(notebook=path, output="file/nb.ipynb"))


def test_an_unknown_kernel_is_a_usage_error_that_names_those_there_are(folder):
    """Nothing is written for it."""
    path = folder.write("nb.ipynb", "1", kernelspec={"name": "nope", "display_name": "Nope", "language": "python"})
    with pytest.raises(ConfigurationError, match=r"no kernel 'nope' here \(installed: .*python3"):
        run_notebook(RunOptions(notebook=path))
    assert not (folder.path / "nb.out.ipynb").exists()


def kernel_that(folder, monkeypatch, script):
    """Install a kernel whose process runs a script with the connection file as its argument."""
    where = folder.path / "jupyter" / "kernels" / "odd"
    where.mkdir(parents=True)
    (where / "kernel.py").write_text(script)
    argv = ["python", str(where / "kernel.py"), "{connection_file}"]
    (where / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Odd", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(folder.path / "jupyter"))


REAL_KERNEL = "from ipykernel.kernelapp import launch_new_instance\nlaunch_new_instance(argv=['-f', sys.argv[1]])"


def test_a_kernel_whose_port_was_taken_is_started_again(folder, monkeypatch):
    """Ports are chosen before they are bound; a race for one must not fail a run."""
    first = "import sys, pathlib\nseen = pathlib.Path('seen')\nif not seen.exists():\n    seen.touch()\n"
    lose = "    sys.exit('zmq.error.ZMQError: Address already in use (addr=tcp://127.0.0.1:1)')\n"
    kernel_that(folder, monkeypatch, first + lose + REAL_KERNEL)
    result, _ = folder.run("1", kernel="odd")
    assert result.exit_code == 0
    assert (folder.path / "seen").exists()


def test_a_kernel_that_does_not_come_up_is_told_with_its_last_words(folder, monkeypatch):
    """A broken environment shows the reason, not just a code."""
    kernel_that(folder, monkeypatch, "raise SystemExit('ImportError: no such library')")
    result, saved = folder.run("1", kernel="odd")
    assert (str(result.status), result.exit_code) == ("kernel_died", 138)
    assert "ImportError: no such library" in result.reason
    assert statuses(saved) == ["not_run"]


def test_a_kernel_that_never_answers_is_given_up(folder, monkeypatch):
    """The startup has a timeout of its own."""
    kernel_that(folder, monkeypatch, "import time\ntime.sleep(60)")
    result, _ = folder.run("1", kernel="odd", startup_timeout=0.5)
    assert result.exit_code == 138
    assert "did not answer within 0.5 s" in result.reason


@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_interrupts_saves_and_exits_in_time(folder, signum, exit_code):
    """The running cell gets its traceback, the notebook is saved, all within five seconds."""
    folder.write("nb.ipynb", "x = 1", "open('begun', 'w').close()\nimport time\ntime.sleep(60)", "3")
    with folder.spawn("run", "nb.ipynb", "--run-id", "r", "--json") as runner:
        wait_for(folder.path / "begun", runner)
        sent = time.monotonic()
        runner.send_signal(signum)
        out, _ = runner.communicate(timeout=30)
    assert runner.returncode == exit_code
    assert time.monotonic() - sent < 5
    assert json.loads(out)["status"] == "interrupted"
    saved = folder.path / "nb.out.ipynb"
    assert statuses(saved) == ["succeeded", "failed", "not_run"]
    assert cell_of(saved, 1)["outputs"][-1]["ename"] == "KeyboardInterrupt"
    assert cell_of(saved, 1)["metadata"]["nbflow"]["reason"] == f"{signal.Signals(signum).name} received"


def test_a_signal_while_the_kernel_starts_ends_the_run(folder, monkeypatch):
    """No kernel is left behind."""
    kernel_that(folder, monkeypatch, "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(60)")
    folder.write("nb.ipynb", "1")
    with folder.spawn("run", "nb.ipynb", "--kernel", "odd") as runner:
        wait_for(folder.path / "pid", runner)
        runner.terminate()
        runner.communicate(timeout=30)
    assert runner.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder.path / "pid").read_text()), 0)
    assert statuses(folder.path / "nb.out.ipynb") == ["not_run"]


def wait_for(path, process):
    """Wait until a file is there and has something to say; fail if the process ends before."""
    deadline = time.monotonic() + 30
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
