"""Calendars and cron: which times match, what comes next, where a zone's clock is put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core.calendar_fields import parse_field
from nbflow.core.calendars import Calendar
from nbflow.core.cron import parse_cron
from nbflow.exceptions import ConfigurationError

OSLO = ZoneInfo("Europe/Oslo")

# instants around which clocks are put forward or back: by one hour, half an hour, a whole day, at midnight
TURNS = [
    ("Europe/Oslo", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Oslo", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 3, 8, 5, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 1, 1, tzinfo=UTC)),
    ("UTC", datetime(2028, 2, 28, 23, tzinfo=UTC)),
]


def after(cron: str, moment: datetime, zone: ZoneInfo = OSLO, count: int = 3) -> list[str]:
    """The next times of an expression, as the zone's clock shows them."""
    calendar, instant, found = parse_cron(cron).calendar, int(moment.timestamp()), []
    for _ in range(count):
        instant = calendar.next_after(instant, zone)
        found.append(datetime.fromtimestamp(instant, zone).isoformat())
    return found


def test_a_time_that_the_clock_skips_does_not_happen():
    """02:30 on the day that has none is left out, as in Temporal."""
    assert after("30 2 * * *", datetime(2026, 3, 27, 12, tzinfo=UTC), count=2) == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_a_time_that_the_clock_shows_twice_happens_twice():
    """02:30 on the day that has two comes at both."""
    assert after("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=UTC)) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_day_of_month_and_day_of_week_must_both_match():
    """Friday the 13th, as in Temporal; the cron daemon would take every Friday and every 13th."""
    assert [time[:10] for time in after("0 0 13 * FRI", datetime(2026, 1, 1, tzinfo=UTC))] == [
        "2026-02-13",
        "2026-03-13",
        "2026-11-13",
    ]


def test_a_leap_day_comes_every_four_years():
    """29 February is found years ahead."""
    assert [time[:10] for time in after("0 0 29 2 *", datetime(2026, 1, 1, tzinfo=UTC), count=2)] == [
        "2028-02-29",
        "2032-02-29",
    ]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("hour", 9, (9,)),
        ("hour", "*/8", (0, 8, 16)),
        ("hour", "20/2", (20, 22)),
        ("minute", "1-10/4,30", (1, 5, 9, 30)),
        ("day_of_week", "mon-Friday", (1, 2, 3, 4, 5)),
        ("day_of_week", "FRI-SUN", (0, 5, 6)),
        ("day_of_week", 7, (0,)),
        ("month", ["jan", "MAY-JUN"], (1, 5, 6)),
        ("month", "?", tuple(range(1, 13))),
        ("day_of_month", range(1, 4), (1, 2, 3)),
        ("year", "*", ()),
        ("year", "2026-2027", (2026, 2027)),
    ],
)
def test_a_field_is_read_as_people_write_it(field, value, expected):
    """Numbers, names, ranges, steps, lists."""
    assert parse_field(field, value) == expected


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("60 * * * *", "minute can't be '60': it goes from 0 to 59"),
        ("0 9 * *", "has 4 fields"),
        ("0 9 * * FRI-MON", "day_of_week goes backwards"),
        ("0 9 * FOO *", "month can't be 'FOO'"),
        ("*/0 * * * *", "steps of 0"),
        ("0 9 L * *", "day_of_month can't be 'L'"),
        ("-1 * * * *", "minute can't be '-1'"),
        ("@every soon", "@every come whole seconds"),
        ("@every 1h/2h", "@every come whole seconds"),
        (5, "cron must be text"),
        ("٣ * * * *", "minute can't be"),
    ],
)
def test_nonsense_is_refused_with_what_would_be_right(cron, says):
    """The error names the field, what it takes, and an example."""
    with pytest.raises(ConfigurationError, match=r".*") as caught:
        parse_cron(cron)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("cron", "like"),
    [
        ("@daily", "0 0 * * *"),
        ("  0  9 * * 1-5  # standup", "0 9 * * MON-FRI"),
        ("0 0 9 * * * *", "0 9 * * *"),
        ("0 9 * * * *", "0 9 * * *"),
    ],
)
def test_expressions_that_mean_the_same(cron, like):
    """Shorthands, comments, names, and fields for year and second."""
    assert parse_cron(cron).calendar == parse_cron(like).calendar


def test_a_zone_may_stand_in_front():
    """As in crontabs and Temporal."""
    assert parse_cron("CRON_TZ=Europe/Oslo @hourly").timezone == "Europe/Oslo"
    assert (parse_cron("@every 1h/5m").every, parse_cron("@every 1h/5m").phase) == (3600, 300)


def fields_of(calendar: Calendar, shown: datetime) -> bool:
    """What matching means, said once more in plain words."""
    return (
        shown.second in calendar.second
        and shown.minute in calendar.minute
        and shown.hour in calendar.hour
        and shown.day in calendar.day_of_month
        and shown.month in calendar.month
        and shown.isoweekday() % 7 in calendar.day_of_week
        and (not calendar.year or shown.year in calendar.year)
    )


def several(least: int, greatest: int) -> st.SearchStrategy[str]:
    numbers = st.lists(st.integers(least, greatest), min_size=1, max_size=6).map(lambda it: ",".join(map(str, it)))
    return st.one_of(st.just("*"), numbers)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TURNS), st.integers(-30, 10), several(0, 59), several(0, 23), several(0, 6))
def test_the_next_times_are_those_that_match_and_no_others(turn, hours, minute, hour, weekday):
    """Stepping finds, in order, just the instants at which the clock shows a matching time, also where it turns."""
    name, moment = turn
    zone = UTC if name == "UTC" else ZoneInfo(name)
    calendar = Calendar.of({"minute": minute, "hour": hour, "day_of_week": weekday}, rest={"second": "0"})
    first = int(moment.timestamp()) + hours * 3600
    last = first + 40 * 3600
    expected = [it for it in range(first, last, 60) if fields_of(calendar, datetime.fromtimestamp(it, zone))]
    found, instant = [], first - 1
    while (instant := calendar.next_after(instant, zone)) is not None and instant < last:
        found.append(instant)
    assert found == expected
