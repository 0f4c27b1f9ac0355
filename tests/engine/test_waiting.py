"""Waiting for results, and opening a store again after a failed commit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import workflow
from nbflow.client import use_client
from nbflow.exceptions import NbflowError
from nbflow.testing import WorkflowEnvironment


@workflow
def listening() -> Any:
    """Wait for a word."""
    return nbflow.wait_for_signal("go")


def test_a_wait_that_gave_up_leaves_nothing_behind(env: WorkflowEnvironment) -> None:
    """However often a caller polls, the engine keeps no list of those who left."""
    handle = listening.start()
    for _ in range(20):
        with pytest.raises(TimeoutError, match="it runs on"):
            handle.result(timeout=0.001)

    waiting = env.client.engine.requests._waiting

    assert len(waiting.get(handle.run_id, [])) <= 1
    handle.signal("go", 5)
    assert handle.result(timeout=5) == 5


def test_opening_again_after_a_failed_commit_goes_on(tmp_path: Path) -> None:
    """``nbflow.open`` does not hand out an engine that has stopped."""
    path = str(tmp_path / "store.duckdb")
    previous = use_client(None)
    try:
        first = nbflow.open(path)
        listening.options(id="w").start()

        def full(batch: object) -> None:
            raise OSError(28, "No space left on device")

        first.store.commit = full  # type: ignore[method-assign]
        with pytest.raises(NbflowError):
            nbflow.get("w").signal("go", 1)

        assert nbflow.open(path) is not first
        nbflow.get("w").signal("go", 2)
        assert nbflow.get("w").result(timeout=5) == 2
    finally:
        nbflow.close()
        use_client(previous)


@pytest.mark.usefixtures("env")
def test_one_line_tells_of_many_waits_that_end_together(capsys: pytest.CaptureFixture[str]) -> None:
    """Cancelling a gather of handles says once that the workflows run on."""

    async def wait_for_both() -> None:
        waits = asyncio.gather(*(listening.start()._wait() for _ in range(2)))
        await asyncio.sleep(0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits

    asyncio.run(wait_for_both())

    assert capsys.readouterr().err.count("runs on") == 1
