"""Events, timers, signals, failures, logs, definitions and the rest, history by history."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from nbflow.core import events
from nbflow.core.event_json import attributes_json
from nbflow.core.payloads import Payload
from nbflow.store import DefinitionRow, LogRow


def at(seconds):
    """Return the time of a story's n-th second."""
    return datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC) + timedelta(seconds=seconds)


def test_events_are_the_history(tell, story):
    """Every event is a row, with its time, its subject and its attributes as JSON."""
    one = story().started()
    one.succeeded(one.scheduled())
    ask = tell(one)
    rows = ask("SELECT event_id, event_time, event_type, name, initiated_event_id FROM events ORDER BY event_id")
    assert rows == [
        (1, at(1), "WorkflowExecutionStarted", "report", None),
        (2, at(2), "ActivityTaskScheduled", "fetch", None),
        (3, at(3), "ActivityTaskStarted", None, 2),
        (4, at(4), "ActivityTaskCompleted", None, 2),
    ]
    trees = [json.loads(text) for (text,) in ask("SELECT attributes FROM events ORDER BY event_id")]
    assert trees == [json.loads(attributes_json(event)) for event in one.events]
    assert ask("SELECT DISTINCT typeof(attributes), typeof(event_time) FROM events") == [
        ("JSON", "TIMESTAMP WITH TIME ZONE")
    ]


def test_timers_of_each_status(tell, story):
    """A timer is pending until it fires or is cancelled."""
    one = story().started()
    fired, canceled, _ = one.timer(1, "nap"), one.timer(60), one.timer(3600)
    one.fired(fired), one.timer_canceled(canceled)
    ask = tell(one)
    assert ask("FROM timers ORDER BY started_event_id") == [
        ("w", one.run_id, 2, "1", "nap", at(2), at(3), "Fired", at(5)),
        ("w", one.run_id, 3, "2", None, at(3), at(63), "Canceled", at(6)),
        ("w", one.run_id, 4, "3", None, at(4), at(3604), "Pending", None),
    ]


def test_a_timer_of_a_closed_execution_is_cancelled(tell, story):
    """It no longer fires, and ended when the execution did."""
    one = story().started()
    one.timer(60)
    one.completed()
    assert tell(one)("SELECT status, close_time FROM timers") == [("Canceled", at(3))]


def test_signals(tell, story):
    """A signal has its name, its time and its arguments."""
    one = story().started()
    one.add(events.WorkflowExecutionSignaled, signal_name="approve", input=Payload('["yes"]'), identity="ada")
    assert tell(one)("FROM signals") == [("w", one.run_id, 2, "approve", at(2), '["yes"]', "ada")]


def test_failures_of_attempts_activities_and_executions(tell, story, failure):
    """Each recorded failure is a row, with the cause at its root."""
    one = story().started()
    scheduled = one.scheduled()
    one.tried(scheduled, 1, failure=failure("OSError", "no route"))
    one.failed(scheduled, failure("ActivityError", "gave up", failure("OSError", "no route")), attempt=2)
    deep = failure("A", "1", failure("B", "2", failure("C", "3")))
    one.add(events.WorkflowExecutionFailed, failure=deep)
    ask = tell(one)
    query = """
        SELECT failed, activity_type, scheduled_event_id, attempt, failure_type, root_type, root_message, root_traceback
        FROM failures ORDER BY failure_time
    """
    assert ask(query) == [
        ("attempt", "fetch", 2, 1, "OSError", "OSError", "no route", "Traceback of OSError"),
        ("activity", "fetch", 2, None, "ActivityError", "OSError", "no route", "Traceback of OSError"),
        ("execution", None, None, None, "A", "C", "3", "Traceback of C"),
    ]


