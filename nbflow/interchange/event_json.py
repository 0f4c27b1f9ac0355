"""One event as Temporal's JSON, and back, by the table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from nbflow.core import events as e
from nbflow.core.event_json import type_name
from nbflow.core.events import EVENT_TYPES, HistoryEvent, OtherEvent
from nbflow.exceptions import HistoryFormatError
from nbflow.interchange.event_table import ATTRIBUTES, Row
from nbflow.interchange.kinds import Context, at, find, parse_time, place, snake, time_text

__all__ = ["read_event", "write_event"]

_ENUM_PREFIX = "EVENT_TYPE_"
_SUFFIX = "EventAttributes"
_MICROSECOND = 1_000_000
_QUEUE = {"name": "nbflow", "kind": "TASK_QUEUE_KIND_NORMAL"}

_CONSTANTS: dict[type[HistoryEvent], dict[str, Any]] = {
    e.WorkflowExecutionStarted: {"taskQueue": _QUEUE},
    e.WorkflowExecutionContinuedAsNew: {"taskQueue": _QUEUE},
    e.ActivityTaskScheduled: {"taskQueue": _QUEUE},
    e.StartChildWorkflowExecutionInitiated: {"taskQueue": _QUEUE, "namespace": "default"},
    e.WorkflowTaskScheduled: {"taskQueue": _QUEUE, "startToCloseTimeout": "10s"},
}
"""What Temporal wants to be told and nbflow has no word for."""

_NOT_FOR_WORKERS = (e.WorkflowExecutionPaused, e.WorkflowExecutionUnpaused)
"""Younger than many a worker, which has nothing to do with them."""

_IN_SERVER_TERMS = {"DecisionTask": "WorkflowTask"}  # what a workflow task was called at first


def write_event(event: HistoryEvent, context: Context) -> dict[str, Any]:
    """Write one event.

    Parameters
    ----------
    event
        The event; its own id is mapped like all others.
    context
        New ids, blobs.

    Returns
    -------
    dict
        As protobuf's JSON has a HistoryEvent.
    """
    name = type_name(event)
    tree: dict[str, Any] = {
        "eventId": str(context.ids.get(event.event_id, event.event_id)),
        "eventTime": time_text(_time_of(event)),
        "eventType": _ENUM_PREFIX + snake(name).upper(),
    }
    if isinstance(event, OtherEvent):
        return {**tree, _attributes_key(name): dict(event.attributes)}
    if type(event) in _NOT_FOR_WORKERS:
        tree["workerMayIgnore"] = True
    attributes: dict[str, Any] = dict(_CONSTANTS.get(type(event), {}))
    for attribute, path, kind in ATTRIBUTES[type(event)]:
        value = getattr(event, attribute)
        if value is None and not (attribute == "retry_policy" and type(event) is e.ActivityTaskScheduled):
            continue
        place(tree if path[0] == "@" else attributes, path.lstrip("@"), kind.write(value, context))
    tree[_attributes_key(name)] = attributes
    return tree


def _time_of(event: HistoryEvent) -> int:
    """Return the event's time: an attempt's start is written late, but told as of when it was."""
    return (isinstance(event, e.ActivityTaskStarted) and event.started_time) or event.event_time


def _attributes_key(name: str) -> str:
    return name[0].lower() + name[1:] + _SUFFIX


def read_event(tree: Mapping[str, Any], context: Context) -> HistoryEvent:
    """Read one event.

    Parameters
    ----------
    tree
        As protobuf's JSON has it, in either spelling of keys and of enums.
    context
        Not used by any kind yet when reading.

    Returns
    -------
    HistoryEvent
        Of its class, or an OtherEvent.

    Raises
    ------
    HistoryFormatError
        When it is no event.
    """
    try:
        event_id, event_time = int(find(tree, "eventId")), parse_time(str(find(tree, "eventTime")))
        name = _type_of(str(find(tree, "eventType")))
    except (TypeError, ValueError) as error:
        msg = f"this is no event of a Temporal history ({error}): {str(tree)[:200]}"
        raise HistoryFormatError(msg) from error
    attributes: Mapping[str, Any] = next((value for key, value in tree.items() if _holds_attributes(key)), {})
    cls = EVENT_TYPES.get(name)
    if cls is None:
        return OtherEvent(event_id=event_id, event_time=event_time, event_type=name, attributes=attributes)
    try:
        values = _values(cls, tree, attributes, context)
        return cls(event_id=event_id, event_time=event_time, **values, **_derived(cls, event_time, values))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"event {event_id} ({name}) can't be read: {type(error).__name__}: {error}"
        raise HistoryFormatError(msg) from error


def _holds_attributes(key: str) -> bool:
    return key.replace("_", "").lower().endswith("eventattributes")


def _values(
    cls: type[HistoryEvent], tree: Mapping[str, Any], attributes: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    rows: dict[str, Row] = {}
    for attribute, path, kind in ATTRIBUTES[cls]:
        rows.setdefault(attribute, (attribute, path, kind))
        given = at(tree if path[0] == "@" else attributes, path.lstrip("@"))
        if given is not None and given != "" and attribute not in values:
            value = kind.read(given, context)
            if value is not None:
                values[attribute] = value
    for name, own in _fields(cls).items():
        if name not in values and own.default is MISSING and own.default_factory is MISSING and name in rows:
            values[name] = None if str(own.type).endswith("None") else rows[name][2].empty()
    return values


def _fields(cls: type[HistoryEvent]) -> dict[str, Field[Any]]:
    return {own.name: own for own in fields(cls) if own.name not in ("event_id", "event_time")}


_DERIVED: dict[type[HistoryEvent], Callable[[int, dict[str, Any]], dict[str, Any]]] = {
    e.ActivityTaskStarted: lambda time, _: {"started_time": time},
    e.TimerStarted: lambda time, values: {"fire_time": time + round(values["start_to_fire_timeout"] * _MICROSECOND)},
}
"""Attributes that nbflow keeps and Temporal has as something else."""


def _derived(cls: type[HistoryEvent], event_time: int, values: dict[str, Any]) -> dict[str, Any]:
    derive = _DERIVED.get(cls)
    return derive(event_time, values) if derive else {}


def _type_of(text: str) -> str:
    """Return the CamelCase name of an event type, however it is spelt."""
    if text.startswith(_ENUM_PREFIX) or (text.isupper() and "_" in text):
        text = "".join(part.capitalize() for part in text.removeprefix(_ENUM_PREFIX).split("_"))
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", text):
        msg = f"{text!r} is no event type"
        raise ValueError(msg)
    for old, new in _IN_SERVER_TERMS.items():
        text = text.replace(old, new)
    return text
