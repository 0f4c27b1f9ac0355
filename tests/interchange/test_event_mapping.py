"""The table of attributes: every event type, both directions, and Temporal's own protobuf as the judge of names."""

from __future__ import annotations

from dataclasses import fields

import pytest

from nbflow.core.events import COMMAND_EVENTS, EVENT_TYPES, HistoryEvent, OtherEvent
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.interchange import event_table, kinds
from nbflow.interchange.event_json import read_event, write_event
from nbflow.interchange.event_table import ATTRIBUTES
from nbflow.interchange.kinds import Context, snake
from nbflow.interchange.temporal_export import KEPT_IN_HEADER

TIME = 1_760_000_000_123_456
CAUSE = Failure(
    message="why", info={"type": "Odd", "details": Payload.of_tree([1, {"a": None}]), "non_retryable": True}
)
FAILURE = Failure(
    message="what",
    kind="activity",
    info={"scheduled_event_id": 5, "activity_type": "fetch", "activity_id": "1", "retry_state": "TIMEOUT"},
    stack_trace="here",
    cause=CAUSE,
)
POLICY = {
    "initial_interval": 0.5,
    "backoff_coefficient": 1.5,
    "maximum_interval": 7.0,
    "maximum_attempts": 3,
    "non_retryable_error_types": ["Odd"],
}
SAMPLES = {
    id(kinds.TEXT): "some text",
    id(kinds.FLAG): True,
    id(kinds.NUMBER): 3,
    id(kinds.LONG): 12345678901,
    id(kinds.EVENT_ID): 4,
    id(kinds.TIME): TIME,
    id(kinds.DURATION): 1.5,
    id(kinds.TIMEOUT): 30.25,
    id(kinds.NUMBERS): [1, 2],
    id(kinds.ARGUMENTS): Payload.of_tree([1, "é", None, {"$nbflow": "tuple", "items": [1]}]),
    id(kinds.KEYWORDS): Payload.of_tree({"b": 2}),
    id(kinds.RESULT): Payload.of_tree({"x": [1.5, True]}),
    id(kinds.DETAILS): {"data": Payload.of_tree([1])},
    id(kinds.MEMO): Payload.of_tree({"by": "me"}),
    id(kinds.TEXT_PAYLOAD): "a line",
    id(kinds.SEARCH_ATTRIBUTES): {"Customer": "x", "Size": 3, "Tags": ["a"], "Ok": True},
    id(kinds.RETRY_POLICY): POLICY,
    id(kinds.RETRY_STATE): "TIMEOUT",
    id(kinds.FAILURE): FAILURE,
    id(event_table._INITIATOR): "WORKFLOW",
    id(event_table._CLOSE_POLICY): "ABANDON",
    id(event_table._REUSE_POLICY): "REJECT_DUPLICATE",
    id(event_table._START_CHILD_CAUSE): "WORKFLOW_ALREADY_EXISTS",
    id(event_table._CANCEL_EXTERNAL_CAUSE): "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND",
    id(event_table._SIGNAL_EXTERNAL_CAUSE): "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND",
    id(event_table._TASK_CAUSE): "NON_DETERMINISTIC_ERROR",
    id(event_table._TIMEOUT_TYPE): "START_TO_CLOSE",
}
# what Temporal has no attribute for: it is told by another event or a header, or stays behind
NOT_THERE = {
    "WorkflowExecutionStarted": set(KEPT_IN_HEADER),
    "WorkflowExecutionContinuedAsNew": {"retry_policy"},
    "WorkflowExecutionSignaled": {"external_initiated_event_id", "with_start"},
    "WorkflowExecutionPaused": {"failure"},
    "ActivityTaskStarted": {"started_time"},
    "TimerStarted": {"fire_time"},
    "TimerFired": {"identity"},
    "StartChildWorkflowExecutionInitiated": {"definition_hash", "start_delay", "on_error"},
}
EACH_TYPE = pytest.mark.parametrize("name", EVENT_TYPES)


def sample(name: str) -> HistoryEvent:
    """Make an event with every attribute that Temporal has."""
    cls = EVENT_TYPES[name]
    values = {attribute: SAMPLES.get(id(kind), "WORKFLOW") for attribute, _, kind in ATTRIBUTES[cls]}
    if name == "TimerStarted":
        values["fire_time"] = TIME + 1_500_000
    if name == "ActivityTaskStarted":
        values["started_time"] = TIME
    if name == "WorkflowExecutionUpdateCompleted":
        del values["failure"]  # one of the two
    return cls(event_id=7, event_time=TIME, **values)


