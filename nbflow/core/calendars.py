"""Calendars: which clock times of a time zone match, and which matching one comes next.

A calendar matches literally what a wall clock shows, as Temporal's does: a time that the clock skips in spring does
not happen, one that it shows twice in autumn happens twice. Instants are whole seconds since the epoch; "wall"
seconds are what a clock shows, counted as if it showed UTC.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from nbflow.core.calendar_fields import FIELDS, parse_field
from nbflow.exceptions import ConfigurationError

__all__ = ["LAST_YEAR", "Calendar", "offset_at", "wall_of"]

LAST_YEAR = 2199
"""Calendars end here."""

_DAY = 86_400
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  of wall clocks, which have no zone
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_ONE_SECOND = timedelta(seconds=1)


def offset_at(instant: int, zone: tzinfo) -> int:
    """Return what a zone's clock is ahead of UTC at an instant, in seconds."""
    if zone is UTC:
        return 0
    return (datetime.fromtimestamp(instant, zone).utcoffset() or timedelta()) // _ONE_SECOND


def wall_of(instant: int, zone: tzinfo) -> int:
    """Return what a zone's clock shows at an instant, as wall seconds."""
    return instant + offset_at(instant, zone)


def _offset_of_wall(wall: int, zone: tzinfo, fold: int) -> int:
    shown = (_EPOCH + timedelta(seconds=wall)).replace(tzinfo=zone, fold=fold)
    return (shown.utcoffset() or timedelta()) // _ONE_SECOND


@dataclass(frozen=True)
class Calendar:
    """Clock times by their fields; a time matches if every field does.

    Parameters
    ----------
    second, minute, hour, day_of_month, month, day_of_week
        The values that match, sorted; Sunday is 0.
    year
        The years that match, sorted; empty for every year.
    """

    second: tuple[int, ...]
    minute: tuple[int, ...]
    hour: tuple[int, ...]
    day_of_month: tuple[int, ...]
    month: tuple[int, ...]
    day_of_week: tuple[int, ...]
    year: tuple[int, ...] = ()

    @classmethod
    def of(cls, fields: Mapping[str, object], *, rest: Mapping[str, str]) -> Calendar:
        """Read a calendar.

        Parameters
        ----------
        fields
            Values by field, as people write them: ``9``, ``"MON-FRI"``, ``"*/15"``, ``[1, 15]``.
        rest
            What stands for a field that is not named; every value unless it has one.

        Raises
        ------
        ConfigurationError
            When a field is unknown or a value impossible.
        """
        for name in fields:
            if name not in FIELDS:
                msg = f"a calendar has no field {name!r}; it has {', '.join(FIELDS)}"
                raise ConfigurationError(msg)
        return cls(**{name: parse_field(name, fields.get(name, rest.get(name, "*"))) for name in FIELDS})

    # Does a time match?

    def matches(self, instant: int, zone: tzinfo) -> bool:
        """Tell whether the clock shows a matching time at an instant."""
        days, second = divmod(wall_of(instant, zone), _DAY)
        return self._has_date(_date(days)) and self._next_of_day(second) == second

    def _has_date(self, day: date) -> bool:
        return (
            day.month in self.month
            and day.day in self.day_of_month
            and day.isoweekday() % 7 in self.day_of_week
            and (not self.year or day.year in self.year)
        )

    # Which comes next?

    def next_after(self, instant: int, zone: tzinfo) -> int | None:
        """Return the first matching instant later than the given one, or None if none comes."""
        first = instant + 1
        wall = wall_of(first, zone)
        ahead = next((found for found in self._instants_of(self._walls(wall), zone) if found >= first), None)
        if zone is UTC:
            return ahead
        again = self._shown_again(first, wall, zone, ahead)
        return ahead if again is None else again

    def _instants_of(self, walls: Iterator[int], zone: tzinfo) -> Iterator[int]:
        """Yield when the clock shows these times, leaving out those that it skips."""
        for wall in walls:
            if zone is UTC:
                yield wall
                continue
            for fold in (0, 1):
                offset = _offset_of_wall(wall, zone, fold)
                if offset_at(wall - offset, zone) == offset:
                    yield wall - offset

    def _shown_again(self, first: int, wall: int, zone: tzinfo, ahead: int | None) -> int | None:
        """Return the first match among earlier clock times that are about to be shown a second time."""
        now, later = offset_at(first, zone), _offset_of_wall(wall, zone, 1)
        if now <= later or offset_at(wall - later, zone) != later:
            return None
        if ahead is not None and ahead < wall - later and offset_at(ahead, zone) == now:
            return None  # it comes before the clock is put back
        for shown in self._walls(wall - (now - later)):
            if shown >= wall:
                return None
            if offset_at(shown - later, zone) == later and shown - later >= first:
                return shown - later
        return None

    def _walls(self, wall: int) -> Iterator[int]:
        """Yield the matching clock times from one on, whether or not the zone's clock shows them."""
        days, second = divmod(wall, _DAY)
        for day in self._days(_date(days)):
            found = self._next_of_day(second if day == days else 0)
            while found is not None:
                yield day * _DAY + found
                found = self._next_of_day(found + 1)

    def _days(self, day: date) -> Iterator[int]:
        """Yield the days since the epoch whose date matches, from one on."""
        for year in range(day.year, LAST_YEAR + 1):
            if self.year and year not in self.year:
                continue
            for month in self.month:
                if (year, month) < (day.year, day.month):
                    continue
                length = monthrange(year, month)[1]
                for number in self.day_of_month:
                    if number > length:
                        break
                    found = date(year, month, number)
                    if found >= day and found.isoweekday() % 7 in self.day_of_week:
                        yield found.toordinal() - _EPOCH_DAY

    def _next_of_day(self, second: int) -> int | None:
        """Return the first matching second of a day from one on, or None."""
        if second >= _DAY:
            return None
        minutes, seconds = divmod(second, 60)
        hours, minutes = divmod(minutes, 60)
        hour = _from(self.hour, hours)
        if hour is None:
            return None
        if hour > hours:
            return hour * 3600 + self.minute[0] * 60 + self.second[0]
        minute = _from(self.minute, minutes)
        if minute == minutes:
            found = _from(self.second, seconds)
            if found is not None:
                return hour * 3600 + minute * 60 + found
            minute = _from(self.minute, minutes + 1)
        if minute is not None:
            return hour * 3600 + minute * 60 + self.second[0]
        hour = _from(self.hour, hours + 1)
        return None if hour is None else hour * 3600 + self.minute[0] * 60 + self.second[0]

    @property
    def grain(self) -> int:
        """Seconds of the clock that surely match together: a day, an hour, a minute or one."""
        if len(self.second) < 60:
            return 1
        if len(self.minute) < 60:
            return 60
        return 3600 if len(self.hour) < 24 else _DAY


def _date(days: int) -> date:
    return date.fromordinal(_EPOCH_DAY + days)


def _from(values: tuple[int, ...], least: int) -> int | None:
    """Return the first of sorted values that is not less, or None."""
    position = bisect_left(values, least)
    return values[position] if position < len(values) else None
