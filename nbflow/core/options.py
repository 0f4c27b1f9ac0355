"""Options of workflows and activities: read once, checked once, kept as plain values."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeAlias

from nbflow.core.commands import ActivityOptions
from nbflow.core.durations import Duration, parse_duration
from nbflow.core.retry import RetryPolicy
from nbflow.core.search_attributes import checked_search_attributes
from nbflow.exceptions import ConfigurationError

__all__ = ["ActivityDefinitionOptions", "IdConflict", "IdReuse", "RunIn", "WorkflowOptions"]

RunIn: TypeAlias = Literal["thread", "loop", "process", "transaction"]
IdConflict: TypeAlias = Literal["attach", "fail", "terminate"]
IdReuse: TypeAlias = Literal["failed_only", "allow", "reject"]
OnError: TypeAlias = Literal["fail", "suspend"]
ParentClosePolicy: TypeAlias = Literal["TERMINATE", "ABANDON", "REQUEST_CANCEL"]
ChildCancellationType: TypeAlias = Literal[
    "WAIT_CANCELLATION_COMPLETED", "TRY_CANCEL", "ABANDON", "WAIT_CANCELLATION_REQUESTED"
]
CancellationType: TypeAlias = Literal["TRY_CANCEL", "WAIT_CANCELLATION_COMPLETED", "ABANDON"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "run_in": ("thread", "loop", "process", "transaction"),
    "id_conflict": ("attach", "fail", "terminate"),
    "id_reuse": ("failed_only", "allow", "reject"),
    "cancellation_type": ("TRY_CANCEL", "WAIT_CANCELLATION_COMPLETED", "ABANDON"),
    "on_error": ("fail", "suspend"),
    "on_edit": ("move", "keep"),
    "parent_close_policy": ("TERMINATE", "ABANDON", "REQUEST_CANCEL"),
    "child_cancellation_type": (
        "WAIT_CANCELLATION_COMPLETED", "TRY_CANCEL", "ABANDON", "WAIT_CANCELLATION_REQUESTED",
    ),
}  # fmt: skip


class _Options:
    """Shared by both: unknown names and impossible values are refused, with the nearest right one."""

    @classmethod
    def read(cls, given: Mapping[str, Any], base: Self | None = None) -> Self:
        """Check options and lay them over others.

        Parameters
        ----------
        given
            Options by name, as the user wrote them.
        base
            What they change.

        Returns
        -------
        Self
            Checked options.

        Raises
        ------
        ConfigurationError
            When a name is unknown or a value makes no sense.
        """
        names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        for name in given:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(names))}"
                msg = f"unknown option {name!r}{hint}"
                raise ConfigurationError(msg)
        values = {f.name: getattr(base, f.name) for f in fields(cls)} if base else {}  # type: ignore[arg-type]
        return cls(**{**values, **{name: cls._checked(name, value) for name, value in given.items()}})

    @classmethod
    def _checked(cls, name: str, value: Any) -> Any:
        return _checked(name, value)


def _checked(name: str, value: Any, choices: str = "") -> Any:
    if value is None:
        return None
    if name in _DURATIONS:
        return parse_duration(value)
    allowed = _CHOICES.get(choices or name)
    if allowed is not None and value not in allowed:
        msg = f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}"
        raise ConfigurationError(msg)
    check = _CHECKS.get(name)
    return value if check is None else check(name, value)


def _text(name: str, value: Any) -> str:
    text = str(value)
    if not text or (not text.isascii() and text != text.encode("utf-8", "replace").decode()):
        msg = f"{name} must be text that can be stored, and not empty: {value!r}"
        raise ConfigurationError(msg)
    return text


def _notes(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        msg = f"{name} must be a dict with text as keys, not {value!r}"
        raise ConfigurationError(msg)
    return value


def _searchable(name: str, value: Any) -> Mapping[str, Any]:  # noqa: ARG001  as every check
    return checked_search_attributes(value)


def _is_json_native(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):  # a memo may hold anything
        return False


_DURATIONS = frozenset(
    {
        "schedule_to_close_timeout", "schedule_to_start_timeout", "start_to_close_timeout", "heartbeat_timeout",
        "schedule_to_close", "schedule_to_start", "start_to_close", "heartbeat",
        "execution_timeout", "run_timeout", "start_delay",
    }
)  # fmt: skip


def _retry_policy(name: str, value: Any) -> RetryPolicy:
    if isinstance(value, RetryPolicy):
        return value
    if isinstance(value, bool):
        return RetryPolicy() if value else RetryPolicy(maximum_attempts=1)
    if isinstance(value, int):
        return RetryPolicy(maximum_attempts=value)
    if isinstance(value, Mapping):
        known = [f.name for f in fields(RetryPolicy)]
        unknown = sorted(set(value) - set(known))
        if unknown:
            msg = f"{name} has a field that RetryPolicy does not know: {unknown[0]!r}; it has {', '.join(known)}"
            raise ConfigurationError(msg)
        return RetryPolicy.from_json(dict(value))
    msg = f"{name} must be a RetryPolicy, a number of attempts, or False, not {value!r}"
    raise ConfigurationError(msg)


def _priority(name: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 5:
        msg = f"{name} must be a whole number from 1 (first) to 5 (last), not {value!r}"
        raise ConfigurationError(msg)
    return value


def _at_least_one(name: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        msg = f"{name} must be a whole number, at least 1, not {value!r}"
        raise ConfigurationError(msg)
    return value


def _rate(name: str, value: Any) -> tuple[int, float]:
    """Read ``"10/s"``, ``"100/5m"`` or ``(100, "5m")``."""
    parts = value.split("/") if isinstance(value, str) else value
    try:
        count, span = parts
        starts = int(count)
        seconds = parse_duration(f"1{span.strip()}" if isinstance(span, str) and span.strip().isalpha() else span)
    except (ValueError, TypeError, ConfigurationError):
        starts, seconds = 0, 0.0
    if starts < 1 or seconds <= 0:
        msg = f"{name} must say how many in which time, as in '10/s', '100/5m' or (100, '5m'), not {value!r}"
        raise ConfigurationError(msg)
    return starts, seconds


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "max_concurrency": _at_least_one,
    "priority": _priority,
    "rate_limit": _rate,
    "id": _text,
    "memo": _notes,
    "name": _text,
    "retry": _retry_policy,
    "search_attributes": _searchable,
    "summary": _text,
}


@dataclass(frozen=True, kw_only=True)
class ActivityDefinitionOptions(_Options):
    """What ``@activity(...)`` and ``.options(...)`` take.

    Parameters
    ----------
    name
        The activity type; default the function's name.
    retry
        RetryPolicy, a number of attempts, or False for a single one.
    start_to_close_timeout, schedule_to_close_timeout, schedule_to_start_timeout, heartbeat_timeout
        Deadlines, as durations; also as ``start_to_close`` etc.
    cancellation_type
        What the workflow does when it cancels: ask and go on (``TRY_CANCEL``), ask and wait
        (``WAIT_CANCELLATION_COMPLETED``), or just go on (``ABANDON``).
    run_in
        ``"thread"`` (default of ``def``), ``"loop"`` (of ``async def``), ``"process"``, or ``"transaction"``: in a
        thread, with a DuckDB cursor as its first argument (what ``@nbflow.transaction`` is short for).
    max_concurrency
        So many attempts of this activity type at once at most, in the whole store.
    rate_limit
        So many attempts of this type begin in a span of time at most: ``"10/s"``, ``"100/5m"``, ``(100, "5m")``.
    priority
        1 (first) to 5 (last), default that of the workflow: whose turn it is when not all can run at once.
    summary
        One line for people.
    """

    name: str | None = None
    retry: RetryPolicy | None = None
    schedule_to_close_timeout: Duration | None = None
    schedule_to_start_timeout: Duration | None = None
    start_to_close_timeout: Duration | None = None
    heartbeat_timeout: Duration | None = None
    cancellation_type: CancellationType = "TRY_CANCEL"
    run_in: RunIn | None = None
    max_concurrency: int | None = None
    rate_limit: tuple[int, float] | str | None = None
    priority: int | None = None
    summary: str | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any], base: Self | None = None) -> Self:
        """Check options; the timeouts may be written without ``_timeout``."""
        return super().read({_SHORT_NAMES.get(name, name): value for name, value in given.items()}, base)

    def to_json(self) -> dict[str, Any]:
        """Write what was chosen as JSON-native values, which :meth:`read` takes again in another process."""
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if self.retry is not None:
            chosen["retry"] = self.retry.to_json()
        return chosen

    def for_call(self) -> ActivityOptions:
        """Return what a ScheduleActivityTask carries of them."""

        def seconds(value: Duration | None) -> float | None:
            return None if value is None else parse_duration(value)

        return ActivityOptions(
            schedule_to_close_timeout=seconds(self.schedule_to_close_timeout),
            schedule_to_start_timeout=seconds(self.schedule_to_start_timeout),
            start_to_close_timeout=seconds(self.start_to_close_timeout),
            heartbeat_timeout=seconds(self.heartbeat_timeout),
            retry_policy=self.retry,
            cancellation_type=self.cancellation_type,
            summary=self.summary,
            priority=self.priority,
        )


_SHORT_NAMES = {
    "schedule_to_close": "schedule_to_close_timeout",
    "schedule_to_start": "schedule_to_start_timeout",
    "start_to_close": "start_to_close_timeout",
    "heartbeat": "heartbeat_timeout",
    "retry_policy": "retry",
}


@dataclass(frozen=True, kw_only=True)
class WorkflowOptions(_Options):
    """What ``@workflow(...)`` and ``.options(...)`` take.

    Parameters
    ----------
    name
        The workflow type; default the function's name.
    id
        Names the execution; starting it again is safe.
    id_conflict
        An open execution has the id: ``"attach"`` to it (default), ``"fail"``, or ``"terminate"`` it.
    id_reuse
        A closed execution has the id: run again only if it did not complete (``"failed_only"``, default),
        always (``"allow"``), or never (``"reject"``). Of a child the default is ``"allow"``.
    execution_timeout, run_timeout
        Deadlines of the execution over all its runs, and of one run, as durations.
    retry
        RetryPolicy, or a number of runs: what starts the workflow again when it failed or its run's time was up.
    parent_close_policy
        What becomes of a child when its parent closes: ``"TERMINATE"`` (default), ``"ABANDON"`` (it goes on),
        or ``"REQUEST_CANCEL"``.
    cancellation_type
        What a parent does when it cancels a child: ask and wait for its end (``"WAIT_CANCELLATION_COMPLETED"``,
        default), ask and wait until it is asked (``"WAIT_CANCELLATION_REQUESTED"``), ask and go on
        (``"TRY_CANCEL"``), or just go on (``"ABANDON"``).
    memo
        Notes to keep with it: a dict of encodable values.
    search_attributes
        Values to search by: a dict of text, numbers, bools, datetimes, dates and lists of text.
    start_delay
        Wait this long before the first line runs.
    on_error
        An exception that the code lets pass ends the execution (``"fail"``, default), or keeps it open until its
        code is mended and it is resumed (``"suspend"``).
    on_edit
        What becomes of open executions when the code is edited: those that the new code fits ``"move"`` to it
        (default), or all ``"keep"`` the code they run.
    priority
        1 (first) to 5 (last), default 3: of its activities, when not all can run at once.
    summary
        One line for people.
    """

    name: str | None = None
    id: str | None = None
    id_conflict: IdConflict = "attach"
    id_reuse: IdReuse | None = None
    execution_timeout: Duration | None = None
    run_timeout: Duration | None = None
    retry: RetryPolicy | None = None
    parent_close_policy: ParentClosePolicy = "TERMINATE"
    cancellation_type: ChildCancellationType = "WAIT_CANCELLATION_COMPLETED"
    memo: Mapping[str, Any] | None = None
    search_attributes: Mapping[str, Any] | None = None
    start_delay: Duration | None = None
    on_error: OnError = "fail"
    on_edit: Literal["move", "keep"] = "move"
    priority: int | None = None
    summary: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Write what was chosen as JSON-native values, which :meth:`read` takes again in another process."""
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        chosen.pop("name", None)
        if self.retry is not None:
            chosen["retry"] = self.retry.to_json()
        return {name: value for name, value in chosen.items() if _is_json_native(value)}

    @classmethod
    def _checked(cls, name: str, value: Any) -> Any:
        if name == "cancellation_type":
            return _checked(name, value, "child_cancellation_type")
        return _checked(name, value)