@EACH_TYPE
def test_every_attribute_is_mapped_or_known_to_have_no_place(name):
    """A new attribute, or a new event type, can't be forgotten."""
    own = {field.name for field in fields(EVENT_TYPES[name])} - {"event_id", "event_time"}
    mapped = {attribute for attribute, _, _ in ATTRIBUTES[EVENT_TYPES[name]]}
    assert own - mapped == NOT_THERE.get(name, set())


@EACH_TYPE
def test_an_event_comes_back_as_it_was(name):
    """Writing and reading an event gives the same event, all attributes set."""
    event = sample(name)
    assert read_event(write_event(event, Context()), Context()) == event


@EACH_TYPE
def test_temporals_protobuf_knows_every_name(name):
    """The JSON parses as Temporal's HistoryEvent, strictly, and comes back from it to the same event."""
    pytest.importorskip("temporalio")
    from google.protobuf.json_format import MessageToDict, ParseDict
    from temporalio.api.history.v1 import HistoryEvent as ProtoEvent

    event = sample(name)
    proto = ParseDict(write_event(event, Context()), ProtoEvent())
    assert read_event(MessageToDict(proto), Context()) == event
    assert read_event(MessageToDict(proto, preserving_proto_field_name=True), Context()) == event


@EACH_TYPE
def test_an_event_with_nothing_optional_can_be_read(name):
    """What protobuf leaves out because it is empty gets a value that stands for empty."""
    key = name[0].lower() + name[1:] + "EventAttributes"
    tree = {"eventId": "7", "eventTime": "2025-10-09T08:53:20Z", "eventType": name, key: {}}
    event = read_event(tree, Context())
    assert type(event).__name__ == name
    assert write_event(event, Context())["eventType"] == "EVENT_TYPE_" + snake(name).upper()


def test_ids_of_other_events_are_mapped():
    """Every reference follows its event to its new id, also inside a failure."""
    event = EVENT_TYPES["ActivityTaskFailed"](
        event_id=7, event_time=TIME, scheduled_event_id=5, started_event_id=6, failure=FAILURE
    )
    tree = write_event(event, Context(ids={5: 50, 6: 60, 7: 70}))
    attributes = tree["activityTaskFailedEventAttributes"]
    assert (tree["eventId"], attributes["scheduledEventId"], attributes["startedEventId"]) == ("70", "50", "60")
    assert attributes["failure"]["activityFailureInfo"]["scheduledEventId"] == "50"


def test_an_unknown_event_type_is_kept_as_it_was_told():
    """Nexus events and what is yet to be invented keep their attributes."""
    attributes = {"endpoint": "e", "requestId": "r", "input": {"data": "MQ=="}}
    tree = {
        "eventId": "9",
        "eventTime": "2025-10-09T08:53:20.000000Z",
        "eventType": "EVENT_TYPE_NEXUS_OPERATION_SCHEDULED",
        "nexusOperationScheduledEventAttributes": attributes,
    }
    event = read_event(tree, Context())
    assert event == OtherEvent(
        event_id=9, event_time=TIME - 123_456, event_type="NexusOperationScheduled", attributes=attributes
    )
    assert write_event(event, Context()) == tree


@pytest.mark.parametrize(
    "spelling", ["EVENT_TYPE_WORKFLOW_TASK_SCHEDULED", "WorkflowTaskScheduled", "DecisionTaskScheduled"]
)
def test_event_types_are_read_in_every_spelling(spelling):
    """Protobuf's, the older CamelCase, and Cadence's old names."""
    tree = {"event_id": 2, "event_time": "2025-10-09T10:53:20.123456789+02:00", "event_type": spelling}
    event = read_event(tree, Context())
    assert (type(event).__name__, event.event_time) == ("WorkflowTaskScheduled", TIME)


def test_commands_tell_which_task_asked_for_them():
    """Every event that records a command has a class in the table (the exporter adds the task's id)."""
    assert set(ATTRIBUTES) >= COMMAND_EVENTS
