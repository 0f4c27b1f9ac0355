"""Events to rows of the log and back, as core.event_json has it, with short cuts for what is most frequent.

Commits and replays spend most of their time here. The short cuts write and read exactly what
the general rule does (a test compares them for every event type); all that is rare goes through the rule itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from json.encoder import encode_basestring as _quoted
from operator import attrgetter
from typing import Any, TypeAlias

from nbflow.core.event_json import attributes_json, event_from_attributes, initiated_event_id, name_of, type_name
from nbflow.core.events import (
    EVENT_TYPES,
    ActivityTaskCompleted,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    HistoryEvent,
    MarkerRecorded,
    OtherEvent,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCompleted,
    WorkflowExecutionStarted,
)
from nbflow.core.failures import Failure
from nbflow.core.payloads import Blob, Payload
from nbflow.core.run_times import run_deadline

__all__ = ["Row", "blobs_of_failure", "event_of", "row_of"]

Row: TypeAlias = tuple[Any, ...]

_new = object.__new__


def row_of(run_id: str, workflow_id: str, event: HistoryEvent, deferred: bool, blobs: dict[str, Blob]) -> Row:
    """Return an event's row, and add its blobs to ``blobs``."""
    make = _SHORT_CUTS.get(type(event), _general_row)
    return make(run_id, workflow_id, event, deferred, blobs)


def _general_row(run_id: str, workflow_id: str, event: HistoryEvent, deferred: bool, blobs: dict[str, Blob]) -> Row:
    if type(event) is not OtherEvent:
        _collect(event, blobs)
    due = None
    if isinstance(event, WorkflowExecutionStarted):
        due = run_deadline(event)
        if event.first_workflow_task_backoff is not None:
            due, deferred = event.event_time + int(event.first_workflow_task_backoff * 1_000_000), True
    return (
        run_id, workflow_id, event.event_id, event.event_time, type_name(event),
        name_of(event), initiated_event_id(event), due, deferred, attributes_json(event),
    )  # fmt: skip


def _collect(event: HistoryEvent, blobs: dict[str, Blob]) -> None:
    shape = _SHAPES[type(event)]
    for name in shape.payloads:
        payload = getattr(event, name)
        if payload is not None and payload.blobs:
            blobs.update((blob.sha256, blob) for blob in payload.blobs)
    for name in shape.failures:
        blobs_of_failure(getattr(event, name), blobs)
    if isinstance(event, MarkerRecorded):
        for payload in event.details.values():
            blobs.update((blob.sha256, blob) for blob in payload.blobs)


def blobs_of_failure(failure: Failure | None, blobs: dict[str, Blob]) -> None:
    """Add the blobs of a failure and its causes to ``blobs``."""
    while failure is not None:
        values: Iterable[Any] = failure.info.values()
        for value in values:
            if isinstance(value, Payload):
                blobs.update((blob.sha256, blob) for blob in value.blobs)
        failure = failure.cause


_RARE_AT_START = attrgetter(
    "keyword_input", "workflow_execution_timeout", "workflow_run_timeout", "workflow_execution_expiration_time",
    "first_workflow_task_backoff", "retry_policy", "memo", "search_attributes", "summary", "first_execution_run_id",
    "continued_execution_run_id", "initiator", "continued_failure", "parent_workflow_id", "parent_run_id",
    "parent_initiated_event_id", "root_workflow_id", "root_run_id", "last_completion_result", "priority", "on_error",
    "identity", "original_execution_run_id", "reset_run_id", "reset_event_id", "reset_reason", "original_start_time",
    "reseeds",
)  # fmt: skip
_NOTHING_RARE = (None,) * 28


def _execution_started_row(run_id: str, workflow_id: str, event: Any, deferred: bool, blobs: dict[str, Blob]) -> Row:
    if _RARE_AT_START(event) != _NOTHING_RARE:
        return _general_row(run_id, workflow_id, event, deferred, blobs)
    payload, name, run_key = event.input, event.workflow_type, event.run_key
    if payload.blobs:
        _collect(event, blobs)
    return (
        run_id, workflow_id, event.event_id, event.event_time, "WorkflowExecutionStarted", name, None, None, deferred,
        f'{{"workflow_type":{_quoted(name)},"workflow_id":{_quoted(event.workflow_id)},"input":{payload.text},'
        f'"definition_hash":{_quoted(event.definition_hash)},"random_seed":{event.random_seed},'
        f'"scheduling_rule":{event.scheduling_rule},'
        + ("" if run_key is None else f'"run_key":{_quoted(run_key)},')
        + f'"attempt":{event.attempt}}}',
    )  # fmt: skip


def _execution_completed_row(run_id: str, workflow_id: str, event: Any, deferred: bool, blobs: dict[str, Blob]) -> Row:
    result = event.result
    if result.blobs:
        _collect(event, blobs)
    return (
        run_id, workflow_id, event.event_id, event.event_time, "WorkflowExecutionCompleted",
        None, None, None, deferred, f'{{"result":{result.text}}}',
    )  # fmt: skip


