"""Durations as people write them: seconds, ``timedelta``, ``"30 days"``, ``"1h30m"``, ISO 8601."""

from __future__ import annotations

import re
from datetime import timedelta
from math import inf
from numbers import Real
from typing import TypeAlias

from nbflow.exceptions import ConfigurationError

__all__ = ["Duration", "format_duration", "parse_duration", "seconds_or_none", "to_microseconds"]

Duration: TypeAlias = "float | int | str | timedelta"

_SECONDS_PER_UNIT = {
    "us": 1e-6, "microsecond": 1e-6, "microseconds": 1e-6,
    "ms": 1e-3, "millisecond": 1e-3, "milliseconds": 1e-3,
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
    "w": 604800, "week": 604800, "weeks": 604800,
}  # fmt: skip
_LONGEST = 1000 * 366 * 86400.0
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*,?", re.IGNORECASE)
_ISO = re.compile(
    r"P(?:(?P<w>\d+(?:\.\d+)?)W)?(?:(?P<d>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)


def parse_duration(value: Duration) -> float:
    """Read a duration.

    Parameters
    ----------
    value
        Seconds as a number, a ``timedelta``, or text: ``"90"``, ``"30 days"``, ``"1h30m"``,
        ``"1 hour 30 minutes"``, or ISO 8601 such as ``"PT1H30M"``.

    Returns
    -------
    float
        Seconds, zero or more.

    Raises
    ------
    ConfigurationError
        When it is no duration, or negative.
    """
    seconds = _seconds(value)
    if not 0 <= seconds <= _LONGEST:
        msg = f"a duration can't be negative, endless, or longer than 1000 years: {value!r}"
        raise ConfigurationError(msg)
    return seconds


def seconds_or_none(value: Duration | None) -> float | None:
    """Read a duration that may be left out."""
    return None if value is None else parse_duration(value)


def to_microseconds(value: Duration) -> int:
    """Read a duration as whole microseconds.

    Parameters
    ----------
    value
        As for :func:`parse_duration`.

    Returns
    -------
    int
        Microseconds.
    """
    return round(parse_duration(value) * 1_000_000)


def format_duration(seconds: float) -> str:
    """Write a duration for people: ``"0.25 s"``, ``"1 h 30 m"``, ``"30 d"``.

    Parameters
    ----------
    seconds
        The duration in seconds.

    Returns
    -------
    str
        At most two units.
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    parts = []
    rest = round(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def _seconds(value: Duration) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Real) and not isinstance(value, bool):  # numbers of numpy too
        try:
            return float(value)
        except OverflowError:
            return inf
    if isinstance(value, str):
        text = value.strip()
        for reader in (_plain_number, _iso, _parts):
            seconds = reader(text)
            if seconds is not None:
                return seconds
    msg = f"not a duration: {value!r}; write seconds, a timedelta, '30 days', '1h30m' or 'PT1H30M'"
    raise ConfigurationError(msg)


def _plain_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _iso(text: str) -> float | None:
    match = _ISO.fullmatch(text)
    if not match or not any(match.groups()):
        return None
    return sum(float(number) * _SECONDS_PER_UNIT[unit] for unit, number in match.groupdict().items() if number)


def _parts(text: str) -> float | None:
    total, position = 0.0, 0
    for match in _PART.finditer(text):
        unit = match[2] if match[2] in _SECONDS_PER_UNIT else match[2].lower()
        if match.start() != position or unit not in _SECONDS_PER_UNIT:
            return None
        total += float(match[1]) * _SECONDS_PER_UNIT[unit]
        position = match.end()
    return total if position and position == len(text) else None
