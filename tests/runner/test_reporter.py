"""What people are told: plain lines in a file, a live line and colours on a terminal, only trouble when quiet."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from nbflow.runner.outcomes import ActivityCounts, CellError, CellResult, CellStatus, RunResult, RunStatus
from nbflow.runner.reporter import ConsoleReporter, told_activities, wants_colour


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


STEPS = [SimpleNamespace(number=number, headline=f"line {number}") for number in (1, 2)]
PLAN = SimpleNamespace(
    steps=STEPS,
    options=SimpleNamespace(notebook="nb.ipynb"),
    output=SimpleNamespace(path="nb.out.ipynb"),
    run_id="r-1",
    made_up_run_id=True,
)
GOOD = CellResult(1, 0, "a", CellStatus.SUCCEEDED, 0.5, execution_count=1)
BAD = CellResult(2, 1, "b", CellStatus.FAILED, 0.25, CellError("ValueError", "x\ny", ("\x1b[31mred\x1b[0m",)), None, 2)


def tell(stream, *, failed=False, **options):
    """Play a run of two cells to a reporter and return what it wrote."""
    reporter = ConsoleReporter(stream, continue_command="nbflow run nb.ipynb", **options)
    results = [GOOD, BAD] if failed else [GOOD]
    reporter.run_started(PLAN)
    for step, result in zip(STEPS, results, strict=False):
        reporter.cell_started(step)
        reporter.cell_printed(step, "stdout", "half a line")
        reporter.cell_ended(step, result)
    status = RunStatus.FAILED if failed else RunStatus.SUCCEEDED
    counts = ActivityCounts(replayed=14, ran=3, failed=0, open_executions=0)
    reporter.run_ended(
        RunResult(
            status, int(failed), None, "r-1", "nb.ipynb", "nb.out.ipynb", "s.duckdb", 1.25, tuple(results), counts
        )
    )
    return stream.getvalue()


def test_a_run_in_a_file_is_plain_lines():
    """A log of a CI job has no control characters."""
    assert tell(io.StringIO(), failed=True).splitlines() == [
        "nb.ipynb -> nb.out.ipynb",
        "run id r-1 (made up); to continue this run later:",
        "  nbflow run nb.ipynb --run-id r-1",
        "[1/2] succeeded      0.50 s  line 1",
        "[2/2] failed         0.25 s  line 2",
        "cell 2 (id b, In [2]): ValueError: x",
        "  red",
        "failed in 1.2 s · 1 of 2 cells succeeded · replayed 14 activities, ran 3 · saved nb.out.ipynb",
        "continue with: nbflow run nb.ipynb --run-id r-1",
    ]


def test_what_cells_print_is_passed_on_when_asked():
    """A half line of a cell does not swallow ours."""
    assert "half a line\n[1/2] succeeded" in tell(io.StringIO(), log_output=True)


def test_a_terminal_shows_the_running_cell_and_colours(monkeypatch):
    """The line of a running cell is overwritten by its result."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    told = tell(Terminal(), failed=True)
    assert "[1/2] running      line 1\r\x1b[2K\r[1/2] \x1b[32msucceeded" in told
    assert "\x1b[31mred\x1b[0m" in told


def test_a_quiet_run_tells_trouble_only():
    """Silence is success."""
    assert tell(io.StringIO(), quiet=True) == ""
    assert tell(io.StringIO(), quiet=True, failed=True).startswith("[2/2] failed")


@pytest.mark.parametrize(
    ("environment", "stream", "colour"),
    [
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, Terminal(), False),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({}, io.StringIO(), False),
        ({"TERM": "dumb"}, Terminal(), False),
        ({"TERM": "xterm"}, Terminal(), True),
    ],
)
def test_colours_follow_the_usual_variables(monkeypatch, environment, stream, colour):
    """NO_COLOR wins."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(stream) is colour


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((0, 1, 0, 0), "ran 1 activity"),
        ((0, 17, 0, 0), "ran 17 activities"),
        ((1, 0, 0, 0), "replayed 1 activity, ran 0"),
        ((14, 3, 1, 2), "replayed 14 activities, ran 3, 1 failed, 2 executions still open"),
    ],
)
def test_what_was_replayed_is_told_in_words(counts, told):
    """The headline of a continued run."""
    assert told_activities(ActivityCounts(*counts)) == told
