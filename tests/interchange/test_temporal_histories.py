"""Histories that a real Temporal server recorded, in the store and in replay."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from replay_player import definition_of
from temporal_twins import TWINS

import nbflow
from nbflow.core.instance import WorkflowInstance
from nbflow.core.replay import replay
from nbflow.exceptions import (
    HistoryConflictError,
    HistoryFormatError,
    NondeterminismError,
    WorkflowClosedError,
    WorkflowFailedError,
)
from nbflow.interchange.files import read_file, read_history
from nbflow.interchange.native import native_history
from nbflow.interchange.seeds import temporal_seed
from nbflow.interchange.temporal_export import temporal_history
from nbflow.store.codec import Codec
from nbflow.testing import WorkflowEnvironment

FILES = sorted((Path(__file__).parent / "histories").glob("*.json"))
EACH_FILE = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def recorded(name: str) -> Path:
    return next(file for file in FILES if file.stem == name)


def types_and_ids(tree) -> list[tuple[str, str]]:
    return [(event["eventType"], event["eventId"]) for event in tree["events"]]


@EACH_FILE
def test_an_imported_history_goes_out_as_it_came(file):
    """Types, order and ids are those of the server."""
    history = read_file(file)
    written = temporal_history(history.events, history.run_id)
    assert types_and_ids(written) == types_and_ids(json.loads(file.read_text()))
    assert read_history(written).events == history.events


@EACH_FILE
def test_an_imported_history_survives_our_own_form(file):
    """What `--format json` writes reads back to equal events."""
    history = read_file(file)
    again = read_history(json.loads(json.dumps(native_history(history.events, "w", "r", backend="temporal"))))
    assert (again.events, again.backend) == (history.events, "temporal")


REPLAYED = [file for file in FILES if read_file(file).events[0].workflow_type in TWINS]


def rebuilt(file: Path, twin=None) -> WorkflowInstance:
    history = read_file(file)
    function = twin or TWINS[history.events[0].workflow_type]
    instance = WorkflowInstance(history.run_id, definition_of(function), Codec())
    replay(instance, history.events)
    return instance


@pytest.mark.parametrize("file", REPLAYED, ids=lambda file: file.stem)
def test_the_same_workflow_in_nbflow_replays_what_temporal_recorded(file):
    """Several events in one workflow task, signals, updates, cancellation: the twin gives the recorded commands."""
    instance = rebuilt(file)
    assert instance.outstanding == []
    instance.evict()


def test_random_numbers_are_those_of_temporal():
    """The seed is made of the run id as Temporal's Core makes it, so the twin draws the recorded number."""
    history = read_file(recorded("crowd"))
    result = history.events[-1].result.tree
    assert history.events[0].random_seed == temporal_seed(history.run_id)
    assert result[-1] == random.Random(temporal_seed(history.run_id)).random()


def test_another_workflow_does_not_replay_what_temporal_recorded():
    """Replay checks every command, of imported histories too."""

    async def t_crowd(n):
        await nbflow.sleep(1)

    with pytest.raises(NondeterminismError, match=r"recorded is event \d ActivityTaskScheduled\(t_add_up\)"):
        rebuilt(recorded("crowd"), t_crowd)


@pytest.fixture
def env():
    with WorkflowEnvironment() as env:
        yield env


def test_sql_and_handles_show_imported_executions(env):
    """Imported executions are told like others, and as Temporal's."""
    nbflow.import_history(*FILES)
    told = nbflow.sql("SELECT workflow_id, status, backend FROM executions ORDER BY workflow_id").values.tolist()
    assert ["t-crowd", "Completed", "temporal"] in told
    assert ["t-waiting", "Running", "temporal"] in told
    assert {backend for _, _, backend in told} == {"temporal"}
    assert nbflow.get("t-retries").result() == [3, 6]
    with pytest.raises(WorkflowFailedError, match="ActivityError"):
        nbflow.get("t-failing").result()
    activities = nbflow.sql("SELECT activity_type, status, attempt FROM activities WHERE workflow_id = 't-retries'")
    assert ["t_moody", "Completed", 3] in activities.values.tolist()


def test_importing_twice_changes_nothing(env):
    """The second import writes no row."""
    nbflow.import_history(*FILES)
    before = nbflow.sql("SELECT count(*) AS n FROM events").n[0]
    handles = nbflow.import_history(*FILES, FILES[0])
    assert nbflow.sql("SELECT count(*) AS n FROM events").n[0] == before
    assert handles[0].run_id == handles[-1].run_id


def test_a_longer_history_of_an_open_execution_adds_what_came_since(env, tmp_path):
    """An execution imported while it was open can be imported again later."""
    whole = json.loads(recorded("retries").read_text())
    part = tmp_path / "part.json"
    part.write_text(json.dumps({"events": whole["events"][:10]}))
    (handle,) = nbflow.import_history(part)
    assert handle.status == "Running"
    (handle,) = nbflow.import_history(recorded("retries"))
    assert (handle.status, len(handle.history())) == ("Completed", len(whole["events"]))
    nbflow.import_history(part)
    assert len(handle.history()) == len(whole["events"])


