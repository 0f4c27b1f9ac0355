"""decode(encode(x)) is x again, types included, for everything of the standard library that is supported."""

from __future__ import annotations

import pathlib
from collections import Counter, OrderedDict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbflow.core.payloads import Payload

# surrogates, control characters and integers of any size included
texts = st.text(st.characters())
keys = texts | st.just("$nbflow")
atoms = st.none() | st.booleans() | st.integers() | st.floats() | texts
zones = st.none() | st.just(UTC) | st.sampled_from(["Europe/Oslo", "Asia/Kathmandu"]).map(ZoneInfo)
zones |= st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
scalars = (
    atoms
    | st.binary()
    | st.binary().map(bytearray)
    | st.dates()
    | st.times()
    | st.datetimes(timezones=zones)
    | st.timedeltas()
    | st.uuids()
    | st.decimals()
    | st.fractions()
    | st.complex_numbers()
    | st.builds(pathlib.PurePosixPath, texts.filter(lambda text: "\0" not in text))
    | st.builds(range, st.integers(), st.integers(), st.integers(1))
)
hashables = st.none() | st.booleans() | st.integers() | texts | st.dates() | st.tuples(texts, st.integers())


def containers(parts):
    """Return a strategy for containers of such parts."""
    lists = st.lists(parts, max_size=20)
    return (
        lists
        | lists.map(tuple)
        | st.dictionaries(keys, parts, max_size=5)
        | st.dictionaries(hashables, parts, max_size=5)
        | lists.map(deque)
    )


json_values = st.recursive(atoms, lambda parts: st.lists(parts, max_size=20) | st.dictionaries(keys, parts, max_size=5))
values = st.recursive(scalars, containers, max_leaves=20)
fast = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@given(value=json_values)
@fast
def test_values_of_json_types(round_trip, same, value):
    """Also those that JSON itself would spoil: nan, huge integers, lone surrogates, a key like our tag."""
    assert all(same(value, found) for found in round_trip(value))


@given(value=values)
@fast
def test_values_of_the_standard_library(round_trip, same, value):
    """Nested in each other in any way."""
    assert all(same(value, found) for found in round_trip(value))


@given(value=st.sets(hashables) | st.frozensets(hashables))
@fast
def test_sets(round_trip, same, value):
    """Sets and frozensets of anything hashable."""
    assert all(same(value, found) for found in round_trip(value))


@pytest.mark.parametrize(
    "value",
    [
        OrderedDict([("b", 1), (2, "a")]),
        Counter("abracadabra"),
        deque([1, 2], maxlen=2),
        Decimal("-0"),
        Decimal("NaN").copy_sign(Decimal(-1)),
        Fraction(-3, 7),
        datetime.max,
        datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Oslo"), fold=1),
        time(2, 30, fold=1),
        date.min,
        timedelta.min,
        -0.0,
        2**63,
        2**64,
        -(2**63) - 1,
        10**5000,
        pathlib.PureWindowsPath("C:/data"),
        pathlib.Path("/etc"),
        range(10, 0, -3),
        [[]] * 3,
        {"": {"": {}}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_edges(round_trip, same, value):
    """The ends of ranges and the oddities of types."""
    assert all(same(value, found) for found in round_trip(value))


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=1), "CET"), UTC, ZoneInfo("America/New_York")])
def test_time_zones_keep_their_names(round_trip, zone):
    """A zone comes back as it was, not as an offset."""
    for found in round_trip(datetime(2024, 7, 1, 12, tzinfo=zone)):
        assert (type(found.tzinfo), found.tzname(), found.utcoffset()) == (
            type(zone),
            zone.tzname(found),
            zone.utcoffset(found),
        )


class Odd(tzinfo):
    """A time zone of a class that we know nothing of."""

    def utcoffset(self, when):
        return timedelta(minutes=7)

    def __eq__(self, other):
        return type(other) is Odd

    __hash__ = None


def test_unknown_time_zones_are_pickled(round_trip):
    """Nothing is lost where our notation has no word."""
    for found in round_trip(datetime(2024, 7, 1, tzinfo=Odd())):
        assert found.tzinfo == Odd() and found.utcoffset() == timedelta(minutes=7)


@given(value=values)
@fast
def test_payloads_are_json_that_duckdb_takes(store, codec, value):
    """Whatever the value, the log's views can read its JSON."""
    payload = codec.encode(value)
    assert store.cursor().execute("SELECT json_valid($1)", [payload.text]).fetchone() == (True,)


@given(value=json_values)
@fast
def test_plain_values_stay_plain(codec, value):
    """A value that JSON holds as it is has no tag in it."""
    text = codec.encode(value).text
    if "$nbflow" not in text:
        assert Payload(text).tree == value


def test_what_is_encoded_is_a_snapshot(codec):
    """Changing the value afterwards changes nothing recorded."""
    value = {"rows": [1, 2, (3, [4])], "raw": bytearray(b"ab")}
    payload = codec.encode(value)
    value["rows"].append(5), value["rows"][2][1].append(6), value["raw"].extend(b"c")
    assert codec.decode(payload) == {"rows": [1, 2, (3, [4])], "raw": bytearray(b"ab")}


@pytest.mark.parametrize("value", [{"rows": [1, {"a": [2]}]}, [[1], [2]], {"t": (1, [2])}, [{"a": 1}]])
def test_each_decoding_is_a_new_value(codec, value):
    """Two readers of one payload can't disturb each other, nor the payload."""
    payload = codec.encode(value)
    for one in (payload, Payload.of_tree(payload.tree)):
        first, second = codec.decode(one), codec.decode(one)
        assert first == second == value

        def change(part):
            for item in part.values() if isinstance(part, dict) else part:
                if isinstance(item, list | dict | tuple):
                    change(item)
            part.clear() if isinstance(part, list | dict) else None

        change(first)
        assert second == value == codec.decode(one)


def test_equal_sets_have_equal_payloads(codec):
    """The order of a set, which differs from process to process, is not recorded."""
    assert codec.encode({"a", "b", "c"}).text == codec.encode({"c", "b", "a"}).text


def test_sql_can_read_what_was_tagged(store, story, codec):
    """Times, decimals and names of enums stand in the JSON as text."""
    value = {"when": datetime(2024, 7, 1, tzinfo=UTC), "price": Decimal("9.90"), "pair": (1, "b")}
    store.commit(story().started(input=codec.encode([value])).batch)
    query = """
        SELECT (input->0->'when'->>'value')::TIMESTAMPTZ = '2024-07-01 00:00:00Z',
            (input->0->'price'->>'value')::DECIMAL(9, 2), input->0->'pair'->'items'->>1
        FROM executions
    """
    assert store.sql(query).fetchall() == [(True, Decimal("9.90"), "b")]
