"""What meets in one turn of the engine, or while it stops, harms nobody."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.client import use_client
from nbflow.core.definitions import REGISTRY
from nbflow.engine.clock import RealClock
from nbflow.engine.engine import EngineOptions
from nbflow.exceptions import (
    ClientError,
    DeadlockError,
    EngineClosedError,
    HistoryCorruptedError,
    MissingDefinitionError,
    WorkflowFailedError,
)
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, wait_until

IMPATIENT = EngineOptions(deadlock_warning=0.05, deadlock_interrupt=0.2)


@workflow
def waiter() -> Any:
    """Wait for a word."""
    return nbflow.wait_for_signal("go")


@activity
def echo(x: int) -> int:
    """Return it."""
    return x


@contextmanager
def one_turn(env: WorkflowEnvironment) -> Iterator[Callable[..., Future[Any]]]:
    """Hold the engine until the block ends, so that all that is submitted inside meets in one turn."""
    engine, gate = env.client.engine, threading.Event()
    engine.post(gate.wait)
    try:
        yield engine.submit
    finally:
        gate.set()


def signal(env: WorkflowEnvironment, submit: Callable[..., Future[Any]], run_id: str) -> Future[Any]:
    """Submit a signal."""
    return submit(env.client.engine.requests.signal, "", run_id, "go", env.client.codec.encode([1]))


def test_a_signal_at_the_end_of_the_start_delay(tmp_path: Path) -> None:
    """One that comes when the delay is over, but the code has not begun, can be replayed."""

    @workflow
    def late() -> list[Any]:
        return [echo(1), nbflow.wait_for_signal("go"), nbflow.wait_for_signal("go")]

    with WorkflowEnvironment(tmp_path / "s.duckdb") as env:
        handle = late.options(id="late", start_delay="1 hour").start()
        with one_turn(env) as submit:
            sent = signal(env, submit, handle.run_id)
            env.clock.skip_to(env.clock.now() + 3_600_000_000)
        sent.result(5)
    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        nbflow.get("late").signal("go", 2)
        assert nbflow.get("late").result(timeout=5) == [1, 1, 2]


def test_one_damaged_history_harms_no_other(tmp_path: Path) -> None:
    """Executions that come back together with a damaged one come back; who asks for that one is told."""
    path = tmp_path / "s.duckdb"
    with WorkflowEnvironment(path):
        bad, good = waiter.options(id="bad").start(), waiter.options(id="good").start()
    with duckdb.connect(path) as connection:
        connection.execute("UPDATE event_log.events SET event_id = 5 WHERE workflow_id = 'bad'")
    with WorkflowEnvironment(path) as env:
        with one_turn(env) as submit:
            answers = [signal(env, submit, handle.run_id) for handle in (bad, good)]
        with pytest.raises(HistoryCorruptedError):
            answers[0].result(5)
        assert nbflow.get("good").result(timeout=5) == 1


def test_closing_ends_a_workflow_that_does_not_yield(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The watchdog works until the engine has stopped, so closing does not wait for ever."""
    entered = threading.Event()

    @workflow
    def spinning() -> None:
        entered.set()
        while True:
            pass

    with WorkflowEnvironment(tmp_path / "s.duckdb", options=IMPATIENT):
        starting = threading.Thread(target=spinning.start)
        starting.start()
        assert entered.wait(5)
    starting.join(5)
    assert not starting.is_alive()
    assert "suspected deadlock" in capsys.readouterr().err


def test_a_query_that_does_not_return_is_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    """The engine lives on, and the caller hears of it."""

    @workflow
    def bad() -> Any:
        @nbflow.query
        def spin() -> None:
            while True:
                pass

        return nbflow.wait_for_signal("go")

    with WorkflowEnvironment(options=IMPATIENT):
        handle = bad.start()
        with pytest.raises(DeadlockError):
            handle.query("spin")
        assert handle.status == "Running"
    assert "suspected deadlock" in capsys.readouterr().err


def test_requests_under_way_when_the_store_closes_are_answered(tmp_path: Path) -> None:
    """A signal to an execution that is not in memory is served or refused, never left waiting."""
    path = tmp_path / "s.duckdb"
    with WorkflowEnvironment(path):
        handle = waiter.options(id="w").start()
    with WorkflowEnvironment(path) as env, one_turn(env) as submit:
        engine = env.client.engine
        sent = signal(env, submit, handle.run_id)
        REGISTRY.listeners.remove(engine._on_definition)  # this and the next two as close() does in another thread
        engine._is_closing = True
        engine.post(engine._shut_down)
    with pytest.raises(EngineClosedError):
        sent.result(5)


def test_code_on_the_engine_can_not_close_it(tmp_path: Path) -> None:
    """It is told so, and the store can be closed and opened as before."""

    @activity(retry=1)
    async def closing() -> None:
        nbflow.close()

    @workflow
    def careless() -> None:
        closing()

    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        with pytest.raises(WorkflowFailedError, match="can't close the store"):
            careless.start().result(timeout=5)
        assert waiter.start().status == "Running"


def test_a_close_that_was_broken_off_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C in close(), close() again releases the file."""
    env = WorkflowEnvironment(tmp_path / "s.duckdb").__enter__()
    thread, join = env.client.engine._thread, env.client.engine._thread.join

    def interrupted() -> None:
        monkeypatch.setattr(thread, "join", join)
        raise KeyboardInterrupt

    monkeypatch.setattr(thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        env.client.close()
    env.__exit__(None, None, None)

    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        assert waiter.start().status == "Running"


def test_a_clock_that_was_set_back_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time neither runs backwards nor stands still until the wall clock has caught up."""
    clock, real = RealClock(), time.time_ns
    before = clock.now()
    monkeypatch.setattr(time, "time_ns", lambda: real() - 3600 * 10**9)
    set_back = clock.now()
    wait_until(lambda: clock.now() > set_back + 20_000)
    assert before <= set_back < before + 3_600_000_000


