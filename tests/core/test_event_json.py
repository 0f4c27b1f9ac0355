"""Events as the JSON that the log keeps: what is written comes back the same."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.event_json import attributes_json, event_from_attributes, initiated_event_id, name_of
from nbflow.core.events import EVENT_TYPES, ActivityTaskCompleted, HistoryEvent, TimerStarted
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.exceptions import HistoryCorruptedError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
payloads = json_values.map(lambda value: Payload(json.dumps(value, ensure_ascii=False)))
infos = st.fixed_dictionaries({}, optional={"type": texts, "non_retryable": st.booleans(), "details": payloads})
failures = st.recursive(
    st.builds(Failure, message=texts, info=infos, stack_trace=texts),
    lambda inner: st.builds(Failure, message=texts, kind=st.sampled_from(["timeout", "activity"]), cause=inner),
    max_leaves=3,
)
BY_TYPE = {
    "bool": st.booleans(),
    "str": texts,
    "int": st.integers(0, 2**62),
    "float": st.floats(0, 1e9, allow_nan=False),
    "Payload": payloads,
    "Failure": failures,
    "Mapping[str, Any]": st.dictionaries(texts, json_values, max_size=3),
    "Sequence[int]": st.lists(st.integers(0, 9), max_size=3),
    "Mapping[str, Payload]": st.dictionaries(texts, payloads, max_size=3),
}


def events() -> st.SearchStrategy[HistoryEvent]:
    """Any event of any type, every attribute with any value that it may have."""

    def of(cls: type[HistoryEvent]) -> st.SearchStrategy[HistoryEvent]:
        values = {}
        for field in fields(cls):
            plain, _, optional = str(field.type).partition(" | ")
            values[field.name] = BY_TYPE[plain] | st.none() if optional else BY_TYPE[plain]
        return st.builds(cls, **values)

    return st.one_of([of(cls) for cls in EVENT_TYPES.values()])


def read_back(event: HistoryEvent) -> HistoryEvent:
    attributes = json.loads(attributes_json(event))
    return event_from_attributes(type(event).__name__, event.event_id, event.event_time, attributes)


@given(events())
def test_every_event_comes_back_the_same(event):
    """Writing and reading is the identity, for all types and attributes."""
    assert read_back(event) == event


@given(events())
def test_none_is_left_out(event):
    """The JSON has no attribute that the event does not have, and is plain UTF-8."""
    text = attributes_json(event)
    text.encode()
    names = {f.name for f in fields(event)} - {"event_id", "event_time"}
    assert set(json.loads(text)) == {name for name in names if getattr(event, name) is not None}


def test_a_null_payload_is_a_value():
    """A function that returned None has a result."""
    event = ActivityTaskCompleted(
        event_id=3, event_time=1, scheduled_event_id=1, started_event_id=2, result=Payload("null")
    )
    assert attributes_json(event) == '{"scheduled_event_id":1,"started_event_id":2,"result":null}'
    assert read_back(event).result.tree is None


def test_text_that_can_not_be_stored_does_not_break_the_log():
    """Half a surrogate pair in a summary becomes a question mark."""
    event = TimerStarted(event_id=2, event_time=1, timer_id="1", start_to_fire_timeout=1.0, summary="caf\udce9 é")
    assert '"summary":"caf? é"' in attributes_json(event)


def test_an_unknown_type_is_told():
    """A newer nbflow may have written it."""
    with pytest.raises(HistoryCorruptedError, match="event 7 has the unknown type 'NexusStarted'"):
        event_from_attributes("NexusStarted", 7, 1, {})


def test_a_missing_attribute_is_told():
    """Which one, of which event."""
    with pytest.raises(HistoryCorruptedError, match=r"event 2 \(TimerStarted\) lacks its attribute 'timer_id'"):
        event_from_attributes("TimerStarted", 2, 1, {"start_to_fire_timeout": 5})


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("WorkflowExecutionFailed", {"failure": "text"}),
        ("WorkflowExecutionFailed", {"failure": {"message": "x", "cause": 5}}),
        ("MarkerRecorded", {"marker_name": "m", "details": [1]}),
    ],
)
def test_an_attribute_of_the_wrong_shape_is_told(name, attributes):
    """A damaged failure is not a crash of the reader."""
    with pytest.raises(HistoryCorruptedError, match="event 2"):
        event_from_attributes(name, 2, 1, attributes)


def test_attributes_of_a_later_version_are_left_out():
    """An older nbflow reads what it knows."""
    event = event_from_attributes("TimerFired", 3, 1, {"timer_id": "1", "started_event_id": 2, "mood": "good"})
    assert (event.timer_id, event.started_event_id) == ("1", 2)


@given(events())
def test_columns_name_what_an_event_is_about(event):
    """The name and the initiating event are attributes of the event, or None."""
    name, initiated = name_of(event), initiated_event_id(event)
    assert name is None or name == getattr(event, event.name_attribute)
    assert initiated is None or initiated == getattr(event, event.initiated_attribute)
