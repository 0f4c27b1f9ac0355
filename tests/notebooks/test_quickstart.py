"""The quickstart runs headlessly, its numbers are pandas' numbers, and a killed kernel repeats nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    """A folder with the notebook and its service, and nothing else."""
    for name in ("quickstart.ipynb", "flights_service.py"):
        shutil.copy(NOTEBOOKS / name, tmp_path)
    return tmp_path


def client_for(folder, url):
    """Return a client that runs the folder's notebook against the service at a URL."""
    notebook = nbformat.read(folder / "quickstart.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    environment = {**os.environ, "FLIGHTS_URL": url}
    return client, {"env": environment}


def run(folder, url):
    """Run the folder's notebook and return it with its outputs."""
    client, options = client_for(folder, url)
    return client.execute(**options)


def answered(calls, airport):
    """Count the answered calls of each of an airport's months."""
    return Counter(path for path, status in calls if status == 200 and f"/{airport}/" in path)


def answer_of(notebook, cell_id):
    """Return the value that a cell shows, as text."""
    cell = next(cell for cell in notebook.cells if cell.id == cell_id)
    return next(output["data"]["text/plain"] for output in cell.outputs if output.output_type == "execute_result")


def check_report(folder, expected):
    """Compare the published report with pandas' own."""
    report = pd.read_csv(folder / "delay_report.csv")
    assert set(report.pop("approved_by")) == {"Ada"}
    report = report.rename(columns={"airport": "origin"})
    pd.testing.assert_frame_equal(report, expected, check_dtype=False, atol=1e-6)


def test_the_report_has_the_numbers_that_pandas_has(folder, flights_service, expected_report):
    """Through a flaky service, a sleep and an approval, the 36 rows are those of one pandas expression."""
    with flights_service.FlightsService() as service:
        executed = run(folder, service.url)
    check_report(folder, expected_report)
    shown = nbformat.read(NOTEBOOKS / "quickstart.ipynb", as_version=4)
    assert answer_of(executed, "result") == answer_of(shown, "result")
    assert Counter(status for _, status in service.calls) == {200: 36, 503: 8}


def test_a_killed_kernel_repeats_no_finished_activity(folder, flights_service, expected_report):
    """The kernel dies on the second airport's first call; run again, no month of the first is fetched anew."""

    def pull_the_plug(path):
        if "/JFK/" in path and not killed:
            killed.append(path)
            os.kill(client.km.provisioner.pid, signal.SIGKILL)

    killed = []
    with flights_service.FlightsService(on_call=pull_the_plug) as service:
        client, options = client_for(folder, service.url)
        with pytest.raises(DeadKernelError):
            client.execute(**options)
        assert not (folder / "delay_report.csv").exists()
        run(folder, service.url)
    check_report(folder, expected_report)
    assert answered(service.calls, "EWR") == dict.fromkeys((f"/flights/EWR/{month}.csv" for month in range(1, 13)), 1)
    assert len(answered(service.calls, "LGA")) == 12


def test_run_again_it_answers_from_the_event_log(folder, flights_service):
    """A second run of the finished notebook shows the same report, calls nobody and publishes nothing."""
    with flights_service.FlightsService() as service:
        first = run(folder, service.url)
    (folder / "delay_report.csv").unlink()
    second = run(folder, "http://127.0.0.1:1")
    assert "JFK" in answer_of(first, "result")
    assert answer_of(second, "result") == answer_of(first, "result")
    assert not (folder / "delay_report.csv").exists()


def test_the_readmes_command_runs_it(folder):
    """`nbflow run quickstart.ipynb out.ipynb` ends with code 0 and leaves the outputs, starting the service itself."""
    command = [sys.executable, "-m", "nbflow", "run", "quickstart.ipynb", "out.ipynb"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    executed = nbformat.read(folder / "out.ipynb", as_version=4)
    images = [
        output for cell in executed.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(images) == 1
