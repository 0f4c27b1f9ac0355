# ruff: noqa: PLW0108, PTH107, PTH123, PTH208, SIM115  (plain IO is what is tested)
"""Real IO from workflow code is stopped where it happens, and fails the execution even if the code swallows that."""

from __future__ import annotations

import asyncio
import linecache
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import traceback
import types
import zoneinfo

import pytest
from replay_player import Player

import nbflow
from nbflow.core.replay import replay
from nbflow.exceptions import NondeterminismError

HERE = __file__
HERE_PATH = pathlib.Path(__file__)


def failing(function, *args) -> Player:
    """Start an execution that must fail for doing IO."""
    player = Player(function, *args).start()
    assert player.types[-1] == "Failed"
    assert player.failure.type_name == "NondeterminismError"
    assert "did real IO" in player.failure.message
    player.close()
    return player


@pytest.mark.parametrize(
    "io",
    [
        lambda: open(HERE),
        lambda: pathlib.Path(HERE).read_text(),
        lambda: os.listdir("."),
        lambda: list(os.scandir(".")),
        lambda: os.remove("nothing-there"),
        lambda: shutil.copyfile(HERE, "/dev/null"),
        lambda: tempfile.mkdtemp(),
        lambda: socket.socket(),
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: subprocess.run(["true"], check=True),
        lambda: os.system("true"),
        lambda: sqlite3.connect(":memory:"),
        lambda: os.environ.__setitem__("NBFLOW_TEST", "1"),
        lambda: input(),
    ],
    ids=["open", "read_text", "listdir", "scandir", "remove", "copyfile", "mkdtemp", "socket", "getaddrinfo", "run",
         "system", "sqlite", "setenv", "input"],
)  # fmt: skip
@pytest.mark.parametrize("colour", ["async", "def"])
def test_real_io_is_stopped_at_its_line(io, colour):
    """Files, sockets, processes, threads, environment: the error names the user's line."""

    async def flow():
        io()

    def flow_def():
        io()

    player = failing(flow if colour == "async" else flow_def)
    assert f"{HERE}:{io.__code__.co_firstlineno}" in player.failure.message
    assert "Move it into an activity" in player.failure.message


def test_a_swallowed_violation_still_fails_the_execution():
    """`except Exception` around IO does not make it deterministic."""

    async def flow():
        try:
            open(HERE)
        except Exception:
            await nbflow.sleep(5)

    player = failing(flow)
    assert player.types == ["Started", "TimerStarted", "Failed"]


def test_a_violation_swallowed_in_the_last_activation_fails_the_execution():
    """Even if the code returned as if nothing had happened."""

    def flow():
        try:
            open(HERE)
        except BaseException:
            return "fine"

    assert failing(flow).types == ["Started", "Failed"]


def test_the_failure_replays():
    """The history of a violation is a fixed point like any other."""

    def flow():
        nbflow.sleep(1)
        open(HERE)

    player = Player(flow).start().fire()
    again = player.fresh()
    assert replay(again, player.history) == []
    again.evict()
    player.close()


def test_io_of_one_execution_is_not_charged_to_another():
    """What a query or a damaged replay did stays with its execution."""

    def asked():
        @nbflow.query
        def read():
            return HERE_PATH.read_text()

        nbflow.wait_for_signal("go")

    player = Player(asked).start()
    with pytest.raises(NondeterminismError, match="did real IO"):
        player.instance.query("read", [])
    innocent = Player(asked, run_id="run-2").start().signal("go")
    assert innocent.status == "Completed"
    assert player.signal("go").status == "Completed"
    player.close()
    innocent.close()


def test_a_query_that_swallows_its_io_is_told_all_the_same():
    """The answer would differ from one moment to the next."""

    def asked():
        @nbflow.query
        def read():
            try:
                return HERE_PATH.read_text()
            except NondeterminismError:
                return "nothing"

        nbflow.wait_for_signal("go")

    player = Player(asked).start()
    with pytest.raises(NondeterminismError):
        player.instance.query("read", [])
    player.close()


def test_io_in_a_signal_handler_or_condition_fails_the_execution():
    """Handlers and conditions are workflow code."""

    async def handles():
        @nbflow.signal
        def go():
            open(HERE)

        await nbflow.sleep(5)

    player = Player(handles).start().signal("go")
    assert "did real IO" in player.failure.message
    player.close()

    async def waits():
        await nbflow.wait_condition(lambda: open(HERE))

    failing(waits)


