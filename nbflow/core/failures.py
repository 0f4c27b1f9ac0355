"""Failures as history keeps them, and their way to exceptions and back.

The shape is Temporal's ``Failure`` message: text, stack trace, cause, and one ``*_failure_info``
that says of which kind it is. A plain exception becomes an application failure whose ``type`` is
the class name, unqualified, so that RetryPolicy can match it.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbflow.core.durations import parse_duration
from nbflow.core.payloads import Converter, Payload
from nbflow.exceptions import (
    ActivityCancelled,
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    ConfigurationError,
    FailureError,
    PayloadError,
    TerminatedError,
    TimeoutError,  # noqa: A004  Temporal's name for it
)

__all__ = [
    "ACTIVITY",
    "APPLICATION",
    "CANCELED",
    "CHILD_WORKFLOW",
    "TERMINATED",
    "TIMEOUT",
    "Failure",
    "RetryState",
    "TimeoutType",
    "exception_of_failure",
    "failure_of_exception",
    "timeout_failure",
    "traceback_of",
]

APPLICATION = "application"
ACTIVITY = "activity"
CHILD_WORKFLOW = "child_workflow_execution"
TIMEOUT = "timeout"
CANCELED = "canceled"
TERMINATED = "terminated"


class RetryState:
    """Why no further attempt was made (names of Temporal's enum)."""

    NON_RETRYABLE_FAILURE = "NON_RETRYABLE_FAILURE"
    TIMEOUT = "TIMEOUT"
    MAXIMUM_ATTEMPTS_REACHED = "MAXIMUM_ATTEMPTS_REACHED"
    RETRY_POLICY_NOT_SET = "RETRY_POLICY_NOT_SET"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    IN_PROGRESS = "IN_PROGRESS"
    """Another one was made."""


class TimeoutType:
    """Which deadline passed (names of Temporal's enum)."""

    START_TO_CLOSE = "START_TO_CLOSE"
    SCHEDULE_TO_START = "SCHEDULE_TO_START"
    SCHEDULE_TO_CLOSE = "SCHEDULE_TO_CLOSE"
    HEARTBEAT = "HEARTBEAT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure, recorded.

    Parameters
    ----------
    message
        What happened.
    kind
        One of the kinds above.
    info
        The attributes of that kind: ``type`` and ``non_retryable`` of an application failure,
        ``timeout_type`` of a timeout, ``activity_type`` of an activity failure …; a Payload
        where Temporal has one.
    stack_trace
        The traceback as text, without nbflow's own frames.
    cause
        The failure behind this one.
    """

    message: str
    kind: str = APPLICATION
    info: Mapping[str, Any] = field(default_factory=dict)
    stack_trace: str = ""
    cause: Failure | None = None

    @property
    def type_name(self) -> str:
        """The name people know it by: the class name of an application failure, else the error's."""
        if self.kind == APPLICATION:
            return str(self.info.get("type") or "ApplicationError")
        return _ERROR_NAMES[self.kind]

    def headline(self) -> str:
        """Type and message in one line."""
        return f"{self.type_name}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """Write it as the JSON tree that history keeps."""
        tree: dict[str, Any] = {"message": self.message, "type": self.type_name}
        if self.stack_trace:
            tree["stack_trace"] = self.stack_trace
        tree[f"{self.kind}_failure_info"] = {
            key: value.tree if isinstance(value, Payload) else value for key, value in self.info.items()
        }
        if self.cause:
            tree["cause"] = self.cause.to_json()
        return tree

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Failure:
        """Read it back from a history's JSON tree."""
        kind = next((key[: -len("_failure_info")] for key in tree if key.endswith("_failure_info")), APPLICATION)
        info = {
            key: Payload.of_tree(value) if key in _PAYLOAD_KEYS else value
            for key, value in (tree.get(f"{kind}_failure_info") or {}).items()
        }
        cause = tree.get("cause")
        return cls(
            message=str(tree.get("message", "")),
            kind=kind,
            info=info,
            stack_trace=str(tree.get("stack_trace", "")),
            cause=cls.from_json(cause) if cause else None,
        )


_PAYLOAD_KEYS = frozenset({"details", "last_heartbeat_details"})
_ERROR_NAMES = {
    ACTIVITY: "ActivityError",
    CHILD_WORKFLOW: "ChildWorkflowError",
    TIMEOUT: "TimeoutError",
    CANCELED: "CancelledError",
    TERMINATED: "TerminatedError",
}


def timeout_failure(
    timeout_type: str, message: str, details: Payload | None = None, cause: Failure | None = None
) -> Failure:
    """Build the failure of a passed deadline.

    Parameters
    ----------
    timeout_type
        One of :class:`TimeoutType`.
    message
        What happened.
    details
        The last heartbeat details, if any.
    cause
        The failure of the last attempt, if any.

    Returns
    -------
    Failure
        Of kind ``timeout``.
    """
    info: dict[str, Any] = {"timeout_type": timeout_type}
    if details is not None:
        info["last_heartbeat_details"] = details
    return Failure(message=message, kind=TIMEOUT, info=info, cause=cause)


def traceback_of(error: BaseException) -> str:
    """Write an exception's traceback as people want it: without nbflow's own frames.

    Parameters
    ----------
    error
        The exception.

    Returns
    -------
    str
        The text Python would print, minus those frames; empty if nothing is left. A text too
        long to be read loses its middle.
    """
    told = traceback.TracebackException.from_exception(error, compact=True)
    _hide_own_frames(told)
    return _clipped("".join(told.format(chain=False)), _LONGEST_TRACE) if told.stack else ""


def _hide_own_frames(told: traceback.TracebackException) -> None:
    told.stack = traceback.StackSummary.from_list(
        [frame for frame in told.stack if not frame.filename.startswith(_OWN_FILES)]
    )
    for member in told.exceptions or ():
        _hide_own_frames(member)


def _clipped(text: str, longest: int) -> str:
    """Keep head and tail of a long text, and only what can be stored as UTF-8."""
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]}\n... ({len(text) - 2 * half} characters left out) ...\n{text[-half:]}"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


