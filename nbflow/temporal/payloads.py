"""nbflow's payloads and failures as Temporal's protobuf messages, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from temporalio.api.common.v1 import Payload as ProtoPayload
from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure as ProtoFailure

from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.interchange.kinds import ARGUMENTS, FAILURE, KEYWORDS, RESULT, Context, Kind

__all__ = [
    "argument_protos",
    "arguments_of",
    "failure_of",
    "failure_proto",
    "keywords_of",
    "memo_of",
    "parsed",
    "result_of",
    "result_proto",
]

_CONTEXT = Context()


def parsed(tree: Mapping[str, Any], message: Any) -> Any:
    """Fill a protobuf message from its JSON."""
    return ParseDict(dict(tree), message)


def _as_json(payloads: Iterable[ProtoPayload]) -> dict[str, Any]:
    return MessageToDict(Payloads(payloads=payloads))


def arguments_of(payloads: Iterable[ProtoPayload]) -> Payload:
    """Return positional arguments as one encoded list."""
    return ARGUMENTS.read(_as_json(payloads), _CONTEXT)  # type: ignore[no-any-return]


def keywords_of(payloads: Iterable[ProtoPayload]) -> Payload | None:
    """Return keyword-only arguments as one encoded dict, if there are any."""
    return KEYWORDS.read(_as_json(payloads), _CONTEXT)  # type: ignore[no-any-return]


def argument_protos(positional: Payload, keywords: Payload | None) -> list[ProtoPayload]:
    """Write arguments: a payload for each, and one for all that are keyword-only."""
    trees = ARGUMENTS.write(positional, _CONTEXT)["payloads"]
    if keywords is not None:
        trees += KEYWORDS.write(keywords, _CONTEXT)["payloads"]
    return [parsed(tree, ProtoPayload()) for tree in trees]


def result_of(payload: ProtoPayload) -> Payload:
    """Return one value."""
    return RESULT.read(_as_json([payload]), _CONTEXT)  # type: ignore[no-any-return]


def result_proto(payload: Payload) -> ProtoPayload:
    """Write one value."""
    return parsed(RESULT.write(payload, _CONTEXT)["payloads"][0], ProtoPayload())  # type: ignore[no-any-return]


def failure_of(proto: ProtoFailure) -> Failure:
    """Return a failure."""
    return FAILURE.read(MessageToDict(proto), _CONTEXT)  # type: ignore[no-any-return]


def failure_proto(failure: Failure) -> ProtoFailure:
    """Write a failure."""
    return parsed(FAILURE.write(failure, _CONTEXT), ProtoFailure())  # type: ignore[no-any-return]


def memo_of(kind: Kind, proto: Any) -> Any:
    """Read a memo, or search attributes: what of ``proto`` is set, by its kind."""
    tree = MessageToDict(proto)
    return kind.read(tree, _CONTEXT) if tree else None
