"""What every test needs: neither settings nor ignored signals of the caller reach the code under test."""

from __future__ import annotations

import os
import signal

import pytest


def pytest_addoption(parser):
    """Let the simulation (tests/simulation/test_law.py) run more seeds, or one of them."""
    parser.addoption("--seeds", type=int, default=2000, metavar="N", help="how many seeds the simulation runs")
    parser.addoption("--seed", type=int, metavar="S", help="the one seed that the simulation runs")


def pytest_configure():
    """Listen to SIGINT again.

    A suite that a shell started in the background ignores it, and so would every kernel and command started from here.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _without_outer_settings(monkeypatch):
    """Remove NBFLOW_* variables, so that a test opens no store that its caller works with."""
    for name in [name for name in os.environ if name.startswith("NBFLOW_")]:
        monkeypatch.delenv(name)
