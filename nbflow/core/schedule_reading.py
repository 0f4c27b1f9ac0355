"""What people write of a schedule's times, read and checked into a :class:`ScheduleSpec`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from nbflow.core.calendars import Calendar
from nbflow.core.cron import parse_cron
from nbflow.core.durations import parse_duration
from nbflow.core.schedule_spec import Interval, ScheduleSpec, zone_named
from nbflow.exceptions import ConfigurationError

__all__ = ["TIMES", "moment", "read_spec"]

TIMES = ("cron", "every", "offset", "at", "skip", "timezone", "start", "end", "jitter")
"""What :func:`read_spec` takes."""

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


def read_spec(given: Mapping[str, Any]) -> ScheduleSpec:
    """Read when a schedule acts.

    Parameters
    ----------
    given
        By the names of :data:`TIMES`; None stands for not given.

    Raises
    ------
    ConfigurationError
        When something makes no sense, or no time comes of it.
    """
    crons = [parse_cron(text) for text in _several(given.get("cron"))]
    zones = {cron.timezone for cron in crons if cron.timezone}
    if given.get("timezone") is not None:
        zones.add(str(given["timezone"]))
    if len(zones) > 1:
        msg = f"a schedule has one time zone, not {' and '.join(sorted(zones))}; make a schedule for each"
        raise ConfigurationError(msg)
    timezone = zones.pop() if zones else "UTC"
    zone = _zone(timezone)
    spec = ScheduleSpec(
        cron=tuple(cron.text for cron in crons),
        intervals=_intervals(given.get("every"), given.get("offset")),
        calendars=tuple(_calendar("at", it) for it in _several(given.get("at"))),
        skip=tuple(_calendar("skip", it) for it in _several(given.get("skip"))),
        timezone=timezone,
        start=_bound("start", given.get("start"), zone),
        end=_bound("end", given.get("end"), zone),
        jitter=0.0 if given.get("jitter") is None else parse_duration(given["jitter"]),
    )
    _check(spec)
    return spec


def _check(spec: ScheduleSpec) -> None:
    if not (spec.cron or spec.intervals or spec.calendars):
        msg = "a schedule needs times: cron='0 9 * * MON-FRI', every='1h', or at={'hour': 9}; several may be combined"
        raise ConfigurationError(msg)
    if spec.start is not None and spec.end is not None and spec.start > spec.end:
        msg = "a schedule's start must come before its end"
        raise ConfigurationError(msg)
    if spec.next_time(0) is None:
        msg = f"a schedule at {spec.describe()} never acts: no such time comes, or all are left out"
        raise ConfigurationError(msg)


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _zone(name: str) -> tzinfo:
    try:
        return zone_named(name)
    except (KeyError, ValueError, OSError):
        msg = f"there is no time zone {name!r}; write its IANA name, such as {_zone_like(name)}"
        raise ConfigurationError(msg) from None


def _zone_like(name: str) -> str:
    import difflib
    from zoneinfo import available_timezones

    known = available_timezones()
    if not known:
        return "'Europe/Oslo', and install the zones, which this system lacks: pip install tzdata"
    return " or ".join(map(repr, difflib.get_close_matches(name, known, 2) or ["Europe/Oslo", "UTC"]))


def _intervals(every: Any, offset: Any) -> tuple[Interval, ...]:
    phase = 0.0 if offset is None else parse_duration(offset)
    if offset is not None and every is None:
        msg = "offset= goes with every=: every='1h', offset='5m' means five past each hour"
        raise ConfigurationError(msg)
    intervals = []
    for one in _several(every):
        seconds = parse_duration(one)
        if seconds < 1 or seconds != round(seconds) or phase != round(phase):
            msg = f"a schedule acts at whole seconds: every={one!r}, offset={offset!r} can't be kept"
            raise ConfigurationError(msg)
        if phase >= seconds:
            msg = f"offset={offset!r} must be less than every={one!r}"
            raise ConfigurationError(msg)
        intervals.append(Interval(round(seconds), round(phase)))
    return tuple(intervals)


def _calendar(name: str, value: Any) -> dict[str, str]:
    """Read a calendar into text by field, checked."""
    fields = _fields_of(name, value)
    text = {
        field: ",".join(map(str, it)) if isinstance(it, Iterable) and not isinstance(it, str) else str(it)
        for field, it in fields.items()
    }
    try:
        Calendar.of(fields, rest={})
    except ConfigurationError as error:
        msg = f"{name}={value!r}: {error}"
        raise ConfigurationError(msg) from None
    return text


def _fields_of(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return dict(value)
    if isinstance(value, str) and (clock := _CLOCK.fullmatch(value.strip())):
        return {"hour": int(clock[1]), "minute": int(clock[2]), "second": int(clock[3] or 0)}
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if len(value) > 10 else date.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, date) and not (isinstance(value, datetime) and value.tzinfo is not None):
        day = {"year": value.year, "month": value.month, "day_of_month": value.day}
        if isinstance(value, datetime):
            return {**day, "hour": value.hour, "minute": value.minute, "second": value.second}
        return day
    msg = (
        f"{name} must be calendars such as {{'hour': 9, 'day_of_week': 'MON-FRI'}}, '09:30', or dates and times "
        f"without a zone of their own, such as '2026-12-24' (the zone is timezone=)"
    )
    raise ConfigurationError(msg)


def _bound(name: str, value: Any, zone: tzinfo) -> int | None:
    return None if value is None else moment(name, value, zone) // 1_000_000


def moment(name: str, value: Any, zone: tzinfo = UTC) -> int:
    """Read a moment as microseconds since the epoch.

    Parameters
    ----------
    name
        What it is, for the error.
    value
        A datetime, a date, or either as ISO text.
    zone
        The zone of those that have none of their own.

    Raises
    ------
    ConfigurationError
        When it is none of these.
    """
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        read = None
    if isinstance(read, date) and not isinstance(read, datetime):
        read = datetime(read.year, read.month, read.day, tzinfo=zone)
    if not isinstance(read, datetime):
        msg = f"{name} must be a datetime or a date, or ISO text such as '2026-12-01T09:00', not {value!r}"
        raise ConfigurationError(msg)
    aware = read if read.tzinfo is not None else read.replace(tzinfo=zone)
    return round(aware.timestamp() * 1_000_000)
