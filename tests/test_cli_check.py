"""``nbflow check``, as CI runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import nbformat

CELLS = [
    "%load_ext nbflow\nimport nbflow, pathlib",
    "%%workflow\ndef gate(n):\n    {}\n    nbflow.wait_for_signal('go')\n    return n",
    "pathlib.Path('it-ran').touch()\ngate.options(id='g').start(1)\nnbflow.close()",
]


def nbflow(folder, *arguments):
    """Run the command line in a folder."""
    command = [sys.executable, "-m", "nbflow", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def write(folder, body):
    """Write the notebook with a body for its workflow."""
    cells = [nbformat.v4.new_code_cell(cell.format(body)) for cell in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "gate.ipynb")


def test_the_gate_is_open_for_code_that_fits_and_shut_for_code_that_does_not(tmp_path):
    """Exit codes 0, 1 and 2; the report tells which execution, why and where, as text and as JSON."""
    write(tmp_path, "nbflow.sleep('30 days')")
    ran = nbflow(tmp_path, "run", "gate.ipynb")
    assert ran.returncode == 0, ran.stderr
    (tmp_path / "it-ran").unlink()
    fits = nbflow(tmp_path, "check", "gate.ipynb")
    assert (fits.returncode, fits.stdout) == (0, "the code fits 1 of 1 execution of gate\n"), fits.stderr
    write(tmp_path, "nbflow.wait_for_signal('other')")
    shut = nbflow(tmp_path, "check", "gate.ipynb", "--json")
    assert shut.returncode == 1, shut.stderr
    (row,) = json.loads(shut.stdout)["executions"]
    assert (row["workflow_id"], row["event"], row["command"]) == ("g", "TimerStarted(1)", "nothing")
    assert row["text"] == "nbflow.wait_for_signal('other')"
    assert nbflow(tmp_path, "check", "missing.ipynb").returncode == 2
    assert not (tmp_path / "it-ran").exists()
