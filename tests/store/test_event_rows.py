"""Events become rows and come back, exactly as core's general rule has it."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.event_json import attributes_json, event_from_attributes
from nbflow.core.events import EVENT_TYPES, ActivityTaskCompleted, WorkflowExecutionStarted
from nbflow.core.failures import Failure
from nbflow.core.payloads import Blob, Payload
from nbflow.exceptions import HistoryCorruptedError
from nbflow.store.event_rows import event_of, row_of

texts = st.text(st.characters(codec="utf-8"), max_size=8)
integers = st.integers(0, 2**53)
payloads = st.sampled_from(['"x"', "[1,2.5,null]", '{"a":{"é":"ü\\n"}}', "-0.0", "[]"]).map(Payload)
failures = st.builds(lambda message, cause: Failure(message=message, info={"type": "E"}, cause=cause), texts, st.none())
BY_TYPE = {
    "bool": st.booleans(),
    "str": texts,
    "int": integers,
    "float": st.floats(0, 1e9),
    "Payload": payloads,
    "Failure": failures,
    "Mapping[str, Any]": st.dictionaries(texts, integers, max_size=2),
    "Sequence[int]": st.lists(st.integers(0, 9), max_size=3),
    "Mapping[str, Payload]": st.dictionaries(texts, payloads, max_size=2),
}


def values_of(field):
    """Return a strategy for one attribute, from its annotation."""
    kind, optional, _ = str(field.type).partition(" | None")
    return st.none() | BY_TYPE[kind] if optional else BY_TYPE[kind]


def events_of(cls):
    """Return a strategy for events of one class; attributes with a default are there or not."""
    needed = {f.name: values_of(f) for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    optional = {f.name: values_of(f) for f in fields(cls) if f.name not in needed}
    return st.fixed_dictionaries(needed, optional=optional).map(lambda values: cls(**values))


@pytest.mark.parametrize("cls", EVENT_TYPES.values(), ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_a_row_holds_what_the_general_rule_writes_and_gives_the_event_back(cls, data):
    """For every event type, short cut and general rule write the same text and read the same event."""
    event = data.draw(events_of(cls))
    row = row_of("run", "w", event, False, {})
    assert row[-1] == attributes_json(event)
    tree = json.loads(row[-1])
    assert event_of(row[4], row[2], row[3], tree) == event_from_attributes(row[4], row[2], row[3], tree) == event


def test_columns_repeat_what_queries_look_for(story):
    """A row names its run, type, subject, the event it goes on from, and when it is due."""
    one = story().started(workflow_execution_expiration_time=99)
    scheduled = one.scheduled()
    one.succeeded(scheduled)
    timer = one.timer(5)
    rows = [row_of(*event, {}) for event in one.batch.events]
    assert [row[4:9] for row in rows] == [
        ("WorkflowExecutionStarted", "report", None, 99, False),
        ("ActivityTaskScheduled", "fetch", None, None, False),
        ("ActivityTaskStarted", None, scheduled, None, False),
        ("ActivityTaskCompleted", None, scheduled, None, False),
        ("TimerStarted", str(timer - 1), None, one.events[-1].fire_time, False),
    ]


def test_a_delayed_start_is_deferred_until_its_delay_ends(story):
    """The due time of an execution with a start delay is the end of the delay."""
    one = story().started(first_workflow_task_backoff=1.5, workflow_execution_expiration_time=99)
    row = row_of(*one.batch.events[0], {})
    assert row[7:9] == (one.now + 1_500_000, True)


def test_blobs_are_collected_from_payloads_and_from_causes_of_failures():
    """Every payload of an event may bring blobs, those inside a chain of failures too."""
    blobs = [Blob(name, "bytes", b"") for name in ("a", "b")]
    found = {}
    inner = Failure(message="", info={"details": Payload("1", (blobs[0],))})
    started = WorkflowExecutionStarted(
        event_id=1, event_time=1, workflow_type="t", workflow_id="w", input=Payload("[]", (blobs[1],)),
        continued_failure=Failure(message="", cause=inner),
    )  # fmt: skip
    row_of("run", "w", started, False, found)
    assert found == {"a": blobs[0], "b": blobs[1]}


def test_an_event_of_an_unknown_type_is_refused():
    """What a newer nbflow wrote is not guessed at."""
    with pytest.raises(HistoryCorruptedError, match="unknown type 'Teleported'"):
        event_of("Teleported", 7, 1, {})


def test_an_event_without_a_needed_attribute_is_refused():
    """A missing attribute is named."""
    with pytest.raises(HistoryCorruptedError, match=r"event 7 \(ActivityTaskCompleted\) lacks its attribute 'result'"):
        event_of("ActivityTaskCompleted", 7, 1, {"scheduled_event_id": 5, "started_event_id": 6})


def test_an_attribute_that_this_version_does_not_know_is_left_out():
    """An older nbflow reads what a newer one added."""
    tree = {"scheduled_event_id": 5, "started_event_id": 6, "result": 1, "colour": "red"}
    assert event_of("ActivityTaskCompleted", 7, 1, tree) == ActivityTaskCompleted(
        event_id=7, event_time=1, scheduled_event_id=5, started_event_id=6, result=Payload("1")
    )
