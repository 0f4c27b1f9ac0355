"""Histories of the embedded engine: out as Temporal's JSON, in again, and replayed."""

from __future__ import annotations

import json
import random

import pytest
from replay_corpus import CORPUS
from replay_player import definition_of
from replay_schedules import Played
from replayer_process import signal_after_others

import nbflow
from nbflow.core.events import COMMAND_EVENTS
from nbflow.core.instance import WorkflowInstance
from nbflow.core.patches import is_change_version
from nbflow.core.payloads import JsonConverter
from nbflow.core.replay import replay
from nbflow.exceptions import ConfigurationError, HistoryConflictError
from nbflow.interchange.files import read_history
from nbflow.interchange.native import native_history
from nbflow.interchange.temporal_export import temporal_history
from nbflow.testing import WorkflowEnvironment


@nbflow.activity(name="interchange_describe", retry=nbflow.RetryPolicy(maximum_attempts=2))
def describe(value, *, loud=False):
    return {"of": value, "loud": loud, "bytes": b"x" * 300_000}


@nbflow.workflow(name="interchange_report")
def report(values, *, title="none"):
    found = [describe(value, loud=True) for value in values]
    nbflow.sleep("1 day", summary="a day later")
    return title, nbflow.side_effect(lambda: 42), len(found[0]["bytes"])


@pytest.fixture
def env():
    with WorkflowEnvironment() as env:
        yield env


@pytest.mark.parametrize("body", CORPUS, ids=lambda body: body.name)
def test_an_exported_history_replays_with_the_same_commands(body):
    """Out, in, and through the code: the workflow tasks keep the activations as they were."""
    for seed in range(3):
        chosen = random.Random(f"{body.name}:{seed}")
        played = Played(body, [chosen.randrange(2 * seed + 1) for _ in range(40)])
        history = played.player.history
        if signal_after_others(history):
            continue
        again = read_history(json.loads(json.dumps(temporal_history(history, "run-1"))))
        instance = WorkflowInstance("run-1", definition_of(body.function), JsonConverter())
        assert replay(instance, again.events) == []
        assert instance.state == played.player.status
        assert commands(again.events) == commands(history)
        instance.evict()
        played.player.close()


def commands(history) -> list[type]:
    """Types of the recorded commands, without the lists of patches, of which Core makes more."""
    return [type(it) for it in history if type(it) in COMMAND_EVENTS and not is_change_version(it)]


@pytest.mark.parametrize("body", CORPUS, ids=lambda body: body.name)
def test_our_own_form_loses_nothing(body):
    """Every event reads back equal."""
    played = Played(body, [1, 0, 2] * 9)
    history = played.player.history
    again = read_history(json.loads(json.dumps(native_history(history, "wf-1", "run-1"))))
    assert (again.events, again.workflow_id, again.run_id, again.backend) == (history, "wf-1", "run-1", "embedded")
    played.player.close()


def test_every_command_names_the_task_that_asked_for_it(env):
    """Workflow tasks come in threes, ids are dense, commands stand behind their task."""
    handle = env.start(report, ["a", "b"])
    handle.result()
    events = handle.export()["events"]
    assert [event["eventId"] for event in events] == [str(i) for i in range(1, len(events) + 1)]
    completed = None
    for event in events:
        if event["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED":
            completed = event["eventId"]
        (attributes,) = (value for key, value in event.items() if key.endswith("EventAttributes"))
        assert attributes.get("workflowTaskCompletedEventId", completed) == completed


def test_large_values_and_keywords_travel_inside(env, tmp_path):
    """A file holds all of a history: values from beside the log, keyword arguments, summaries."""
    handle = env.start(report, ["a"], title="t")
    result = handle.result()
    for form in ("temporal", "json"):
        nbflow.export_history(handle.workflow_id, tmp_path / f"{form}.json", format=form)
    for form in ("temporal", "json"):
        with WorkflowEnvironment() as other:
            (again,) = nbflow.import_history(tmp_path / f"{form}.json")
            assert again.result() == result
            timers = other.sql("SELECT summary, status FROM timers").values.tolist()
            assert timers == [["a day later", "Fired"]]
            assert other.sql("SELECT backend FROM executions").backend.tolist() == [
                "temporal" if form == "temporal" else "embedded"
            ]


def test_the_stores_own_executions_are_not_overwritten(env, tmp_path):
    """Importing what the store has as its own changes nothing, and a contradiction is refused."""
    handle = env.start(report, ["a"])
    handle.result()
    nbflow.export_history(handle.workflow_id, tmp_path / "own.json", format="json")
    count = len(handle.history())
    nbflow.import_history(tmp_path / "own.json")
    assert len(handle.history()) == count
    nbflow.export_history(handle.workflow_id, tmp_path / "tasks.json")
    with pytest.raises(HistoryConflictError):
        nbflow.import_history(tmp_path / "tasks.json")


def test_an_unknown_format_is_refused_by_name(env):
    """The error says which formats there are."""
    handle = env.start(report, ["a"])
    with pytest.raises(ConfigurationError, match="temporal, json"):
        handle.export("xml")
