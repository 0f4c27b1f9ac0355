"""Notebooks to run, and ways to run them: in this process or, to be killed, in one of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nbflow
from nbflow.runner import RunOptions, run_notebook
from nbflow.runner.reporter import SilentReporter

ROOT = Path(nbflow.__file__).parent.parent


def code(source, *tags, **metadata):
    """Return a code cell."""
    cell = {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}
    if tags:
        cell["metadata"]["tags"] = list(tags)
    return cell


def notebook(*cells, **metadata):
    """Return a notebook of 4.4: its cells have no ids yet."""
    made = [code(cell) if isinstance(cell, str) else cell for cell in cells]
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}


def statuses(path):
    """Return the status that each code cell of a saved notebook bears."""
    cells = json.loads(Path(path).read_text())["cells"]
    return [cell["metadata"]["nbflow"]["status"] for cell in cells if cell["cell_type"] == "code"]


def printed(path, index):
    """Return what a cell of a saved notebook printed."""
    outputs = json.loads(Path(path).read_text())["cells"][index]["outputs"]
    return "".join("".join(it["text"]) for it in outputs if it["output_type"] == "stream")


class Recorder(SilentReporter):
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def cell_started(self, step):
        self.told.append(("started", step.number))

    def cell_printed(self, step, stream, text):
        self.told.append(("printed", step.number, stream, text))

    def cell_ended(self, step, result):
        self.told.append(("ended", step.number, str(result.status)))

    def warned(self, text):
        self.told.append(("warned", text))


class Process(subprocess.Popen):
    """A process that does not outlive its `with` block."""

    def __exit__(self, *error):
        self.kill()
        super().__exit__(*error)


class Folder:
    """A folder to run notebooks in."""

    def __init__(self, path):
        self.path = path

    def write(self, name, *cells, **metadata):
        """Write a notebook and return its path."""
        path = self.path / name
        path.write_text(json.dumps(notebook(*cells, **metadata)))
        return str(path)

    def run(self, *cells, reporter=None, **options):
        """Run cells as a notebook; the result, and the path of what was saved."""
        path = self.write("nb.ipynb", *cells)
        return run_notebook(RunOptions(notebook=path, **options), reporter), self.path / "nb.out.ipynb"

    def spawn(self, *arguments):
        """Start the command line in a process of its own."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        return Process(
            [sys.executable, "-m", "nbflow", *arguments],
            cwd=self.path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return an empty folder, the current one, whose notebooks can import this nbflow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Folder(tmp_path)
