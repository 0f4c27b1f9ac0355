"""The times of a schedule: several sources together, times left out, bounds, jitter."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core.schedule_reading import moment, read_spec
from nbflow.core.schedule_spec import ScheduleSpec
from nbflow.exceptions import ConfigurationError

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


def micro(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)


def times(count: int, after: datetime = JANUARY, **given: object) -> list[str]:
    """The next times, in UTC, without the seconds."""
    found = islice(read_spec(given).times(micro(after)), count)
    return [datetime.fromtimestamp(it / 1e6, UTC).strftime("%m-%d %H:%M") for it in found]


def test_times_of_several_sources_add_up_and_none_comes_twice():
    """Two expressions and an interval, in order."""
    assert times(5, cron=["0 6 * * *", "30 6 * * *"], every="6h") == [
        *("01-01 06:00", "01-01 06:30", "01-01 12:00", "01-01 18:00", "01-02 00:00"),
    ]


def test_an_interval_counts_from_midnight_with_an_offset():
    """As in Temporal: from the epoch, not from when the schedule was made."""
    after = JANUARY + timedelta(minutes=17)
    assert times(2, after, every="1h", offset="5m") == ["01-01 01:05", "01-01 02:05"]


def test_calendars_are_dicts_clock_times_and_moments():
    """What is not named is 0 for the clock, any for the date."""
    assert times(2, at={"hour": 9, "day_of_week": "MON-FRI"}) == ["01-01 09:00", "01-02 09:00"]
    assert times(2, at="09:30") == ["01-01 09:30", "01-02 09:30"]
    assert times(3, at=["2026-02-03", datetime(2026, 2, 1, 12)]) == ["02-01 12:00", "02-03 00:00"]


def test_times_are_left_out_by_calendars_and_dates():
    """Of what skip= does not name, everything matches."""
    assert times(3, cron="@daily", skip=[date(2026, 1, 2), "2026-01-03"]) == [
        "01-04 00:00",
        "01-05 00:00",
        "01-06 00:00",
    ]
    assert times(2, every="6h", skip={"hour": "6-12"}) == ["01-01 18:00", "01-02 00:00"]


def test_a_long_time_left_out_is_passed_over_at_once():
    """Nine months of seconds take no time."""
    assert times(1, datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC), every=1, skip={"month": "4-12"}) == ["01-01 00:00"]


def test_start_and_end_belong_to_the_times():
    """Bounds without a zone are in the schedule's; nothing comes after the end."""
    given = {"cron": "@daily", "timezone": "Asia/Tokyo", "start": "2026-01-05", "end": "2026-01-06"}
    assert times(5, **given) == ["01-04 15:00", "01-05 15:00"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "a schedule needs times"),
        ({"every": "0.5s"}, "whole seconds"),
        ({"every": "1h", "offset": "1h"}, "must be less than"),
        ({"cron": "@daily", "offset": "1h"}, "offset= goes with every="),
        ({"cron": "@daily", "timezone": "Europe/Olso"}, "no time zone 'Europe/Olso'"),
        ({"cron": "CRON_TZ=UTC @daily", "timezone": "Europe/Oslo"}, "one time zone"),
        ({"cron": "0 0 30 2 *"}, "never acts"),
        ({"cron": "@daily", "skip": {"hour": "*"}}, "never acts"),
        ({"cron": "@daily", "start": "2027-01-01", "end": "2026-01-01"}, "start must come before its end"),
        ({"cron": "@daily", "start": "soon"}, "start must be a datetime"),
        ({"at": {"hours": 9}}, "no field 'hours'"),
        ({"at": {}}, "at must be calendars"),
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "without a zone of their own"),
        ({"cron": "@daily", "jitter": "soon"}, "soon"),
    ],
)
def test_nonsense_is_refused_with_what_would_be_right(given, says):
    """Each error says what is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        read_spec(given)
    assert says in str(caught.value)


def test_a_moment_is_read_in_the_zone_that_stands_for_none():
    """Datetimes, dates and ISO text."""
    assert moment("start", "2026-01-01") == moment("start", date(2026, 1, 1)) == micro(JANUARY)
    assert moment("start", "2026-01-01T02:00+02:00") == micro(JANUARY)


SPECS = st.fixed_dictionaries(
    {},
    optional={
        "cron": st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 9 * * MON-FRI", "@every 40m/3s", "0 0 1 * *"]),
        "every": st.integers(1, 100_000),
        "at": st.sampled_from([{"hour": "*", "minute": 59}, {"day_of_week": "SUN", "hour": 1}, "02:15"]),
        "skip": st.sampled_from([{"hour": "2-3"}, {"minute": "0-58"}, {"day_of_week": 0}, {"second": "1-59"}]),
        "timezone": st.sampled_from(["Europe/Oslo", "America/Havana", "Australia/Lord_Howe", "UTC"]),
        "jitter": st.integers(0, 7200),
    },
).filter(lambda it: {"cron", "every", "at"} & set(it))


def read_or_none(given: dict[str, object]) -> ScheduleSpec | None:
    """Read a spec; one that leaves all its times out is refused, and no subject here."""
    try:
        return read_spec(given)
    except ConfigurationError:
        return None


@settings(max_examples=20, deadline=None)
@given(SPECS, st.integers(0, 366 * 86400), st.data())
def test_going_in_steps_is_going_at_once(given, second, data):
    """Times strictly increase, and from wherever one looks, the next time is the same."""
    spec = read_or_none(given)
    if spec is None:
        return
    found = list(islice(spec.times(micro(JANUARY) + second * 1_000_000), 8))
    assert all(earlier < later for earlier, later in pairwise(found))
    for earlier, later in pairwise(found):
        between = data.draw(st.integers(earlier, later - 1))
        assert spec.next_time(between) == later


@settings(max_examples=15, deadline=None)
@given(SPECS, st.integers(0, 366 * 86400))
def test_jitter_is_the_same_for_all_and_keeps_the_order(given, second):
    """The actual time lies between the nominal one and the next, within the jitter."""
    spec = read_or_none(given)
    if spec is None:
        return
    position = micro(JANUARY) + second * 1_000_000
    for _ in range(5):
        occasion = spec.next_occasion(position, "one")
        if occasion is None:
            return
        assert occasion == spec.next_occasion(position, "one")
        assert 0 <= occasion.actual - occasion.nominal <= spec.jitter * 1_000_000
        following = spec.next_time(occasion.nominal)
        assert following is None or occasion.actual < following
        position = occasion.nominal


@settings(max_examples=15, deadline=None)
@given(SPECS)
def test_a_spec_comes_back_from_its_json(given):
    """What is stored is what was said."""
    spec = read_or_none(given)
    assert spec is None or ScheduleSpec.from_json(spec.to_json()) == spec
