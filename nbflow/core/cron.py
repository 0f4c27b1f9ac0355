"""Cron expressions, in Temporal's grammar: five to seven fields, shorthands, ``@every``, a zone in front.

Five fields are minute, hour, day of month, month, day of week; a sixth is the year; of seven the first is the
second. Day of month and day of week must *both* match, as in Temporal, unlike in the cron daemon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nbflow.core.calendars import Calendar
from nbflow.core.durations import parse_duration
from nbflow.exceptions import ConfigurationError

__all__ = ["Cron", "parse_cron"]

_SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("second", "minute", "hour", "day_of_month", "month", "day_of_week", "year")
_ZONE = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+")


@dataclass(frozen=True)
class Cron:
    """What a cron expression says.

    Parameters
    ----------
    text
        The expression, tidied, without its zone and comment.
    calendar
        The times, unless it is an interval.
    every, phase
        The interval, in seconds, of ``@every``.
    timezone
        The zone in front of it, if there is one.
    """

    text: str
    calendar: Calendar | None
    every: int = 0
    phase: int = 0
    timezone: str | None = None


def parse_cron(expression: object) -> Cron:
    """Read a cron expression.

    Parameters
    ----------
    expression
        Such as ``"0 9 * * MON-FRI"``, ``"@daily"``, ``"@every 1h/5m"``, ``"CRON_TZ=Europe/Oslo 0 9 * * *"``.

    Raises
    ------
    ConfigurationError
        When it is none.
    """
    if not isinstance(expression, str):
        msg = f"cron must be text such as '0 9 * * MON-FRI', or a list of such, not {expression!r}"
        raise ConfigurationError(msg)
    text = " ".join(expression.partition("#")[0].split())
    zone = _ZONE.match(text)
    timezone = zone[1] if zone else None
    text = text[zone.end() :] if zone else text
    if text.lower().startswith("@every"):
        every, phase = _interval(text)
        return Cron(text, None, every, phase, timezone)
    words = _SHORTHANDS.get(text.lower(), text).split()
    if not 5 <= len(words) <= 7:
        msg = (
            f"cron {expression!r} has {len(words)} fields; write five (minute hour day month weekday, e.g. "
            f"'0 9 * * MON-FRI'), a sixth for the year, seven with the second in front, or one of "
            f"{', '.join(_SHORTHANDS)}, @every 1h"
        )
        raise ConfigurationError(msg)
    names = _FIELDS if len(words) == 7 else _FIELDS[1 : len(words) + 1]
    try:
        calendar = Calendar.of(dict(zip(names, words, strict=True)), rest={"second": "0"})
    except ConfigurationError as error:
        msg = f"cron {expression!r}: {error}"
        raise ConfigurationError(msg) from None
    return Cron(text, calendar, timezone=timezone)


def _interval(text: str) -> tuple[int, int]:
    every, _, phase = text[len("@every") :].strip().partition("/")
    try:
        seconds, offset = float(parse_duration(every)), float(parse_duration(phase or 0))
    except ConfigurationError:  # told below
        seconds = offset = 0.0
    if not (seconds.is_integer() and offset.is_integer() and 0 <= offset < seconds):
        msg = f"cron {text!r}: after @every come whole seconds, such as '@every 1h', or '@every 1h/5m' for five past"
        raise ConfigurationError(msg)
    return round(seconds), round(offset)