_OWN_FILES = __file__.rpartition("core")[0]
_LONGEST_MESSAGE = 10_000
_LONGEST_TRACE = 50_000
_MOST_EXCEPTIONS = 20


def failure_of_exception(error: BaseException, converter: Converter, *, depth: int = 8) -> Failure:
    """Record an exception.

    Parameters
    ----------
    error
        The exception; its ``__cause__`` chain (or its ``__context__``, as Python prints it) comes along,
        and so do the members of an ExceptionGroup, of which the first stands for the cause.
    converter
        Encodes the details of an ApplicationError.
    depth
        How many causes are kept.

    Returns
    -------
    Failure
        Its kind is that of the nbflow error; any other exception is an application failure.
    """
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    stack = traceback_of(error) or (error.stack_trace if isinstance(error, FailureError) else "")
    kind, info = _kind_and_info(error, converter)
    members = _members_of(error, converter, depth)
    if members:
        info["exceptions"] = [member.to_json() for member in members]
    caused_by = failure_of_exception(cause, converter, depth=depth - 1) if cause is not None and depth else None
    return Failure(
        message=_clipped(_message_of(error, members), _LONGEST_MESSAGE),
        kind=kind,
        info=info,
        stack_trace=stack,
        cause=caused_by or (members[0] if members else None),
    )


def _members_of(error: BaseException, converter: Converter, depth: int) -> list[Failure]:
    if isinstance(error, BaseExceptionGroup):
        members = error.exceptions[:_MOST_EXCEPTIONS] if depth else ()
    else:
        members = error.exceptions if isinstance(error, ApplicationError) else ()
    return [failure_of_exception(member, converter, depth=depth - 1) for member in members]


def _message_of(error: BaseException, members: list[Failure]) -> str:
    try:
        message = str(error.message if isinstance(error, FailureError) else error)
    except Exception as broken:  # noqa: BLE001  a __str__ that raises must not hide the failure itself
        return f"<{type(error).__name__}, whose __str__ raised {type(broken).__name__}>"
    if not isinstance(error, BaseExceptionGroup):
        return message
    return f"{message}: {'; '.join(member.headline() for member in members[:3])}"


