"""Each example runs as its README says and prints what its pattern promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def run(tmp_path):
    """Run an example in an empty folder, as a reader would, and return what it prints."""

    def run_example(name, *arguments):
        command = [sys.executable, str(EXAMPLES / name / "main.py"), *arguments]
        environment = {**os.environ, "PYTHONWARNINGS": "error"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run_example


def test_every_example_has_a_readme_and_is_listed():
    """A folder that nobody explains or finds is no example."""
    folders = {path.parent.name for path in [*EXAMPLES.glob("*/main.py"), *EXAMPLES.glob("*/pyproject.toml")]}
    listed = (EXAMPLES / "README.md").read_text()
    assert folders == {path.parent.name for path in EXAMPLES.glob("*/README.md")}
    assert [name for name in folders if f"({name}/)" not in listed] == []


def test_retry_tries_four_times_and_does_not_retry_a_mistake(run):
    """Two quotes take four attempts each; the unknown symbol fails on its first real answer."""
    lines = run("retry").splitlines()
    assert lines[0] == "{'OSE': 1015.0, 'XXX': None, 'BRI': 177.0}"
    outcomes = [line.split()[2] for line in lines[2:]]
    assert outcomes == ["Failed"] * 3 + ["Completed"] + ["Failed"] * 4 + ["Failed"] * 3 + ["Completed"]


def test_fan_out_counts_every_line_once(run):
    """The sum over all activities is what one loop over the same files counts."""
    library = Path(os.__file__).parent
    names = [path for path in library.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    files = [file for path in names for file in (path.rglob("*.py") if path.is_dir() else [path])]
    total = run("fan_out").splitlines()[-1].split()
    assert total[:2] == [str(len(names)), str(sum(file.read_bytes().count(b"\n") for file in files))]


def test_children_are_counted_page_by_page(run):
    """Every page is a run of its own with its children; the sum is what one loop counts."""
    library = Path(os.__file__).parent
    packages = sorted(path.parent for path in library.glob("[e-m]*/__init__.py"))
    total, _header, *rows = run("children").splitlines()
    lines = sum(file.read_bytes().count(b"\n") for package in packages for file in package.glob("*.py"))
    assert total == f"{lines:,} lines"
    pages = -(-len(packages) // 4)
    assert [row.split()[1] for row in rows] == ["ContinuedAsNew"] * pages + ["Completed"]
    assert sum(int(row.split()[2]) for row in rows) == len(packages)


def test_an_approval_waits_across_processes_and_pays_once(run, tmp_path):
    """Three processes share one expense: asked once, paid once, answered for ever."""
    assert run("human_approval") == "waiting for a decision: python main.py approve, or refuse\n"
    assert run("human_approval", "approve") == "paid 120.00 to Ines\n"
    assert run("human_approval") == "paid 120.00 to Ines\n"
    outbox = (tmp_path / "outbox.txt").read_text()
    assert outbox == "to the manager: Ines asks for 120.00\nto the bank: 120.00 for Ines\n"


def test_a_subscription_charges_every_30_days_until_the_card_fails(run):
    """Nine months are paid on their days, the fourth a day late, and the tenth is given up after three days."""
    lines = run("subscription").splitlines()
    assert lines[:2] == ["paid in all: 85.50", "Dear Ines, thank you for 9 months."]
    rows = [line.split() for line in lines[3:]]
    days = [0, 30, 60, 91, 121, 151, 181, 211, 241, 273]
    assert rows == [
        [str(month), {4: "2", 10: "3"}.get(month, "1"), "Failed" if month == 10 else "Completed", str(day)]
        for month, day in enumerate(days, start=1)
    ]


def test_a_cart_answers_refuses_and_is_forgotten(run):
    """Totals as items come, the same answer to the same request, two refusals, a receipt, and a cart left behind."""
    lines = run("shopping_cart").splitlines()
    assert lines[:8] == [
        "teapot: 24.5",
        "cups: 48.5",
        "cups, asked again: 48.5",
        "refused: ValueError: we have no samovar",
        "refused: ValueError: 100 is too many of cup",
        "- teapot: 24.50",
        "- cup: 24.00",
        "Ines paid 48.50",
    ]
    assert lines[8] == "Jon left 39.00 behind"
    assert [line.split()[1:3] for line in lines[10:14]] == [
        ["cart-ines", "add"], ["cart-ines", "add"], ["cart-ines", "checkout"], ["cart-jon", "add"],
    ]  # fmt: skip
    assert lines[14] == "['cart-ines']"


def test_a_saga_undoes_in_reverse_order(run):
    """When the car can't be had, the hotel and then the flight are cancelled, and nothing stays booked."""
    first, left, _header, *rows = run("saga").splitlines()
    assert (first, left) == ("no trip: RuntimeError: no car left", "still booked: []")
    assert [row.split() for row in rows] == [
        ["book", "1", "Completed", "booked", "flight", "for", "Ines"],
        ["book", "1", "Completed", "booked", "hotel", "for", "Ines"],
        ["book", "3", "Failed"],
        ["cancel", "1", "Completed", "cancelled", "hotel", "for", "Ines"],
        ["cancel", "1", "Completed", "cancelled", "flight", "for", "Ines"],
    ]


def test_a_daily_report_makes_up_for_a_week_without_a_computer(run):
    """Nine in Oslo is eight or seven UTC, Easter has no reports, and each adds to the one before."""
    lines = run("daily_report").splitlines()
    assert lines[1] == "Sat 18 Apr: next report Mon 20 Apr 09:00 CEST"
    times = [line.split()[4] for line in lines[3:]]
    assert times[1:3] == ["2026-03-27T08:00:00Z", "2026-03-30T07:00:00Z"]
    days = [*(26, 27, 30, 31), *(1, 7, 8, 9, 10, 13, 14, 15, 16, 17)]
    assert [int(time[8:10]) for time in times] == days
    assert lines[-1].endswith(f'{{"shop":"Oslo","total":{sum(days)}}}')
    assert sum("04-15 22:00 UTC" in line for line in lines) == 5


def test_a_bank_neither_makes_nor_loses_money(run):
    """A hundred transfers over the same rows are each done once, and the impossible one leaves nothing."""
    told, _header, money, _names, *balances = run("bank_transfer").splitlines()
    assert told == "100 transfers, refused: ValueError: Ada can't pay 1000000"
    assert money.split() == ["400", "100", "100"]
    assert [row.split() for row in balances] == [[name, "100"] for name in ("Ada", "Bo", "Cy", "Di")]
