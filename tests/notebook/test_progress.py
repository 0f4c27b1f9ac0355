"""The board that waiting cells share, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import textwrap
import threading

import pytest

import nbflow
from nbflow.client.handle import watch_waiting
from nbflow.exceptions import TimeoutError as NbflowTimeoutError
from nbflow.notebook.progress import Board


@nbflow.workflow
def wait() -> str:
    return nbflow.wait_for_signal("go")


class Surface:
    """Keeps what was drawn."""

    def __init__(self):
        self.drawn, self.finished = [], None

    def draw(self, lines, hidden):
        self.drawn.append(([(line["workflow_id"], line["status"]) for line in lines], dict(hidden)))

    def finish(self, lines, hidden):
        self.draw(lines, hidden)
        self.finished = self.drawn.pop()

    def leave(self):
        self.drawn, self.finished = [], None


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def board(env):
    """Return a board, its surface and its clock."""
    surface, clock = Surface(), Clock()
    return Board(surface, 0.5, clock), surface, clock


def tick(board, clock, seconds, *ticks):
    """Let time pass, and a reading that is under way come to its end."""
    clock.seconds += seconds
    for it in ticks:
        it()
    if board._reading is not None:
        board._reading.exception()
        ticks[0]()


def test_a_short_wait_shows_nothing(board):
    """A cell that waits for less than half a second stays clean."""
    board, surface, clock = board
    with board.watch(wait.start()) as it:
        tick(board, clock, 0.1, it)
        tick(board, clock, 0.3, it)
    assert (surface.drawn, surface.finished) == ([], None)


def test_a_long_wait_is_drawn_and_refreshed_twice_a_second_at_most(board):
    """However often the wait polls."""
    board, surface, clock = board
    with board.watch(wait.options(id="a").start()) as it:
        tick(board, clock, 0.6, it)
        assert surface.drawn == [([("a", "Running")], {})]
        for _ in range(4):
            tick(board, clock, 0.1, it)
        assert len(surface.drawn) == 1
        tick(board, clock, 0.2, it)
        assert len(surface.drawn) == 2


def test_the_last_line_says_how_it_ended(board):
    """A saved notebook keeps the outcome, not the last moment before it."""
    board, surface, clock = board
    handle = wait.options(id="a").start()
    with board.watch(handle) as it:
        tick(board, clock, 0.6, it)
        handle.signal("go")
        assert handle.status == "Completed"
    assert surface.finished == ([("a", "Completed")], {})


def test_many_waits_share_a_few_lines(board):
    """Of twelve waits, five have a line and the others are counted, also when all are over."""
    board, surface, clock = board
    handles = [wait.options(id=f"w{n:02}").start() for n in range(12)]
    watches = [board.watch(handle) for handle in handles]
    ticks = [watch.__enter__() for watch in watches]
    tick(board, clock, 0.6, *ticks)
    tick(board, clock, 0.6, *ticks)
    lines, hidden = surface.drawn[-1]
    assert ([name for name, _ in lines], hidden) == ([f"w{n:02}" for n in range(5)], {"Running": 7})
    for handle, watch in zip(handles, watches, strict=True):
        handle.terminate()
        watch.__exit__(None, None, None)
    lines, hidden = surface.finished
    assert (lines[-1], hidden) == (("w11", "Terminated"), {"Terminated": 7})


def test_a_slow_log_is_read_less_often(board):
    """Reading may take a tenth of the time, no more."""
    board, surface, clock = board
    read_all = board._read_all
    board._read_all = lambda waits: (read_all(waits), 3.0)[1]
    with board.watch(wait.start()) as it:
        tick(board, clock, 0.6, it)
        tick(board, clock, 29, it)
        assert len(surface.drawn) == 1
        tick(board, clock, 2, it)
        assert len(surface.drawn) == 2


def test_a_new_cell_begins_anew(board):
    """The waits of the cell before have their own place."""
    board, surface, clock = board
    with board.watch(wait.options(id="a").start()) as it:
        tick(board, clock, 0.6, it)
    board.clear()
    with board.watch(wait.options(id="b").start()) as it:
        tick(board, clock, 0.6, it)
    assert surface.finished == ([("b", "Running")], {})


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_an_interrupt_shows_as_one_line(board, error):
    """Where inside nbflow it arrived says nothing to anybody."""
    with pytest.raises(error) as caught, board[0].watch(wait.start()):
        raise error
    assert caught.value._render_traceback_() == [f"{error.__name__}: stopped waiting"]


def test_waiting_goes_on_when_progress_can_not_be_read(board):
    """A store that DuckDB can't read at the moment is told once, and costs the wait nothing."""
    import duckdb

    board, _surface, clock = board

    def fail(waits):
        raise duckdb.IOException("disk on fire")

    board._read_all = fail
    with pytest.warns(UserWarning, match="disk on fire"), board.watch(wait.start()) as it:
        tick(board, clock, 0.6, it)


def test_an_engine_that_is_held_up_does_not_hold_up_the_end_of_a_wait(board, monkeypatch):
    """An interrupt gets through while workflow code blocks the engine."""
    board, surface, clock = board
    monkeypatch.setattr("nbflow.notebook.progress._PATIENCE", 0.2)
    handle, free = wait.options(id="a").start(), threading.Event()
    with pytest.raises(KeyboardInterrupt), board.watch(handle) as it:
        tick(board, clock, 0.6, it)
        handle._client.engine.post(free.wait, 20)
        raise KeyboardInterrupt
    assert surface.finished == ([("a", "Running")], {})
    free.set()


def test_a_wait_that_times_out_tells_that_it_stopped_waiting(board):
    """The handle and the board work together."""
    board, surface, _ = board
    board._clock = iter(range(1000)).__next__
    watch_waiting(board.watch)
    try:
        with pytest.raises(NbflowTimeoutError):
            wait.options(id="a").start().result(timeout=0.5)
    finally:
        watch_waiting(None)
    assert surface.finished == ([("a", "Running")], {})


SCRIPT = """
import sys, nbflow
from nbflow.notebook.progress import watch_terminal
watch_terminal()
watch_terminal()
assert "IPython" not in sys.modules
nbflow.open(":memory:")
@nbflow.workflow
def nap():
    nbflow.sleep(1, summary="nap")
    return "done"
print(nap.options(id="n1").start().result())
"""


def test_a_script_shows_one_line_on_a_terminal_and_wipes_it():
    """The line goes to stderr, the result to stdout."""
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)], stdout=subprocess.PIPE, stderr=slave, check=True, timeout=60
    )
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert done.stdout == b"done\n"
    assert "\r► n1 Running · next timer" in shown
    assert "\n" not in shown
    assert shown.endswith(" \r")


def test_a_script_without_a_terminal_shows_nothing():
    """Logs stay free of lines that overwrite each other."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT)], capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"done\n", b"")