@pytest.mark.parametrize("depth", [0, 1, 8, 12])
def test_the_root_of_a_deep_chain(tell, story, failure, depth):
    """The root is found at the end of chains as long as are recorded."""
    chain = failure("Root", "the reason")
    for level in range(depth):
        chain = failure(f"Level{level}", "because", chain)
    one = story().started()
    one.add(events.WorkflowExecutionFailed, failure=chain)
    assert tell(one)("SELECT root_type, root_message FROM failures") == [("Root", "the reason")]


def test_logs_definitions_heartbeats_and_dispatches(tell, story):
    """The remaining tables are views with times as times."""
    one = story().started()
    scheduled = one.scheduled(deferred=True)
    one.batch.logs.append(LogRow(one.run_id, "w", scheduled, 1, one.now, "INFO", "print", "hello"))
    for hash_, seconds in (("a", 0), ("b", 1), ("a", 2)):
        row = DefinitionRow(hash_, "workflow", "report", f"# {hash_}", '{"v":1}', one.now + seconds * 1_000_000)
        one.batch.definitions.append(row)
    one.heartbeat(scheduled, 1, "[3]")
    one.dispatched(scheduled, scheduled, 1)
    ask = tell(one)
    assert ask("FROM logs") == [("w", one.run_id, 2, 1, at(2), "INFO", "print", "hello")]
    assert ask("FROM definitions ORDER BY last_time") == [
        ("b", "workflow", "report", "# b", '{"v":1}', at(3), at(3)),
        ("a", "workflow", "report", "# a", '{"v":1}', at(2), at(4)),
    ]
    assert ask("FROM heartbeats") == [(one.run_id, 2, 1, at(2), "[3]")]
    assert ask("FROM dispatches") == [(one.run_id, 2, 2, 1, at(2))]


@pytest.mark.parametrize("view", ["updates", "children", "schedules"])
def test_views_of_what_comes_later_are_empty_and_can_be_joined(tell, story, view):
    """Queries over them work today."""
    ask = tell(story().started())
    assert ask(f"SELECT e.workflow_id, v.run_id FROM executions e LEFT JOIN {view} v USING (run_id)") == [("w", None)]


def test_every_relation_that_people_rely_on_has_its_columns(tell):
    """The columns of the design are there, under their names."""
    ask = tell()
    promised = {
        "events": "workflow_id run_id event_id event_time event_type name initiated_event_id attributes",
        "executions": "workflow_id run_id workflow_type status start_time close_time duration parent_workflow_id "
        "parent_run_id history_length input result failure_type failure_message memo search_attributes "
        "definition_hash run_key backend",
        "activities": "workflow_id run_id scheduled_event_id activity_type status attempt scheduled_time started_time "
        "close_time duration input result failure_type failure_message next_attempt_time",
        "attempts": "workflow_id run_id scheduled_event_id activity_type attempt started_time ended_time outcome "
        "failure_type failure_message failure_traceback",
        "timers": "workflow_id run_id started_event_id timer_id summary started_time fire_time status",
    }
    for view, columns in promised.items():
        found = [row[0] for row in ask(f"DESCRIBE {view}")]
        assert found[: len(columns.split())] == columns.split()


def test_a_large_log_made_by_the_generator_is_consistent(store, synthetic):
    """Ten thousand synthetic executions: every view counts what was put in, every history is whole."""
    synthetic.fill(store, 10_000)
    ask = lambda query: store.sql(query).fetchall()
    assert ask("SELECT status, count(*) FROM executions GROUP BY 1 ORDER BY 1") == [
        ("Completed", 6000),
        ("Running", 4000),
    ]
    assert ask("SELECT status, count(*) FROM timers GROUP BY 1 ORDER BY 1") == [("Fired", 2000), ("Pending", 3000)]
    assert ask("SELECT status, count(*) FROM activities GROUP BY 1 ORDER BY 1") == [
        ("Completed", 4000),
        ("Started", 1000),
    ]
    reader = store.reader()
    histories = reader.histories([synthetic.run_id(i) for i in range(10_000)])
    assert sum(map(len, histories.values())) == 36_000
    assert len(reader.due(2_000_000_000_000_000)) == 3000
