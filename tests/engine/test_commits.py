"""Between the journal and the store: errors, and tidying when nobody waits."""

from __future__ import annotations

from pathlib import Path

import pytest

import nbflow
from nbflow import workflow
from nbflow.engine import commits as commits_module
from nbflow.store import event_store as event_store_module
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import wait_until


@workflow
def committed_once() -> int:
    """Do nothing."""
    return 1


def test_the_log_is_worked_into_the_file_when_the_engine_is_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment after the last commit a log that has grown is checkpointed, and the engine goes on."""
    monkeypatch.setattr(commits_module, "_QUIET_SECONDS", 0.01)
    monkeypatch.setattr(event_store_module, "_IDLE_COMMITS", 3)
    with WorkflowEnvironment(tmp_path / "store.duckdb") as env:
        for _ in range(3):
            committed_once()
        wait_until(lambda: env.client.store._log_bytes() == 0)
        assert committed_once() == 1
        assert nbflow.sql("SELECT count(*) AS n FROM executions").n[0] == 4