def _scheduled_row(run_id: str, workflow_id: str, event: Any, deferred: bool, blobs: dict[str, Blob]) -> Row:
    payload = event.input
    if event.keyword_input is not None or event.retry_policy is not None or event.priority is not None:
        return _general_row(run_id, workflow_id, event, deferred, blobs)
    if payload.blobs:
        _collect(event, blobs)
    name = event.activity_type
    text = f'{{"activity_id":{_quoted(event.activity_id)},"activity_type":{_quoted(name)},"input":{payload.text}'
    for attribute in _TIMEOUTS:
        timeout = getattr(event, attribute)
        if timeout is not None:
            text += f',"{attribute}":{timeout!r}'
    if event.summary is not None:
        text += f',"summary":{_quoted(event.summary)}'
    return (
        run_id, workflow_id, event.event_id, event.event_time, "ActivityTaskScheduled",
        name, None, None, deferred, text + "}",
    )  # fmt: skip


_TIMEOUTS = ("schedule_to_close_timeout", "schedule_to_start_timeout", "start_to_close_timeout", "heartbeat_timeout")


def _started_row(run_id: str, workflow_id: str, event: Any, deferred: bool, blobs: dict[str, Blob]) -> Row:
    if event.last_failure is not None or event.identity is not None:
        return _general_row(run_id, workflow_id, event, deferred, blobs)
    scheduled = event.scheduled_event_id
    return (
        run_id, workflow_id, event.event_id, event.event_time, "ActivityTaskStarted", None, scheduled, None, deferred,
        f'{{"scheduled_event_id":{scheduled},"attempt":{event.attempt},"started_time":{event.started_time}}}',
    )  # fmt: skip


def _completed_row(run_id: str, workflow_id: str, event: Any, deferred: bool, blobs: dict[str, Blob]) -> Row:
    result, scheduled = event.result, event.scheduled_event_id
    if result.blobs:
        _collect(event, blobs)
    return (
        run_id, workflow_id, event.event_id, event.event_time, "ActivityTaskCompleted", None, scheduled, None, deferred,
        f'{{"scheduled_event_id":{scheduled},"started_event_id":{event.started_event_id},"result":{result.text}}}',
    )  # fmt: skip


def _timer_started_row(run_id: str, workflow_id: str, event: Any, deferred: bool, _blobs: dict[str, Blob]) -> Row:
    timer, due, summary = event.timer_id, event.fire_time, event.summary
    return (
        run_id, workflow_id, event.event_id, event.event_time, "TimerStarted", timer, None, due, deferred,
        f'{{"timer_id":{_quoted(timer)},"start_to_fire_timeout":{event.start_to_fire_timeout!r},"fire_time":{due}'
        + ("}" if summary is None else f',"summary":{_quoted(summary)}}}'),
    )  # fmt: skip


def _timer_fired_row(run_id: str, workflow_id: str, event: Any, deferred: bool, blobs: dict[str, Blob]) -> Row:
    if event.identity is not None:
        return _general_row(run_id, workflow_id, event, deferred, blobs)
    timer, started = event.timer_id, event.started_event_id
    return (
        run_id, workflow_id, event.event_id, event.event_time, "TimerFired", timer, started, None, deferred,
        f'{{"timer_id":{_quoted(timer)},"started_event_id":{started}}}',
    )  # fmt: skip


_SHORT_CUTS: dict[type[HistoryEvent], Callable[..., Row]] = {
    WorkflowExecutionStarted: _execution_started_row,
    WorkflowExecutionCompleted: _execution_completed_row,
    ActivityTaskScheduled: _scheduled_row,
    ActivityTaskStarted: _started_row,
    ActivityTaskCompleted: _completed_row,
    TimerStarted: _timer_started_row,
    TimerFired: _timer_fired_row,
}


class _Shape:
    """How one event class is read: what puts each attribute into its slot, past the slow frozen ``__init__``."""

    def __init__(self, cls: Any) -> None:
        own = [f for f in fields(cls) if f.name not in ("event_id", "event_time")]
        self.payloads = tuple(f.name for f in own if str(f.type).startswith("Payload"))
        self.failures = tuple(f.name for f in own if str(f.type).startswith("Failure"))
        self.set_event_id = cls.event_id.__set__
        self.set_event_time = cls.event_time.__set__
        needed, optional = [], []
        for f in own:
            wrap = self._wrap(f.name)
            if f.default is MISSING:
                needed.append((getattr(cls, f.name).__set__, f.name, wrap))
            else:
                optional.append((getattr(cls, f.name).__set__, f.name, f.default, wrap))
        self.needed, self.optional = tuple(needed), tuple(optional)

    def _wrap(self, name: str) -> Callable[[Any], Any] | None:
        if name in self.payloads:
            return Payload.of_tree
        return Failure.from_json if name in self.failures else None


_SHAPES = {cls: _Shape(cls) for cls in EVENT_TYPES.values()}
_READ_BY_RULE = frozenset({MarkerRecorded})


def event_of(event_type: str, event_id: int, event_time: int, attributes: Mapping[str, Any]) -> HistoryEvent:
    """Return the event of a row.

    Raises
    ------
    HistoryCorruptedError
        When the type is unknown or an attribute is missing.
    """
    cls = EVENT_TYPES.get(event_type)
    if cls is None or cls in _READ_BY_RULE:
        return event_from_attributes(event_type, event_id, event_time, attributes)
    shape = _SHAPES[cls]
    event: HistoryEvent = _new(cls)
    shape.set_event_id(event, event_id)
    shape.set_event_time(event, event_time)
    try:
        for put, name, wrap in shape.needed:
            put(event, attributes[name] if wrap is None else wrap(attributes[name]))
    except KeyError:
        return event_from_attributes(event_type, event_id, event_time, attributes)
    for put, name, default, wrap in shape.optional:
        value = attributes.get(name)
        put(event, default if value is None else value if wrap is None else wrap(value))
    return event
