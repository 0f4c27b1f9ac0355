"""How each kind of attribute is written in Temporal's JSON and read from it, the two directions side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.core.retry import PROGRAMMING_ERRORS, RetryPolicy
from nbflow.interchange.payload_json import (
    KEYWORDS_ROLE,
    LoadBlob,
    from_payload,
    metadata_of,
    payload_of_tree,
    payloads_in,
    to_payload,
    whole_tree,
)

__all__ = ["Context", "Kind", "find", "parse_time", "snake", "time_text"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Context:
    """What the conversion of one history needs beside the values.

    Parameters
    ----------
    load_blob
        Fetches large values when a history is written out.
    ids
        New event ids by old ones; an id that is not there stays.
    """

    load_blob: LoadBlob | None = None
    ids: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """One kind of attribute.

    Parameters
    ----------
    write
        From nbflow's value to JSON; None leaves the attribute out.
    read
        From JSON to nbflow's value.
    empty
        Makes the value of a required attribute that the JSON lacks.
    """

    write: Callable[[Any, Context], Any]
    read: Callable[[Any, Context], Any]
    empty: Callable[[], Any] = lambda: None


def find(tree: Mapping[str, Any], name: str) -> Any:
    """Look a camelCase key up, in either spelling (``eventId``, ``event_id``)."""
    value = tree.get(name)
    return tree.get(snake(name)) if value is None else value


@lru_cache(maxsize=1000)
def snake(name: str) -> str:
    """Spell a name in snake_case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _screaming(name: str) -> str:
    """Spell an enum's name as protobuf does, whichever way it came."""
    return name if name.isupper() or "_" in name else snake(name).upper()


# Times.