def test_a_worker_process_that_can_not_be_made_fails_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong around an attempt is its outcome; nobody waits for ever."""
    from nbflow.engine import processes

    @activity(run_in="process", retry=1)
    def apart() -> None: ...

    @workflow
    def unlucky() -> None:
        apart()

    def no_process() -> None:
        msg = "no more processes"
        raise RuntimeError(msg)

    monkeypatch.setattr(processes, "_Worker", no_process)
    with WorkflowEnvironment(), pytest.raises(WorkflowFailedError, match="no more processes"):
        unlucky.start().result(timeout=5)


def test_closing_ends_busy_worker_processes(tmp_path: Path) -> None:
    """An attempt in a process ends with its engine: the next one must not meet it."""
    log = tmp_path / "pid"

    @activity(run_in="process")
    def endless(path: str) -> None:
        with open(path, "w") as file:  # noqa: PTH123  runs in a worker
            file.write(f"{os.getpid()}\n")
        while True:
            time.sleep(0.01)

    @workflow
    def busy(path: str) -> None:
        endless(path)

    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        busy.start(str(log))
        wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
    wait_until(lambda: not _is_alive(int(log.read_text())))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_no_text_in_the_log_stops_the_engine() -> None:
    """What an activity prints need not be text: names of files are not always."""

    @activity
    def odd() -> int:
        print("file \udcff\x00")
        return 1

    @workflow
    def printing() -> int:
        return odd()

    with WorkflowEnvironment():
        assert printing.start().result(timeout=5) == 1
        assert nbflow.sql("FROM logs")["message"].tolist() == ["file \\udcff\x00"]


def test_a_caller_that_gives_up_disturbs_nobody(tmp_path: Path) -> None:
    """An answer that its caller cancelled is passed over, and those behind it are given."""
    with WorkflowEnvironment(tmp_path / "s.duckdb") as env:
        handle = waiter.start()
        with one_turn(env) as submit:
            first, second = (
                signal(env, submit, handle.run_id),
                submit(env.client.engine.requests.describe, "", handle.run_id),
            )
            assert first.cancel()
        assert second.result(5).run_id == handle.run_id
        assert handle.result(timeout=5) == 1


def test_code_that_raises_keyboard_interrupt_does_not_take_the_engine(tmp_path: Path) -> None:
    """Whatever a workflow raises is its own end."""

    @workflow
    async def interrupting() -> None:
        await asyncio.sleep(0.01)
        raise KeyboardInterrupt

    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        with pytest.raises(WorkflowFailedError, match="KeyboardInterrupt"):
            interrupting.start().result(timeout=5)
        assert waiter.start().status == "Running"


def test_a_forked_child_is_refused(tmp_path: Path) -> None:
    """It has the parent's memory but none of its threads, so it must not wait for them."""
    previous = use_client(None)
    try:
        with WorkflowEnvironment(tmp_path / "s.duckdb") as env:
            env.client.engine._pid -= 1  # as a child sees it
            with pytest.raises(EngineClosedError, match="forked"):
                waiter.start()
            env.client.engine._pid += 1
            assert event_types(waiter.start()) == ["Started"]
    finally:
        use_client(previous)


def test_an_activity_that_closing_takes_down_is_lost_not_failed(tmp_path: Path) -> None:
    """What an activity on the loop reports while the engine stops is not recorded: it is made again."""
    begun = threading.Event()

    @activity
    async def long() -> int:
        number = nbflow.activity_info().attempt
        if number == 1:
            begun.set()
            await asyncio.sleep(1000)
        return number

    @workflow
    async def patient() -> int:
        return await long()

    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        patient.options(id="p").start()
        assert begun.wait(5)
    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        assert nbflow.get("p").result(timeout=5) == 2
        assert nbflow.sql("SELECT outcome FROM attempts ORDER BY attempt")["outcome"].tolist() == ["Lost", "Completed"]


@pytest.mark.parametrize("bad", [b"bytes", object(), "\ud800"])
def test_what_is_no_text_is_refused_at_the_door(bad: Any) -> None:
    """A name or reason that the log can't hold is its caller's error, and nobody else's."""
    with WorkflowEnvironment():
        handle = waiter.start()
        for call in (handle.signal, handle.cancel, handle.terminate):
            with pytest.raises(ClientError, match="must be text"):
                call(bad)
        handle.signal("go", 1)
        assert handle.result(timeout=5) == 1


def test_a_parked_run_waits_for_the_log_to_catch_up(tmp_path):
    """A run parked with events not yet durable is not read back from a log that lags: ids stay dense."""

    @nbflow.workflow
    def lacking():
        nbflow.wait_for_signal("go")
        raise MissingDefinitionError("a part")

    with WorkflowEnvironment(tmp_path / "s.duckdb") as env:
        handle = lacking.start()
        engine, gate, args = env.client.engine, threading.Event(), env.client.codec.encode([1])
        engine.post(gate.wait)
        signal = engine.requests.signal
        answers = [engine.submit(signal, handle.workflow_id, handle.run_id, "go", args) for _ in range(2)]
        gate.set()
        answers[0].result(5)
        with pytest.raises(MissingDefinitionError):
            answers[1].result(5)
        ids = env.client.rows("SELECT event_id FROM events WHERE run_id = ? ORDER BY event_id", [handle.run_id])

    assert [row["event_id"] for row in ids] == list(range(1, len(ids) + 1))
