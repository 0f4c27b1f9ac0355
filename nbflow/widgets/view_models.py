"""View models: rows of the log turned into plain data that any front end can draw. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict

from nbflow.core.failures import Failure

__all__ = [
    "ActivityGroup",
    "ActivityRow",
    "ExecutionView",
    "FailureLink",
    "Progress",
    "TimerRow",
    "execution_view",
    "failure_chain",
    "progress_view",
    "value_text",
]

Row = Mapping[str, Any]

_DONE = ("Completed", "Failed", "TimedOut", "Canceled")


class ActivityGroup(TypedDict):
    """All activities of one type."""

    activity_type: str
    total: int
    done: int
    states: dict[str, int]
    """Number of activities by status; ``Backoff`` are those that wait for their next attempt."""
    retried: int
    """How many needed more than one attempt."""
    retries: int
    """Attempts beyond the first, in all."""


class ActivityRow(TypedDict):
    """One activity."""

    scheduled_event_id: int
    activity_type: str
    status: str
    attempt: int
    duration: float | None
    input: str
    failure: str
    next_attempt_time: str | None


class TimerRow(TypedDict):
    """One pending timer."""

    label: str
    fire_time: str
    seconds: float
    """From now."""


class FailureLink(TypedDict):
    """One failure of a chain of causes."""

    type: str
    message: str
    stack_trace: str


class ExecutionView(TypedDict):
    """What there is to see of one execution."""

    workflow_id: str
    run_id: str
    workflow_type: str
    status: str
    start_time: str
    close_time: str | None
    duration: float
    """Seconds; up to now if it is open."""
    events: int
    input: str
    result: str | None
    groups: list[ActivityGroup]
    activities: list[ActivityRow]
    """Those worth a look, the worst first."""
    timers: list[TimerRow]
    timers_total: int
    signals: dict[str, int]
    awaits: str
    """What an open execution waits for, in words."""
    failures: list[FailureLink]
    """From the execution's own failure to its root cause."""
    problem: str | None
    """Why an open execution can't go on as it is."""


class Progress(TypedDict):
    """How far an execution is, in one line."""

    workflow_id: str
    status: str
    groups: list[ActivityGroup]
    retries: int
    next_timer: TimerRow | None
    seconds: float
    """How long somebody has waited for it."""
    is_waited_for: bool
    """False once nobody waits any more."""


def execution_view(
    execution: Row,
    *,
    counts: Sequence[Row],
    of_note: Sequence[Row],
    timers: Sequence[Row],
    signals: Sequence[Row],
    failure: str | None,
    problem: str | None,
    now: int,
) -> ExecutionView:
    """Make the view of an execution.

    Parameters
    ----------
    execution
        Its row of ``executions``.
    counts
        Its activities, counted by type and status.
    of_note
        Its activities that are worth a look.
    timers
        Its pending timers.
    signals
        Its signals, counted by name.
    failure
        The failure it closed with, as JSON text.
    problem
        Why it is parked, if it is.
    now
        Microseconds since the epoch.

    Returns
    -------
    ExecutionView
        JSON-native; times as ISO 8601 in UTC, durations in seconds.
    """
    groups = _groups(counts)
    pending = [_timer(row, now) for row in timers]
    is_open = execution["status"] in ("Running", "Paused", "Suspended")
    end = now if execution["duration"] is None else None
    return {
        "workflow_id": execution["workflow_id"],
        "run_id": execution["run_id"],
        "workflow_type": execution["workflow_type"],
        "status": execution["status"],
        "start_time": _iso(execution["start_time"]),
        "close_time": _iso_or_none(execution["close_time"]),
        "duration": execution["duration"] if end is None else _seconds_between(execution["start_time"], end),
        "events": execution["history_length"],
        "input": value_text(execution["input"] or ""),
        "result": None if execution["result"] is None else value_text(execution["result"]),
        "groups": groups,
        "activities": _of_note([_activity(row) for row in of_note]),
        "timers": pending if is_open else [],
        "timers_total": int(timers[0]["total"]) if timers and is_open else 0,
        "signals": {row["signal_name"]: row["count"] for row in signals},
        "awaits": _awaits(groups, pending) if is_open and not problem else "",
        "failures": failure_chain(failure) if failure else _plain_failure(execution),
        "problem": problem,
    }


