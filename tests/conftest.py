"""What every test needs: neither settings nor ignored signals of the caller reach the code under test."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nbflow import Activity, Workflow
from nbflow.core.definitions import REGISTRY

HERE = str(Path(__file__).parent)


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


@pytest.fixture(autouse=True)
def _definitions_of_its_own():
    """Drop what a test defines: its names are of the whole process."""
    with REGISTRY.preserved():
        yield


@pytest.fixture(autouse=True, scope="module")
def _own_definitions(request):
    """Make the workflows and activities of a test's module, and of its helpers, the current ones of their names.

    Names are of the whole process, so another module that was collected later may have taken them.
    """
    for module in _with_helpers(request.module):
        for value in list(vars(module).values()):
            if isinstance(value, Activity | Workflow) and value.function.__module__ == module.__name__:
                on_edit = getattr(value._options, "on_edit", "move")
                REGISTRY.register(value.kind, value.name, value.definition, on_edit=on_edit)


def _with_helpers(module: ModuleType) -> list[ModuleType]:
    """List the modules of tests that one imports from, and those that lie beside it, and at last itself."""
    found: list[ModuleType] = []
    folder = Path(str(module.__file__)).parent
    beside = [it for it in sys.modules.values() if Path(str(getattr(it, "__file__", None))).parent == folder]
    waiting = [module, *(it for it in beside if not it.__name__.rpartition(".")[2].startswith("test_"))]
    while waiting:
        at = waiting.pop()
        if at in found or not str(getattr(at, "__file__", "")).startswith(HERE):
            continue
        found.append(at)
        names = {getattr(value, "__module__", None) for value in vars(at).values()}
        waiting += [value for value in vars(at).values() if isinstance(value, ModuleType)]
        waiting += [sys.modules[name] for name in names if isinstance(name, str) and name in sys.modules]
    return sorted(found, key=lambda it: it is module)