def test_another_history_under_the_same_run_id_is_refused(env, tmp_path):
    """Nothing of a file list is imported when one of them contradicts the store."""
    nbflow.import_history(recorded("retries"))
    tree = json.loads(recorded("retries").read_text())
    tree["events"][4]["activityTaskScheduledEventAttributes"]["activityType"]["name"] = "other"
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(tree))
    with pytest.raises(HistoryConflictError, match="event 5 is ActivityTaskScheduled"):
        nbflow.import_history(recorded("failing"), changed)
    assert nbflow.executions().workflow_id.tolist() == ["t-retries"]


def test_imported_executions_are_never_run(env):
    """An open one has a pending activity and a timer; time goes by, and requests are refused."""
    (handle,) = nbflow.import_history(recorded("waiting"))
    before = handle.history()
    env.skip("60 days")
    for request in (lambda: handle.signal("x"), handle.cancel, handle.terminate, handle.result, handle.fire):
        with pytest.raises(WorkflowClosedError, match="it runs elsewhere"):
            request()
    assert handle.history() == before
    assert handle.status == "Running"


def test_imported_executions_are_never_run_after_a_restart(tmp_path):
    """Opening the store again finds nothing to recover."""
    path = tmp_path / "s.duckdb"
    with WorkflowEnvironment(path) as env:
        nbflow.import_history(recorded("waiting"))
    with WorkflowEnvironment(path) as env:
        env.skip("60 days")
        assert nbflow.sql("SELECT count(*) AS n FROM events").n[0] == 6
        assert nbflow.sql("SELECT count(*) AS n FROM attempts").n[0] == 0
        assert list(env.client.engine.problems) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("not json", "can't be read as JSON"),
        ("{}", "no list of events"),
        ("[]", "no events"),
        ('{"format": "nbflow-history/9"}', "this nbflow reads"),
        (
            '[{"eventId": "1", "eventTime": "2026-01-01T00:00:00Z", "eventType": "TimerFired"}]',
            "begins with a TimerFired",
        ),
        ('[{"eventId": "1", "eventTime": "x", "eventType": "TimerFired"}]', "no event of a Temporal history"),
    ],
)
def test_what_is_no_history_is_refused_and_named(tmp_path, text, why):
    """The error names the file and what is wrong with it."""
    file = tmp_path / "h.json"
    file.write_text(text)
    with pytest.raises(HistoryFormatError, match=why) as raised:
        read_file(file)
    assert str(file) in str(raised.value)


def test_a_history_that_does_not_say_whose_it_is_takes_ids(tmp_path):
    """Old servers leave the ids out."""
    tree = json.loads(recorded("failing").read_text())
    told = tree["events"][0]["workflowExecutionStartedEventAttributes"]
    for name in ("workflowId", "originalExecutionRunId", "firstExecutionRunId"):
        told.pop(name, None)
    with pytest.raises(HistoryFormatError, match="give the workflow id"):
        read_history(tree)
    history = read_history(tree, "mine", "run-1")
    assert (history.workflow_id, history.run_id) == ("mine", "run-1")


def test_events_of_unknown_types_are_kept_and_passed_over(env, tmp_path):
    """SQL shows them with what the server told; views, handles and replay go on without them."""
    tree = json.loads(recorded("failing").read_text())
    told = {"endpoint": "e", "requestId": "r"}
    odd = {
        "eventId": "5",
        "eventTime": tree["events"][4]["eventTime"],
        "eventType": "EVENT_TYPE_NEXUS_OPERATION_SCHEDULED",
        "nexusOperationScheduledEventAttributes": told,
    }
    text = json.dumps([*tree["events"][:4], odd])
    file = tmp_path / "odd.json"
    file.write_text(text)
    (handle,) = nbflow.import_history(file)
    row = nbflow.sql("SELECT event_type, attributes FROM events WHERE event_id = 5").iloc[0]
    assert (row.event_type, json.loads(row.attributes)) == ("NexusOperationScheduled", {"temporal": told})
    assert handle.export()["events"][4]["nexusOperationScheduledEventAttributes"] == told
    instance = WorkflowInstance("r", definition_of(TWINS["t_failing"]), Codec())
    replay(instance, handle.history())
    assert [type(it).__name__ for it in instance.outstanding] == ["ScheduleActivityTask"]
    instance.evict()


def test_what_temporal_has_completed_is_not_done_again(env):
    """Starting a workflow under the id of an imported execution gives the imported result."""
    nbflow.import_history(recorded("retries"))

    @nbflow.workflow(name="interchange_again")
    def again():
        return "done here"

    handle = again.options(id="t-retries").start()
    assert handle.result() == [3, 6]
    own = again.options(id="t-retries", id_reuse="allow").start()
    assert own.result() == "done here"
    assert nbflow.get("t-retries").run_id == own.run_id
