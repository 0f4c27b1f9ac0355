"""Events to the JSON attributes that the log keeps, and back.

One rule for all: every attribute under its own name, None left out; payloads as their JSON,
failures as Temporal's failure tree. ``event_id`` and ``event_time`` are columns, not attributes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from nbflow.core.events import EVENT_TYPES, HistoryEvent, OtherEvent
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.exceptions import HistoryCorruptedError

__all__ = ["attributes_json", "event_from_attributes", "initiated_event_id", "name_of", "type_name"]

_dumps: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=False).encode


_AS_TOLD = "temporal"
"""The one attribute of an event that nbflow has no class for: what the server told of it."""


class _Shape:
    """How one event class is written: its attributes, by the way each is encoded."""

    def __init__(self, cls: type[HistoryEvent]) -> None:
        own = {f.name: f for f in fields(cls) if f.name not in ("event_id", "event_time")}
        types = {name: str(f.type) for name, f in own.items()}
        without_default = {name for name, f in own.items() if f.default is MISSING and f.default_factory is MISSING}
        self.cls = cls
        self.prefixes = {name: f'"{name}":' for name in own}
        self.payloads = frozenset(name for name in own if types[name].startswith("Payload"))
        self.failures = frozenset(name for name in own if types[name].startswith("Failure"))
        self.payload_maps = frozenset(name for name in own if types[name] == "Mapping[str, Payload]")
        self.special = self.payloads | self.failures | self.payload_maps
        self.nullable = {name: None for name in without_default if types[name].endswith("None")}
        self.required = frozenset(without_default - self.nullable.keys())


_SHAPES = {name: _Shape(cls) for name, cls in EVENT_TYPES.items()}


def attributes_json(event: HistoryEvent) -> str:
    """Write an event's attributes.

    Parameters
    ----------
    event
        The event.

    Returns
    -------
    str
        A JSON object.
    """
    if type(event) is OtherEvent:
        return _dumps({_AS_TOLD: event.attributes})
    shape = _SHAPES[type(event).__name__]
    parts = []
    for name, prefix in shape.prefixes.items():
        value = getattr(event, name)
        if value is None:
            continue
        if type(value) is int:
            parts.append(f"{prefix}{value}")
        elif name in shape.payloads:
            parts.append(prefix + value.text)
        elif name in shape.failures:
            parts.append(prefix + _dumps(value.to_json()))
        elif name in shape.payload_maps:
            inner = ",".join(f"{_dumps(key)}:{payload.text}" for key, payload in value.items())
            parts.append(f"{prefix}{{{inner}}}")
        else:
            parts.append(prefix + _dumps(value))
    text = "{" + ",".join(parts) + "}"
    # Half of a surrogate pair can't be stored; in names and summaries of user code it may occur.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def event_from_attributes(
    event_type: str, event_id: int, event_time: int, attributes: Mapping[str, Any]
) -> HistoryEvent:
    """Read an event back.

    Parameters
    ----------
    event_type
        Name of the event class.
    event_id, event_time
        Its columns.
    attributes
        The parsed JSON object.

    Returns
    -------
    HistoryEvent
        The event.

    Raises
    ------
    HistoryCorruptedError
        When the type is unknown or an attribute is missing. Attributes this version does not
        know are left out.
    """
    shape = _SHAPES.get(event_type)
    if shape is None and _AS_TOLD in attributes:
        return OtherEvent(
            event_id=event_id, event_time=event_time, event_type=event_type, attributes=attributes[_AS_TOLD]
        )
    if shape is None:
        msg = f"event {event_id} has the unknown type {event_type!r}; a newer nbflow may have written it"
        raise HistoryCorruptedError(msg)
    values: dict[str, Any] = {**shape.nullable}
    for name, value in attributes.items():
        if name in shape.special:
            values[name] = _read(shape, name, value, event_id)
        elif name in shape.prefixes:
            values[name] = value
    if missing := shape.required - values.keys():
        msg = f"event {event_id} ({event_type}) lacks its attribute {min(missing)!r}"
        raise HistoryCorruptedError(msg)
    return shape.cls(event_id=event_id, event_time=event_time, **values)


def _read(shape: _Shape, name: str, value: Any, event_id: int) -> Any:
    if name in shape.payloads:
        return Payload.of_tree(value)
    try:
        if name in shape.failures:
            return None if value is None else Failure.from_json(value)
        return {key: Payload.of_tree(tree) for key, tree in value.items()}
    except (AttributeError, TypeError, ValueError) as error:
        msg = f"event {event_id} ({shape.cls.__name__}) has an attribute {name!r} that is none: {value!r}"
        raise HistoryCorruptedError(msg) from error


def type_name(event: HistoryEvent) -> str:
    """Return the name of an event's type, as the log has it."""
    return event.event_type if type(event) is OtherEvent else type(event).__name__


def name_of(event: HistoryEvent) -> str | None:
    """Return what the event is about (activity type, signal name, timer id …), or None."""
    attribute = event.name_attribute
    return None if attribute is None else getattr(event, attribute)


def initiated_event_id(event: HistoryEvent) -> int | None:
    """Return the id of the event that began this one's operation, or None."""
    attribute = event.initiated_attribute
    return None if attribute is None else getattr(event, attribute)
