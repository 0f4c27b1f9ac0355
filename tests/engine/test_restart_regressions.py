"""What killing once broke, and shall not break again: most by opening one store twice."""

from __future__ import annotations

import asyncio
import linecache
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.authoring.capture import source_of
from nbflow.core.definitions import REGISTRY
from nbflow.core.restore import restore_definition
from nbflow.exceptions import MissingDefinitionError
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, wait_until

ROOT = Path(nbflow.__file__).parent.parent


def run_cell(source: str, number: int = 1, namespace: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run source the way a kernel runs a cell: in ``__main__``, findable by inspect."""
    name = f"<ipython-input-{number}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = {"__name__": "__main__"} if namespace is None else namespace
    exec(compile(source, name, "exec"), namespace)
    return namespace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store file."""
    return tmp_path / "store.duckdb"


@pytest.fixture
def forget_cells(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function after which this process knows no definition, like a new kernel."""

    def forget() -> None:
        monkeypatch.setattr(REGISTRY, "_current", {})
        monkeypatch.setattr(REGISTRY, "_by_hash", {})

    return forget


def test_a_recorded_cancellation_outlives_the_process(path: Path) -> None:
    """An activity whose cancellation is in the log is not tried again after a restart."""
    begun: list[int] = []
    cancelled = threading.Event()

    @activity(cancellation_type="WAIT_CANCELLATION_COMPLETED")
    async def stubborn() -> str:
        begun.append(nbflow.activity_info().attempt)
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.sleep(1000)
        return "done"

    @workflow
    async def cancelling() -> str:
        handle = stubborn.start()
        await nbflow.wait_for_signal("now")
        handle.cancel()
        try:
            return await handle
        except asyncio.CancelledError:
            return "cancelled"

    with WorkflowEnvironment(path):
        cancelling.options(id="c").start().signal("now")
        assert cancelled.wait(5)
    with WorkflowEnvironment(path):
        assert nbflow.get("c").result(timeout=5) == "cancelled"
    assert begun == [1]


def test_a_decorated_class_of_a_cell_is_stored_whole() -> None:
    """The source of a dataclass begins at its decorator."""
    cell = run_cell("from dataclasses import dataclass\n@dataclass\nclass Order:\n    name: str\n")

    assert source_of(cell["Order"]).startswith("@dataclass\nclass Order:")


def test_a_mark_made_while_a_definition_is_rebuilt_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one thread registers is not lost in what another thread imports."""
    (tmp_path / "slow_module.py").write_text(
        "import slow_gate\nslow_gate.entered.set()\nslow_gate.leave.wait(10)\ndef f(): pass\n"
    )
    gate = type(sys)("slow_gate")
    gate.entered, gate.leave = threading.Event(), threading.Event()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "slow_gate", gate)
    monkeypatch.syspath_prepend(str(tmp_path))
    manifest = '{"module": "slow_module", "qualname": "f"}'
    arguments = ("activity", "f", "0" * 64, "", manifest, None)
    engine = threading.Thread(target=restore_definition, args=arguments)
    engine.start()
    assert gate.entered.wait(5)

    @activity
    def from_a_cell() -> None: ...

    gate.leave.set()
    engine.join()
    assert REGISTRY.current("activity", "from_a_cell") is not None


def test_a_signal_during_the_start_delay_can_be_replayed(path: Path) -> None:
    """Start and signal are one activation, when they happen and when they are replayed."""

    @activity
    def act(x: int) -> int:
        return x

    @workflow
    def delayed() -> list[Any]:
        return [act(1), nbflow.wait_for_signal("go"), nbflow.wait_for_signal("go")]

    with WorkflowEnvironment(path):
        delayed.options(id="d", start_delay="1h").start().signal("go", "early")
    with WorkflowEnvironment(path):
        nbflow.get("d").signal("go", "second")
        assert nbflow.get("d").result(timeout=5) == [1, "early", "second"]


NEEDS_MODEL = """
import nbflow
class Model: pass
model = Model(); model.rate = 2
@nbflow.workflow
def later(x):
    nbflow.sleep("1 hour")
    return x * model.rate
"""


def test_a_value_that_could_not_be_stored_parks_until_the_cell_has_run(path: Path, forget_cells: Any) -> None:
    """The execution stays open, says what is missing, and goes on with the cell's own function."""
    cell = run_cell(NEEDS_MODEL)
    with WorkflowEnvironment(path):
        cell["later"].options(id="a").start(3)
    forget_cells()
    with WorkflowEnvironment(path) as env:
        env.sleep("2 hours")
        with pytest.raises(MissingDefinitionError, match="'model'"):
            nbflow.get("a").result(timeout=5)
        assert nbflow.get("a").status == "Running"
        run_cell(NEEDS_MODEL)
        assert nbflow.get("a").result(timeout=5) == 6


def test_the_version_defined_last_runs_after_a_restart(path: Path, forget_cells: Any) -> None:
    """Changed and changed back: the version before the restart is the one that goes on."""
    fetch = "import nbflow\n@nbflow.activity\ndef fetch():\n    return {}\n"
    uses = (
        "import nbflow\n@nbflow.workflow\ndef once():\n    return fetch()\n"
        "@nbflow.workflow\ndef later():\n    nbflow.wait_for_signal('go')\n    return fetch()\n"
    )
    with WorkflowEnvironment(path):
        for version in (1, 2, 1):
            source = fetch.format(version)
            cell = run_cell(source + uses.replace("import nbflow\n", ""), version)
            assert cell["once"]() == version
        cell["later"].options(id="a").start()
    forget_cells()
    with WorkflowEnvironment(path):
        nbflow.get("a").signal("go")
        assert nbflow.get("a").result(timeout=5) == 1


def test_what_a_workflow_calls_later_is_stored_with_it(path: Path, forget_cells: Any) -> None:
    """An activity that was never scheduled before the restart is known after it."""
    cell = run_cell(
        "import nbflow\n@nbflow.activity\ndef fetch(x):\n    return x + 1\n"
        "@nbflow.workflow\ndef later(x):\n    nbflow.wait_for_signal('go')\n    return fetch(x)\n"
    )
    with WorkflowEnvironment(path):
        cell["later"].options(id="a").start(1)
    forget_cells()
    with WorkflowEnvironment(path):
        nbflow.get("a").signal("go")
        assert nbflow.get("a").result(timeout=5) == 2


def test_a_terminated_run_is_not_brought_back_from_a_log_that_lags(path: Path) -> None:
    """A signal and a termination that meet in one turn leave one history, with one end."""

    @workflow
    def sleeper() -> None:
        nbflow.sleep("1 hour")

    with WorkflowEnvironment(path):
        run_id = sleeper.options(id="s").start().run_id
    with WorkflowEnvironment(path) as env:
        engine, gate = env.client.engine, threading.Event()
        engine.post(gate.wait)
        word = env.client.codec.encode([1])
        answers = [
            engine.submit(engine.requests.signal, "s", run_id, "x", word),
            engine.submit(engine.requests.terminate, "s", run_id, "test"),
        ]
        gate.set()
        wait_until(lambda: all(answer.done() for answer in answers))
        env.sleep("2 hours")
        types = event_types(nbflow.get("s"))
    assert types[:2] == ["Started", "TimerStarted"]
    assert [name for name in types[2:] if name != "Signaled"] == ["Terminated"]


VALUES = """
import enum, nbflow
class Order(enum.Enum):
    TEA = "tea"
@nbflow.activity
def label(order):
    return order.value
@nbflow.activity(run_in="process")
def label_apart(order):
    return order.value
@nbflow.workflow
def later():
    first = label(Order.TEA)
    nbflow.wait_for_signal("go")
    return [first, label(Order.TEA), label_apart(Order.TEA)]
"""


def test_values_of_a_cells_class_are_known_after_a_restart_and_in_a_process(
    path: Path, forget_cells: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class is rebuilt from what is stored with the definitions that use it."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    cell = run_cell(VALUES, namespace=vars(main))
    with WorkflowEnvironment(path):
        handle = cell["later"].options(id="a").start()
        wait_until(lambda: "ActivityTaskCompleted" in event_types(handle))
    forget_cells()
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    with WorkflowEnvironment(path):
        nbflow.get("a").signal("go")
        assert nbflow.get("a").result(timeout=20) == ["tea", "tea", "tea"]


ORPHAN = """
import os, sys, time
import nbflow
from nbflow.core.definitions import REGISTRY

@nbflow.activity(run_in="process")
def endless(path):
    with open(path, "w") as file:
        file.write(f"{os.getpid()}\\n")
    while True:
        time.sleep(0.01)

@nbflow.workflow
def busy(path):
    endless(path)

nbflow.open(sys.argv[1])
busy.start(sys.argv[2])
while not os.path.exists(sys.argv[2]) or not open(sys.argv[2]).read().endswith("\\n"):
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""


def test_worker_processes_end_with_a_killed_kernel(path: Path, tmp_path: Path) -> None:
    """No old attempt goes on beside the next one."""
    script, log = tmp_path / "orphan.py", tmp_path / "pid"
    script.write_text(ORPHAN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, script, path, log], env=environment, timeout=60, check=False)
    pid = int(log.read_text())

    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text())
