"""When a schedule acts: the times of its cron expressions, intervals and calendars together, less those left out.

Times inside are whole seconds since the epoch; those handed out are microseconds, as everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import cached_property
from typing import Any, NamedTuple

from nbflow.core.calendars import Calendar, offset_at, wall_of
from nbflow.core.cron import parse_cron

__all__ = ["Interval", "Occasion", "ScheduleSpec", "zone_named"]

_SECOND = 1_000_000
_LEFT_OUT_IN_A_ROW = 10_000
"""After so many times left out one after another there is none to find."""


class Occasion(NamedTuple):
    """One time of a schedule, in microseconds since the epoch."""

    nominal: int
    """The time by the spec."""
    actual: int
    """When it is acted on: later by the jitter."""


class Interval(NamedTuple):
    """Every so many seconds since the epoch, by a phase later."""

    every: int
    phase: int

    def next_after(self, instant: int) -> int:
        """Return the first time later than an instant."""
        return (instant - self.phase) // self.every * self.every + self.every + self.phase


def zone_named(name: str) -> tzinfo:
    """Return a time zone by its IANA name; raises ZoneInfoNotFoundError or ValueError."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


@dataclass(frozen=True)
class ScheduleSpec:
    """When a schedule acts.

    Parameters
    ----------
    cron
        Expressions, tidied.
    intervals
        Intervals.
    calendars
        Calendars, by their fields as text; fields not named are 0 for second, minute and hour, else any.
    skip
        Calendars of times to leave out; fields not named are any.
    timezone
        Of cron expressions and calendars.
    start, end
        The first and the last moment at which it may act, in seconds since the epoch.
    jitter
        Seconds by which each action is put off at most.
    """

    cron: tuple[str, ...] = ()
    intervals: tuple[Interval, ...] = ()
    calendars: tuple[Mapping[str, str], ...] = ()
    skip: tuple[Mapping[str, str], ...] = ()
    timezone: str = "UTC"
    start: int | None = None
    end: int | None = None
    jitter: float = 0.0

    @cached_property
    def _zone(self) -> tzinfo:
        return zone_named(self.timezone)

    @cached_property
    def _included(self) -> tuple[Calendar, ...]:
        crons = [parse_cron(text).calendar for text in self.cron]
        at = [Calendar.of(fields, rest={"second": "0", "minute": "0", "hour": "0"}) for fields in self.calendars]
        return (*(calendar for calendar in crons if calendar is not None), *at)

    @cached_property
    def _all_intervals(self) -> tuple[Interval, ...]:
        crons = [parse_cron(text) for text in self.cron]
        return (*self.intervals, *(Interval(c.every, c.phase) for c in crons if c.calendar is None))

    @cached_property
    def _excluded(self) -> tuple[Calendar, ...]:
        return tuple(Calendar.of(fields, rest={}) for fields in self.skip)

    # Times.

    def next_time(self, after: int) -> int | None:
        """Return the first time later than a moment, both in microseconds since the epoch; None if none comes."""
        instant = after // _SECOND
        if self.start is not None:
            instant = max(instant, self.start - 1)
        for _ in range(_LEFT_OUT_IN_A_ROW):
            found = self._next(instant)
            if found is None or (self.end is not None and found > self.end):
                return None
            free = self._free_from(found)
            if free is None:
                return found * _SECOND
            instant = free
        return None

    def _next(self, instant: int) -> int | None:
        times: list[int | None] = [calendar.next_after(instant, self._zone) for calendar in self._included]
        times += [interval.next_after(instant) for interval in self._all_intervals]
        return min((time for time in times if time is not None), default=None)

    def _free_from(self, instant: int) -> int | None:
        """Return up to when a time that is left out surely is so; None if it is not."""
        for calendar in self._excluded:
            if calendar.matches(instant, self._zone):
                wall = wall_of(instant, self._zone)
                last = instant + calendar.grain - wall % calendar.grain - 1
                same = offset_at(last, self._zone) == offset_at(instant, self._zone)
                return last if same else instant
        return None

    def times(self, after: int, until: int | None = None) -> Iterator[int]:
        """Yield the times later than ``after``, up to and including ``until``."""
        found = self.next_time(after)
        while found is not None and (until is None or found <= until):
            yield found
            found = self.next_time(found)

    def next_occasion(self, after: int, schedule_id: str) -> Occasion | None:
        """Return the first time later than a moment, with when it is acted on; None if none comes.

        The jitter is drawn from the schedule's id and the time, so that it is the same whoever asks, and ends
        before the time that follows.
        """
        nominal = self.next_time(after)
        if nominal is None or not self.jitter:
            return None if nominal is None else Occasion(nominal, nominal)
        longest = round(self.jitter * _SECOND)
        following = self.next_time(nominal)
        if following is not None:
            longest = min(longest, following - nominal)
        digest = hashlib.sha256(f"{schedule_id}\0{nominal}".encode()).digest()
        return Occasion(nominal, nominal + int.from_bytes(digest[:8], "big") * longest // 2**64)

    # As JSON.

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON-native values, leaving out what was not said."""
        tree: dict[str, Any] = {
            "cron": list(self.cron),
            "every": [list(interval) for interval in self.intervals],
            "at": [dict(calendar) for calendar in self.calendars],
            "skip": [dict(calendar) for calendar in self.skip],
            "timezone": self.timezone,
            "start": self.start,
            "end": self.end,
            "jitter": self.jitter,
        }
        return {name: value for name, value in tree.items() if value not in ([], None, 0.0)}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> ScheduleSpec:
        """Read what :meth:`to_json` wrote."""
        return cls(
            cron=tuple(tree.get("cron", ())),
            intervals=tuple(Interval(*interval) for interval in tree.get("every", ())),
            calendars=tuple(tree.get("at", ())),
            skip=tuple(tree.get("skip", ())),
            timezone=tree.get("timezone", "UTC"),
            start=tree.get("start"),
            end=tree.get("end"),
            jitter=tree.get("jitter", 0.0),
        )

    def describe(self) -> str:
        """Say it in one line."""
        from nbflow.core.durations import format_duration

        parts = [*self.cron, *(f"every {format_duration(interval.every)}" for interval in self.intervals)]
        parts += [" ".join(f"{name}={value}" for name, value in calendar.items()) for calendar in self.calendars]
        zone = "" if self.timezone == "UTC" else f" ({self.timezone})"
        return "; ".join(parts) + zone