def test_side_effects_may_do_io():
    """That is what they are for."""

    def flow():
        return nbflow.side_effect(lambda: len(HERE_PATH.read_text()))

    player = Player(flow).start()
    assert player.result > 1000
    player.close()


def test_imports_are_allowed(tmp_path, monkeypatch):
    """Also imports of modules that read files while they are imported."""
    tmp_path.joinpath("nbflow_lazy_module.py").write_text("with open(__file__) as file:\n    TEXT = file.read()\n")
    monkeypatch.syspath_prepend(tmp_path)

    def flow():
        import nbflow_lazy_module

        return len(nbflow_lazy_module.TEXT)

    player = Player(flow).start()
    assert player.result == 52
    player.close()
    sys.modules.pop("nbflow_lazy_module")


def test_pythons_own_reading_is_allowed():
    """Tracebacks read source lines, time zones read their files."""

    def flow():
        linecache.clearcache()
        try:
            raise ValueError("x")
        except ValueError:
            text = traceback.format_exc()
        # not clear_cache(): other tests hold zones, and those are equal by identity
        return [text.count("raise ValueError"), zoneinfo.ZoneInfo.no_cache("Europe/Oslo").key]

    player = Player(flow).start()
    assert player.result == [1, "Europe/Oslo"]
    player.close()


def test_user_code_in_a_module_named_like_the_standard_librarys(tmp_path):
    """It is the file that counts, not the name: a notebook's calendar.py is user code."""
    path = tmp_path / "calendar.py"
    source = textwrap.dedent("""
        def flow():
            open(__file__)
    """)
    path.write_text(source)
    module = types.ModuleType("calendar")
    module.__file__ = str(path)
    exec(compile(source, str(path), "exec"), vars(module))
    assert f"{path}:3" in failing(module.flow).failure.message


def test_user_code_in_an_installed_package(tmp_path):
    """A workflow may itself be part of a package below site-packages."""
    folder = tmp_path / "site-packages" / "flows"
    folder.mkdir(parents=True)
    path = folder / "__init__.py"
    source = "def flow():\n    helper()\ndef helper():\n    open('x')\n"
    path.write_text(source)
    namespace = {"__name__": "flows"}
    exec(compile(source, str(path), "exec"), namespace)
    assert f"{path}:2" in failing(namespace["flow"]).failure.message


def test_other_threads_may_do_what_they_like():
    """The guard watches one thread, while workflow code runs on it."""
    asked, answered, texts = threading.Event(), threading.Event(), []

    def reader():
        asked.wait()
        texts.append(len(HERE_PATH.read_text()))
        answered.set()

    thread = threading.Thread(target=reader)
    thread.start()

    def flow():
        asked.set()
        answered.wait()

    player = Player(flow).start()
    thread.join()
    assert (player.status, len(texts)) == ("Completed", 1)
    player.close()
    assert HERE_PATH.read_text()


def test_the_guard_ends_with_the_activation():
    """Also after an error of the history, the thread may do IO again."""

    async def flow():
        await nbflow.sleep(1)

    player = Player(flow).start()
    with pytest.raises(Exception, match="history"):
        player.fresh().activate(player.history[1:])
    assert HERE_PATH.read_text()
    player.close()


def test_cleanup_code_of_an_evicted_execution_does_no_io(tmp_path):
    """What runs when an execution leaves memory must leave no trace."""
    path = tmp_path / "trace"

    async def flow():
        try:
            await nbflow.sleep(60)
        finally:
            path.write_text("left")

    player = Player(flow).start()
    player.close()
    assert not path.exists()


@pytest.mark.parametrize(
    "io",
    [
        lambda: asyncio.to_thread(print),
        lambda: asyncio.open_connection("localhost", 80),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.get_running_loop().run_in_executor(None, print),
    ],
)
def test_the_loops_own_io_is_refused(io):
    """Threads, sockets and processes of asyncio are not there."""

    async def flow():
        await io()

    player = Player(flow).start()
    assert player.failure.type_name == "NondeterminismError"
    assert "move it into an activity" in player.failure.message
    player.close()
