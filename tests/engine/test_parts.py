"""The engine's smaller parts: clocks, deadlines, journal, output, processes, watchdog."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Any

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.core.events import TimerFired
from nbflow.engine.clock import RealClock, SkippingClock, new_run_id
from nbflow.engine.deadlines import Deadlines
from nbflow.engine.engine import EngineOptions
from nbflow.engine.journal import Journal
from nbflow.exceptions import ActivityError, WorkflowFailedError
from nbflow.store import Batch
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import wait_until


def test_run_ids_sort_by_time() -> None:
    """A run id is a UUIDv7."""
    ids = [new_run_id(now) for now in (1_700_000_000_000_000, 1_700_000_000_001_000, 1_800_000_000_000_000)]

    assert ids == sorted(ids)
    assert all(run_id[14] == "7" and run_id[19] in "89ab" and len(run_id) == 36 for run_id in ids)


def test_clocks() -> None:
    """The real clock refuses to skip, the other one jumps."""
    real, skipping = RealClock(), SkippingClock(start=1_000_000)

    assert not real.skip_to(real.now() + 10**12)
    assert skipping.skip_to(5_000_000)
    assert 5_000_000 <= skipping.now() < 6_000_000


def test_deadlines_come_in_order_without_the_cancelled() -> None:
    """Equal deadlines come in order of entry; cancelled ones never, however many."""
    heap, seen = Deadlines(), []
    for number in range(3000):
        deadline = heap.add(number % 7, seen.append, number)
        if number >= 14:
            deadline.cancel()

    for deadline in heap.take_due(6):
        assert deadline.callback is not None
        deadline.callback(*deadline.args)

    assert seen == sorted(range(14), key=lambda number: number % 7)
    assert heap.next_due is None


def test_a_failed_commit_answers_everybody() -> None:
    """Callers whose batch failed, and those behind it, hear why."""
    from concurrent.futures import Future

    class Broken:
        def commit(self, batch: Batch) -> None:
            msg = f"no space for {len(batch.events)}"
            raise OSError(msg)

    failures: list[BaseException] = []
    run = lambda callback, args: callback(*args)
    journal = Journal(Broken(), lambda callback, *args: callback(*args), failures.append, run)
    first: Future[Any] = Future()
    journal.event("r", "w", TimerFired(event_id=1, event_time=1, timer_id="1", started_event_id=1))
    journal.answer(first)
    journal.flush(inline=True)

    with pytest.raises(OSError, match="no space for 1"):
        first.result(timeout=5)
    assert len(failures) == 1
    assert journal.failed


def test_output_of_an_activity_goes_to_the_log_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints and log lines are rows, with their attempt; none lands in the caller's output."""

    @activity
    def chatty() -> None:
        print("hello")
        sys.stderr.write("careful\n")
        logging.getLogger("some.library").warning("watch %s", "out")
        nbflow.logger.info("noted")
        print("no line break", end="")

    @workflow
    def talking() -> None:
        nbflow.logger.info("from the workflow")
        chatty()

    with WorkflowEnvironment():
        talking()
        rows = nbflow.sql("SELECT level, logger, message FROM logs ORDER BY time, message").values.tolist()

    assert ["INFO", "stdout", "hello"] in rows
    assert ["WARNING", "stderr", "careful"] in rows
    assert ["WARNING", "some.library", "watch out"] in rows
    assert ["INFO", "nbflow.user", "noted"] in rows
    assert ["INFO", "stdout", "no line break"] in rows
    assert ["INFO", "nbflow.workflow", "from the workflow"] in rows
    captured = capsys.readouterr()
    assert "hello" not in captured.out
    assert "careful" not in captured.err


@activity(run_in="process")
def in_process(x: int) -> tuple[int, int]:
    """Tell the process."""
    print("in a process")
    return x, os.getpid()


@activity(run_in="process", start_to_close_timeout=1.0, retry=1)
def hang() -> None:
    """Hang, deaf to everything but a kill."""
    while True:
        time.sleep(60)


@activity(run_in="process", retry=1)
def die() -> None:
    """Take the process down."""
    os._exit(7)


@workflow
def in_processes() -> Any:
    """Use a worker process."""
    return in_process(5)


@workflow
def failing_processes() -> list[str]:
    """Use worker processes that come to a bad end."""
    messages = []
    for bad in (hang, die):
        try:
            bad()
        except ActivityError as error:
            messages.append(str(error.__cause__))
    return messages


@pytest.mark.usefixtures("env")
def test_an_activity_in_a_process() -> None:
    """Arguments and results travel, and so does what it prints."""
    value, pid = in_processes()

    assert value == 5
    assert pid != os.getpid()
    assert "in a process" in nbflow.sql("FROM logs")["message"].tolist()


@pytest.mark.usefixtures("env")
def test_bad_ends_of_processes() -> None:
    """A worker that hangs is killed on timeout; one that dies is told with its exit code."""
    timeout, death = failing_processes.start().result(timeout=20)

    assert "START_TO_CLOSE" in timeout
    assert "exit code 7" in death


def test_a_workflow_that_does_not_yield_is_reported_and_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    """The engine tells of it, ends it in time, and serves others."""

    @workflow
    def spinning() -> None:
        while True:
            pass

    @workflow
    def well_behaved() -> str:
        return "fine"

    options = EngineOptions(deadlock_warning=0.1, deadlock_interrupt=0.4)
    with WorkflowEnvironment(options=options):
        bad, good = spinning.start(), None
        with pytest.raises(WorkflowFailedError, match="DeadlockError"):
            bad.result(timeout=10)
        good = well_behaved.start()
        assert good.result(timeout=5) == "fine"
        wait_until(lambda: len(nbflow.sql("FROM logs WHERE message LIKE 'suspected deadlock%'")) == 1)
    assert "in spinning" in capsys.readouterr().err