def _kind_and_info(error: BaseException, converter: Converter) -> tuple[str, dict[str, Any]]:
    match error:
        case ApplicationError():
            return APPLICATION, _application_info(error, converter)
        case ActivityError():
            return ACTIVITY, {
                "activity_type": error.activity_type,
                "activity_id": error.activity_id,
                "scheduled_event_id": error.scheduled_event_id,
                "retry_state": error.retry_state,
            }
        case ChildWorkflowError():
            return CHILD_WORKFLOW, {
                "workflow_id": error.workflow_id,
                "run_id": error.run_id,
                "workflow_type": error.workflow_type,
                "retry_state": error.retry_state,
            }
        case TimeoutError():
            info: dict[str, Any] = {"timeout_type": error.timeout_type}
            if error.last_heartbeat_details is not None:
                info["last_heartbeat_details"] = _encoded(error.last_heartbeat_details, converter)
            return TIMEOUT, info
        case CancelledError() | asyncio.CancelledError() | ActivityCancelled():
            return CANCELED, {}
        case TerminatedError():
            return TERMINATED, {}
    return APPLICATION, {"type": type(error).__name__}


def _application_info(error: ApplicationError, converter: Converter) -> dict[str, Any]:
    info: dict[str, Any] = {"type": str(error.type or type(error).__name__)}
    if error.non_retryable:
        info["non_retryable"] = True
    if error.next_retry_delay is not None:
        try:
            info["next_retry_delay"] = parse_duration(error.next_retry_delay)
        except ConfigurationError as senseless:
            info["next_retry_delay_error"] = str(senseless)
    if error.details:
        info["details"] = _encoded(list(error.details), converter)
    return info


def _encoded(value: Any, converter: Converter) -> Payload:
    """Encode a value that must not stand in the way of its failure."""
    try:
        return converter.encode(value)
    except PayloadError as unencodable:
        return converter.encode([f"<{unencodable}>"])


def _decoded(payload: Payload, converter: Converter) -> Any:
    """Decode a value that must not stand in the way of its failure."""
    try:
        return converter.decode(payload)
    except PayloadError as undecodable:
        return [f"<{undecodable}>"]


def exception_of_failure(failure: Failure, converter: Converter) -> FailureError:
    """Turn a recorded failure into the exception that user code sees.

    Parameters
    ----------
    failure
        From history.
    converter
        Decodes its details.

    Returns
    -------
    FailureError
        With ``__cause__`` and ``stack_trace`` set.
    """
    error = _exception(failure, converter)
    error.stack_trace = failure.stack_trace
    if failure.cause:
        error.__cause__ = exception_of_failure(failure.cause, converter)
    return error


def _exception(failure: Failure, converter: Converter) -> FailureError:
    info, message = failure.info, failure.message
    match failure.kind:
        case "activity":
            return ActivityError(
                message, info.get("activity_type", ""), info.get("activity_id", ""),
                info.get("scheduled_event_id", 0), info.get("retry_state", ""),
            )  # fmt: skip
        case "child_workflow_execution":
            return ChildWorkflowError(
                message, info.get("workflow_id", ""), info.get("run_id", ""), info.get("workflow_type", ""),
                info.get("retry_state", ""),
            )  # fmt: skip
        case "timeout":
            details = info.get("last_heartbeat_details")
            return TimeoutError(
                message, info.get("timeout_type", ""), None if details is None else _decoded(details, converter)
            )
        case "canceled":
            return CancelledError(message or "cancelled")
        case "terminated":
            return TerminatedError(message or "terminated")
    return _application_error(message, info, converter)


def _application_error(message: str, info: Mapping[str, Any], converter: Converter) -> ApplicationError:
    details = [] if info.get("details") is None else _decoded(info["details"], converter)
    error = ApplicationError(
        message,
        *(details if isinstance(details, (list, tuple)) else (details,)),
        type=info.get("type"),
        non_retryable=bool(info.get("non_retryable")),
        next_retry_delay=info.get("next_retry_delay"),
    )
    members = (exception_of_failure(Failure.from_json(tree), converter) for tree in info.get("exceptions", ()))
    error.exceptions = tuple(members)
    return error
