"""Durations: what people write, and what it means in seconds."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.durations import format_duration, parse_duration, to_microseconds
from nbflow.exceptions import ConfigurationError


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0),
        (90, 90.0),
        (0.25, 0.25),
        (np.int64(3), 3.0),
        (np.float32(0.5), 0.5),
        (timedelta(days=1, milliseconds=5), 86400.005),
        (pd.Timedelta("2h"), 7200.0),
        ("90", 90.0),
        (" 1.5 ", 1.5),
        ("30 days", 30 * 86400.0),
        ("1 day", 86400.0),
        ("1h30m", 5400.0),
        ("1 hour, 30 minutes", 5400.0),
        ("2 DAYS 3 Hours", 2 * 86400 + 3 * 3600.0),
        ("1.5 h", 5400.0),
        ("250ms", 0.25),
        ("10 us", 1e-5),
        ("2w", 14 * 86400.0),
        ("PT1H30M", 5400.0),
        ("P1DT12H", 129600.0),
        ("p2w", 14 * 86400.0),
        ("PT0.5S", 0.5),
    ],
)
def test_what_people_write(written, seconds):
    """Numbers, timedeltas, words and ISO 8601 all mean seconds."""
    assert parse_duration(written) == pytest.approx(seconds)
    assert isinstance(parse_duration(written), float)


@pytest.mark.parametrize(
    "written",
    [
        -1,
        "-1",
        timedelta(seconds=-1),
        float("nan"),
        float("inf"),
        "inf",
        "nan",
        10**400,
        1e12,
        timedelta.max,
        "",
        "soon",
        "5 parsecs",
        "h",
        "1h then 2m",
        "P",
        "PT",
        True,
        None,
        [],
        b"5",
    ],
)
def test_what_is_no_duration(written):
    """Negative, endless, absurd and unreadable durations are refused, showing what was written."""
    with pytest.raises(ConfigurationError) as caught:
        parse_duration(written)
    assert repr(written) in str(caught.value)


@given(st.floats(0, 1e9, allow_nan=False))
def test_seconds_stand_for_themselves(seconds):
    """A number of seconds comes back as it is."""
    assert parse_duration(seconds) == seconds
    assert to_microseconds(seconds) == round(seconds * 1e6)


@given(st.integers(0, 400), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(days, hours, minutes, seconds):
    """The words and the ISO form of one duration agree."""
    words = f"{days} days {hours}h {minutes} min {seconds}s"
    iso = f"P{days}DT{hours}H{minutes}M{seconds}S"
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    assert parse_duration(words) == parse_duration(iso) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (59.94, "59.9 s"), (60, "1 m"), (5400, "1 h 30 m"), (30 * 86400, "30 d"), (90061, "1 d 1 h")],
)
def test_writing_for_people(seconds, text):
    """At most two units."""
    assert format_duration(seconds) == text