def progress_view(workflow_id: str, status: str, counts: Sequence[Row], timers: Sequence[Row], now: int) -> Progress:
    """Make the view of a line of progress, as seen by somebody who begins to wait.

    Parameters
    ----------
    workflow_id, status
        Of the execution.
    counts
        Its activities, counted by type and status.
    timers
        Its pending timers, the next one first.
    now
        Microseconds since the epoch.
    """
    groups = _groups(counts)
    return {
        "workflow_id": workflow_id,
        "status": status,
        "groups": groups,
        "retries": sum(group["retries"] for group in groups),
        "next_timer": _timer(timers[0], now) if timers else None,
        "seconds": 0.0,
        "is_waited_for": True,
    }


def failure_chain(failure: str) -> list[FailureLink]:
    """List a failure and its causes.

    Parameters
    ----------
    failure
        JSON text, as history keeps it.

    Returns
    -------
    list of FailureLink
        The root cause last.
    """
    links: list[FailureLink] = []
    link: Failure | None = Failure.from_json(json.loads(failure))
    while link is not None:
        links.append({"type": link.type_name, "message": link.message, "stack_trace": link.stack_trace})
        link = link.cause
    return links


def value_text(text: str) -> str:
    """Say a recorded value: as its JSON, with tables and other encoded values named instead of spelled out.

    Parameters
    ----------
    text
        JSON text, possibly cut.
    """
    try:
        return _say(json.loads(text))
    except json.JSONDecodeError:
        return _BYTES.sub('"…"', text)


_BYTES = re.compile(r'"base64":"[^"]*"?')


def _say(value: Any) -> str:
    match value:
        case {"$nbflow": str(kind), "rows": rows, "columns": list(columns)}:
            return f"{kind} ({rows} rows, {len(columns)} columns)"
        case {"$nbflow": str(kind), "rows": rows}:
            return f"{kind} ({rows} rows)"
        case {"$nbflow": str(kind), "dtype": dtype, "shape": list(shape)}:
            return f"{kind} ({dtype}, {' x '.join(map(str, shape))})"
        case {"$nbflow": str(kind), "items": list(items)}:
            return f"{kind}({_say(items)})"
        case {"$nbflow": str(kind), "value": value}:
            return f"{kind}({_say(value)})"
        case {"$nbflow": str(kind)}:
            return f"<{kind}>"
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)}: {_say(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_say, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _plain_failure(execution: Row) -> list[FailureLink]:
    if execution["failure_type"] is None:
        return []
    return [{"type": execution["failure_type"], "message": execution["failure_message"] or "", "stack_trace": ""}]


def _groups(counts: Sequence[Row]) -> list[ActivityGroup]:
    groups: dict[str, ActivityGroup] = {}
    for row in counts:
        name, count = row["activity_type"], int(row["count"])
        group = groups.setdefault(
            name, {"activity_type": name, "total": 0, "done": 0, "states": {}, "retried": 0, "retries": 0}
        )
        status = "Backoff" if row["waits"] else row["status"]
        group["total"] += count
        group["done"] += count if status in _DONE else 0
        group["states"][status] = group["states"].get(status, 0) + count
        group["retried"] += int(row["retried"])
        group["retries"] += int(row["retries"])
    return list(groups.values())


def _of_note(activities: list[ActivityRow]) -> list[ActivityRow]:
    """Leave out those that went well at once or have not begun, unless all are so."""
    chosen = [row for row in activities if row["status"] not in ("Completed", "Scheduled") or row["attempt"] > 1]
    return chosen or activities


def _activity(row: Row) -> ActivityRow:
    kind, message = row["failure_type"], row["failure_message"]
    return {
        "scheduled_event_id": row["scheduled_event_id"],
        "activity_type": row["activity_type"],
        "status": "Backoff" if row["next_attempt_time"] is not None else row["status"],
        "attempt": row["attempt"],
        "duration": row["duration"],
        "input": value_text(row["input"] or ""),
        "failure": f"{kind}: {message}" if kind else "",
        "next_attempt_time": _iso_or_none(row["next_attempt_time"]),
    }


def _timer(row: Row, now: int) -> TimerRow:
    return {
        "label": row["summary"] or f"timer {row['timer_id']}",
        "fire_time": _iso(row["fire_time"]),
        "seconds": -_seconds_between(row["fire_time"], now),
    }


def _awaits(groups: Sequence[ActivityGroup], timers: Sequence[TimerRow]) -> str:
    open_activities = sum(group["total"] - group["done"] for group in groups)
    waits = []
    if open_activities:
        waits.append(f"{open_activities} activit{'y' if open_activities == 1 else 'ies'}")
    if timers:
        waits.append(f"a timer ({timers[0]['label']})" if len(timers) == 1 else f"{len(timers)} timers")
    return " and ".join(waits) or "a signal or a condition"


def _seconds_between(start: datetime, end: int) -> float:
    return end / 1_000_000 - start.timestamp()


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _iso_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else _iso(moment)