def time_text(microseconds: int) -> str:
    """Write a time as RFC 3339."""
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_TIME = re.compile(r"(\d+-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)


def parse_time(text: str) -> int:
    """Read an RFC 3339 time: microseconds since the epoch."""
    found = _TIME.fullmatch(text)
    if found is None:
        msg = f"{text!r} is no time"
        raise ValueError(msg)
    seconds, fraction, zone = found.groups()
    moment = datetime.fromisoformat(seconds + ("+00:00" if zone in "Zz" else zone))
    return (moment - _EPOCH) // timedelta(microseconds=1) + int((fraction or "0")[:6].ljust(6, "0"))


def _read_time(text: str, _context: Context) -> int | None:
    return parse_time(text) or None


def _duration_text(seconds: float, _context: Context | None = None) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def _seconds(text: Any, _context: Context | None = None) -> float:
    if isinstance(text, Mapping):  # as some tools write protobuf's Duration
        return float(text.get("seconds", 0)) + float(text.get("nanos", 0)) / 1e9
    return float(str(text).removesuffix("s"))


def _as_it_is(value: Any, _context: Context) -> Any:
    return value


TEXT = Kind(_as_it_is, lambda value, _: str(value), str)
FLAG = Kind(lambda value, _: True if value else None, lambda value, _: bool(value), bool)
NUMBER = Kind(_as_it_is, lambda value, _: int(value))
LONG = Kind(lambda value, _: str(value), lambda value, _: int(value) or None)
"""64 bits: protobuf's JSON has it as text."""
EVENT_ID = Kind(
    lambda value, context: str(context.ids.get(value, value)), lambda value, _: int(value) or None, lambda: 0
)
"""The id of an event of the same history."""
TIME = Kind(lambda value, _: time_text(value), _read_time, int)
DURATION = Kind(_duration_text, _seconds, float)
TIMEOUT = Kind(_duration_text, lambda text, _: _seconds(text) or None)
"""A duration that is unlimited when it is 0."""
NUMBERS = Kind(lambda value, _: list(value) or None, lambda value, _: [int(it) for it in value] or None)


def enum(prefix: str, unspecified: str | None = None) -> Kind:
    """Make the kind of an enum whose names have a prefix in Temporal's JSON."""

    def read(name: str, _context: Context) -> str | None:
        bare = _screaming(str(name)).removeprefix(prefix)
        return unspecified if bare == "UNSPECIFIED" else bare

    return Kind(lambda value, _: prefix + value if value else None, read, lambda: unspecified)


# Payloads.


def _tree(payload: Payload, context: Context) -> Any:
    blobs = {blob.sha256: (blob.encoding, blob.data) for blob in payload.blobs}

    def load(digest: str) -> tuple[str, bytes]:
        if digest in blobs:
            return blobs[digest]
        if context.load_blob is None:
            raise KeyError(digest)
        return context.load_blob(digest)

    return whole_tree(payload.tree, load if blobs or context.load_blob else None)


def _write_arguments(payload: Payload, context: Context) -> Any:
    tree = _tree(payload, context)
    # more than a list only if somebody else's value lies outside
    return {"payloads": [to_payload(item) for item in tree]} if isinstance(tree, list) else None


def _read_arguments(tree: Any, _context: Context) -> Payload:
    given = [it for it in payloads_in(tree) if metadata_of(it).get("nbflow-role") != KEYWORDS_ROLE]
    return payload_of_tree([from_payload(it) for it in given])


def _read_keywords(tree: Any, _context: Context) -> Payload | None:
    given = [it for it in payloads_in(tree) if metadata_of(it).get("nbflow-role") == KEYWORDS_ROLE]
    return payload_of_tree(from_payload(given[0])) if given else None


def _read_one(tree: Any, _context: Context) -> Payload:
    given = payloads_in(tree)
    if len(given) > 1:
        return payload_of_tree([from_payload(it) for it in given])
    return payload_of_tree(from_payload(given[0]) if given else None)


def _write_fields(payload: Payload, context: Context) -> Any:
    return {"fields": {key: to_payload(value) for key, value in _tree(payload, context).items()}}


def _read_fields(tree: Any, _context: Context) -> Payload | None:
    fields = tree.get("fields") or {}
    return payload_of_tree({key: from_payload(value) for key, value in fields.items()}) if fields else None


def _null() -> Payload:
    return Payload.of_tree(None)


ARGUMENTS = Kind(_write_arguments, _read_arguments, lambda: Payload.of_tree([]))
KEYWORDS = Kind(lambda value, context: {"payloads": [to_payload(_tree(value, context), KEYWORDS_ROLE)]}, _read_keywords)
RESULT = Kind(lambda value, context: {"payloads": [to_payload(_tree(value, context))]}, _read_one, _null)
DETAILS = Kind(
    lambda value, context: {key: {"payloads": [to_payload(_tree(it, context))]} for key, it in value.items()},
    lambda tree, context: {key: _read_one(it, context) for key, it in tree.items()},
    dict,
)
MEMO = Kind(_write_fields, _read_fields, lambda: Payload.of_tree({}))
TEXT_PAYLOAD = Kind(lambda value, _: to_payload(value), lambda tree, _: from_payload(tree))
"""Text that Temporal keeps as a payload: a summary."""

_SEARCH_TYPES = ((bool, "Bool"), (int, "Int"), (float, "Double"), (str, "Keyword"), (list, "KeywordList"))


def _write_search_attributes(values: Mapping[str, Any], _context: Context) -> Any:
    fields = {}
    for name, value in values.items():
        payload = to_payload(value)
        kind = next((kind for type_, kind in _SEARCH_TYPES if isinstance(value, type_)), None)
        if kind is not None:
            payload["metadata"]["type"] = to_payload(None, kind)["metadata"]["nbflow-role"]
        fields[name] = payload
    return {"indexedFields": fields} if fields else None


def _read_search_attributes(tree: Any, _context: Context) -> dict[str, Any] | None:
    fields = find(tree, "indexedFields") or {}
    return {name: from_payload(payload) for name, payload in fields.items()} or None


SEARCH_ATTRIBUTES = Kind(_write_search_attributes, _read_search_attributes, dict)


# Retry policies.


def _write_policy(policy: Mapping[str, Any] | None, _context: Context) -> Any:
    known = RetryPolicy.from_json(dict(policy)) if policy is not None else RetryPolicy()
    tree = {
        "initialInterval": _duration_text(known.initial_seconds),
        "backoffCoefficient": known.backoff_coefficient,
        "maximumInterval": _duration_text(known.maximum_seconds),
    }
    if known.maximum_attempts:
        tree["maximumAttempts"] = known.maximum_attempts
    if known.non_retryable_error_types:
        tree["nonRetryableErrorTypes"] = list(known.non_retryable_error_types)
    return tree


def _read_policy(tree: Any, _context: Context) -> dict[str, Any]:
    names = list(find(tree, "nonRetryableErrorTypes") or ())
    initial = _seconds(find(tree, "initialInterval") or "1s")
    return {
        "initial_interval": initial,
        "backoff_coefficient": float(find(tree, "backoffCoefficient") or 2.0),
        "maximum_interval": _seconds(find(tree, "maximumInterval") or _duration_text(100 * initial)),
        "maximum_attempts": int(find(tree, "maximumAttempts") or 0),
        "non_retryable_error_types": None if names == list(PROGRAMMING_ERRORS) else names,
    }


RETRY_POLICY = Kind(_write_policy, _read_policy)


# Failures.

RETRY_STATE = enum("RETRY_STATE_", "RETRY_POLICY_NOT_SET")
_TIMEOUT_TYPE = enum("TIMEOUT_TYPE_")

# kind of failure -> (our key, Temporal's path, kind of value)
_FAILURE_INFO: dict[str, tuple[str, tuple[tuple[str, str, Kind], ...]]] = {
    "application": (
        "applicationFailureInfo",
        (
            ("type", "type", TEXT),
            ("non_retryable", "nonRetryable", FLAG),
            ("details", "details", ARGUMENTS),
            ("next_retry_delay", "nextRetryDelay", TIMEOUT),
        ),
    ),
    "timeout": (
        "timeoutFailureInfo",
        (("timeout_type", "timeoutType", _TIMEOUT_TYPE), ("last_heartbeat_details", "lastHeartbeatDetails", RESULT)),
    ),
    "canceled": ("canceledFailureInfo", (("details", "details", ARGUMENTS),)),
    "terminated": ("terminatedFailureInfo", ()),
    "activity": (
        "activityFailureInfo",
        (
            ("scheduled_event_id", "scheduledEventId", EVENT_ID),
            ("activity_type", "activityType.name", TEXT),
            ("activity_id", "activityId", TEXT),
            ("retry_state", "retryState", RETRY_STATE),
        ),
    ),
    "child_workflow_execution": (
        "childWorkflowExecutionFailureInfo",
        (
            ("workflow_id", "workflowExecution.workflowId", TEXT),
            ("run_id", "workflowExecution.runId", TEXT),
            ("workflow_type", "workflowType.name", TEXT),
        ),
    ),
}


def _write_failure(failure: Failure, context: Context) -> dict[str, Any]:
    key, attributes = _FAILURE_INFO[failure.kind]
    info: dict[str, Any] = {}
    for name, path, kind in attributes:
        value = failure.info.get(name)
        if value is not None:
            place(info, path, kind.write(value, context))
    tree: dict[str, Any] = {"message": failure.message, "source": "nbflow"}
    if failure.stack_trace:
        tree["stackTrace"] = failure.stack_trace
    if failure.cause is not None:
        tree["cause"] = _write_failure(failure.cause, context)
    return {**tree, key: info}


def _read_failure(tree: Mapping[str, Any], context: Context) -> Failure:
    info: dict[str, Any] = {}
    found = "application"
    for name, (key, attributes) in _FAILURE_INFO.items():
        held = find(tree, key)
        if held is None:
            continue
        found = name
        for attribute, path, kind in attributes:
            given = at(held, path)
            if given is not None:
                info[attribute] = kind.read(given, context)
    cause = tree.get("cause")
    return Failure(
        message=str(tree.get("message", "")),
        kind=found,
        info={key: value for key, value in info.items() if value not in (None, False)},
        stack_trace=str(find(tree, "stackTrace") or ""),
        cause=_read_failure(cause, context) if cause else None,
    )


FAILURE = Kind(_write_failure, _read_failure, lambda: Failure(message=""))


# Paths.


def at(tree: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a dotted path of camelCase keys, in either spelling, or None."""
    value: Any = tree
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = find(value, name)
    return value


def place(tree: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a dotted path; payloads join those that are there. None is not put."""
    if value is None:
        return
    *outer, last = path.split(".")
    for name in outer:
        tree = tree.setdefault(name, {})
    if last in tree and isinstance(value, dict) and "payloads" in value:
        tree[last]["payloads"] += value["payloads"]
    else:
        tree[last] = value
