"""Values of numpy, pandas, polars and pyarrow: nothing of them is lost."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nbflow.core.payloads import Payload
from nbflow.exceptions import PayloadError

DAYS = pd.date_range("2024-07-01", periods=3, tz="Europe/Oslo")

ARRAYS = [
    np.arange(5),
    np.zeros((0, 3)),
    np.array(5.0),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(10)[::3],
    np.array(["a", "éé"]),
    np.array([b"a"]),
    np.array([True, False]),
    np.array(["2024-07-01", "NaT"], dtype="M8[ns]"),
    np.array([1, 2], dtype="m8[s]"),
    np.array([1, 2], dtype=">i4"),
    np.array([1.5, np.nan], dtype=np.float16),
    np.array([1j]),
    np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    np.array([1, "a", None], dtype=object),
]
SCALARS = [
    np.float64(1.5), np.float64("nan"), np.float32(1.1), np.float16(0.1), np.int8(-3), np.uint64(2**64 - 1),
    np.longlong(3), np.bool_(True), np.str_("é"), np.bytes_(b"x"), np.complex64(1j), np.longdouble(1) / 3,
    np.datetime64("2024-07-01T12"), np.timedelta64(3, "s"), np.datetime64("NaT"),
]  # fmt: skip
FRAMES = [
    pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, np.nan]}),
    pd.DataFrame({"when": DAYS, "kind": pd.Categorical(["x", "y", "x"]), "n": pd.array([1, None, 3], dtype="Int64")}),
    pd.DataFrame({"a": [1, 2, 3]}, index=DAYS),
    pd.DataFrame({"a": [1, 2]}, index=pd.Index(["p", "q"], name="key")),
    pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["x", None])),
    pd.DataFrame(np.ones((2, 3))),
    pd.DataFrame({("a", 1): [1], ("b", 2): [2]}),
    pd.DataFrame([[1, 2]], columns=["a", "a"]),
    pd.DataFrame({3: [1], "x": [2]}),
    pd.DataFrame({"a": [1, "x", None, (2,)]}),
    pd.DataFrame({"a": [True, 1]}, dtype=object),
    pd.DataFrame({"a": [np.nan, None, "x"]}, dtype=object),
    pd.DataFrame({"a": [[1], [2, 3]]}),
    pd.DataFrame({"a": [date(2024, 7, 1)]}),
    pd.DataFrame({"a": pd.to_timedelta([1, 2], unit="s"), "p": pd.period_range("2024-01", periods=2, freq="M")}),
    pd.DataFrame(),
    pd.DataFrame(columns=["a", "b"]),
    pd.DataFrame(index=[1, 2]),
    pd.DataFrame({"a": [1, 2, 3]}, index=pd.RangeIndex(10, 16, 2, name="r")),
]
SERIES = [
    pd.Series([1, 2], name="s"),
    pd.Series([1.5, 2.5], name=("a", 1)),
    pd.Series(["a", None]),
    pd.Series([1, 2, 3], index=DAYS),
    pd.Series(DAYS),
    pd.Series([], dtype="float64"),
    pd.Series([{"a": 1}, [2]], name=7),
]
INDEXES = [
    pd.RangeIndex(3), pd.Index([1, 2]), pd.Index(["a"], name="n"), DAYS, pd.MultiIndex.from_product([[1, 2], ["a"]]),
    pd.CategoricalIndex(["a", "b"]), pd.IntervalIndex.from_breaks([0, 1, 2]), pd.timedelta_range("1D", periods=2),
]  # fmt: skip
TIMES = [
    pd.Timestamp("2024-07-01 12:00:00.123456789"), pd.Timestamp("2024-07-01", tz="Europe/Oslo"),
    pd.Timestamp("2024-07-01").as_unit("s"), pd.Timestamp("1700-01-01"), pd.Timedelta("1D 00:00:00.000000001"),
    pd.Timestamp("2024-07-01", tz="UTC"), pd.Timedelta(5, unit="s").as_unit("ms"),
]  # fmt: skip
POLARS = [
    pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [[1], []], "d": [date(2024, 7, 1), None]}),
    pl.DataFrame({"e": ["x", "y"]}, schema={"e": pl.Enum(["x", "y"])}),
    pl.DataFrame({"c": ["x", "y"]}, schema={"c": pl.Categorical}),
    pl.DataFrame(),
    pl.Series("s", [1, 2]),
    pl.Series([1.5, None]),
    pl.DataFrame({"o": [object]}, schema={"o": pl.Object}).drop("o"),
]
ARROW = [
    pa.table({"a": [1, 2], "b": ["x", None]}, metadata={"made": "by hand"}),
    pa.table({"a": pa.chunked_array([[1], [2, 3]])}),
    pa.record_batch({"a": [1, 2]}),
    pa.array([1, None, 3]),
    pa.array(["a", "b", "a"]).dictionary_encode(),
    pa.array([{"x": 1}, None]),
    pa.array([1, 2, 3, 4])[1:3],
    pa.chunked_array([[1], [2]]),
    pa.table({}),
]


def name(value):
    return f"{type(value).__module__.split('.')[0]}-{type(value).__name__}"


@pytest.mark.parametrize("value", ARRAYS, ids=name)
def test_arrays(round_trip, value):
    """Dtype, shape, order and content; and what comes back may be changed."""
    for found in round_trip(value):
        assert (type(found), found.dtype, found.shape) == (np.ndarray, value.dtype, value.shape)
        assert found.flags.f_contiguous == value.flags.f_contiguous or not value.flags.contiguous
        np.testing.assert_array_equal(found, value)
        assert found.flags.writeable


@pytest.mark.parametrize("value", SCALARS, ids=name)
def test_numpy_scalars(round_trip, value):
    """A float64 is not a float, nor an int8 an int."""
    for found in round_trip([value]):
        assert type(found[0]) is type(value) and found[0].dtype == value.dtype
        assert repr(found[0]) == repr(value)


@pytest.mark.parametrize("value", FRAMES, ids=range(len(FRAMES)))
def test_frames(round_trip, value):
    """Columns, dtypes, index, names and frequencies; and what comes back may be changed."""
    for found in round_trip(value):
        pd.testing.assert_frame_equal(found, value, check_exact=True, check_freq=True)
        assert (type(found.index), type(found.columns)) == (type(value.index), type(value.columns))
        for at in range(value.shape[1]):
            assert list(map(type, found.iloc[:, at])) == list(map(type, value.iloc[:, at]))
        if value.size:
            found.iloc[0, 0] = value.iloc[-1, 0]


@pytest.mark.parametrize("value", SERIES, ids=range(len(SERIES)))
def test_series(round_trip, value):
    """With their names, whatever those are."""
    for found in round_trip(value):
        pd.testing.assert_series_equal(found, value, check_exact=True, check_freq=True)
        assert type(found.index) is type(value.index) and type(found.name) is type(value.name)


@pytest.mark.parametrize("value", INDEXES, ids=name)
def test_indexes(round_trip, value):
    """Of each class."""
    for found in round_trip(value):
        pd.testing.assert_index_equal(found, value, exact=True)
        assert getattr(found, "freq", None) == getattr(value, "freq", None)


@pytest.mark.parametrize("value", TIMES, ids=str)
def test_pandas_times(round_trip, value):
    """To the nanosecond, with unit and zone."""
    for found in round_trip(value):
        assert (type(found), found, found.unit) == (type(value), value, value.unit)
        assert getattr(found, "tz", None) == getattr(value, "tz", None)


@pytest.mark.parametrize("value", [pd.NaT, pd.NA])
def test_pandas_missing_values(round_trip, value):
    """They are the ones there are."""
    assert all(found is value for found in round_trip(value))


def test_attributes_of_frames_are_kept(round_trip):
    """attrs travel along."""
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"source": ("web", 1)}
    assert all(found.attrs == frame.attrs for found in round_trip(frame))
    assert all(found.attrs == frame.attrs for found in round_trip(frame["a"]))


@pytest.mark.parametrize("value", POLARS, ids=range(len(POLARS)))
def test_polars(round_trip, value):
    """Schema and content."""
    for found in round_trip(value):
        assert type(found) is type(value) and found.equals(value)
        assert found.dtype == value.dtype if isinstance(value, pl.Series) else found.schema == value.schema


@pytest.mark.parametrize("value", ARROW, ids=range(len(ARROW)))
def test_arrow(round_trip, value):
    """Types, chunks, metadata."""
    for found in round_trip(value):
        assert type(found) is type(value) and found.equals(value)
        if isinstance(value, pa.Table):
            assert found.schema.equals(value.schema, check_metadata=True)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (FRAMES[0], "pandas.DataFrame"),
        (SERIES[0], "pandas.Series"),
        (POLARS[0], "polars.DataFrame"),
        (ARROW[0], "pyarrow.Table"),
        (ARRAYS[0], "numpy.ndarray"),
    ],
)
def test_usual_values_are_readable_by_others(tree_of, value, kind):
    """No pickle: a format that other tools read, with its size in sight."""
    tree = tree_of(value)
    assert tree["$nbflow"] == kind and (tree.get("rows") == 2 or tree.get("shape") == [5])


def test_a_large_frame_is_a_blob_that_arrow_reads(codec):
    """The stored bytes are an Arrow stream."""
    frame = pd.DataFrame({"a": np.random.default_rng(1).random(100_000)})
    payload = codec.encode(frame)
    (blob,) = payload.blobs
    assert blob.encoding == "arrow" and len(payload.text) < 500
    assert pa.ipc.open_stream(blob.data).read_all()["a"].to_pylist() == frame["a"].tolist()


def test_changing_a_frame_later_changes_nothing_recorded(codec):
    """Encoding is a snapshot for frames and arrays too."""
    frame, array = pd.DataFrame({"a": [1, 2]}), np.arange(3)
    payload = codec.encode([frame, array])
    frame.loc[0, "a"], array[0] = 99, 99
    found = codec.decode(payload)
    assert found[0]["a"].tolist() == [1, 2] and found[1].tolist() == [0, 1, 2]


def test_a_library_that_is_missing_is_named(codec, monkeypatch):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "nbflow.store.codec.polars_values", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(PayloadError, match=r"a recorded value is a polars.DataFrame, and .* is not installed here"):
        codec.decode(Payload('{"$nbflow":"polars.DataFrame","base64":""}'))


def test_plain_values_load_no_data_library():
    """A notebook without pandas pays nothing for it."""
    code = """
import sys
from nbflow.store.codec import Codec
codec = Codec()
codec.decode(codec.encode([1, (2,), {"a": {3}}, 1.5, b"x"]))
print([name for name in ("numpy", "pandas", "polars", "pyarrow", "pydantic") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
