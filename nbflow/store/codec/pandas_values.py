"""Pandas frames, series and indexes as Arrow IPC streams, single times in plain sight.

Arrow does not hold everything that pandas can: mixed columns, nan beside None in object columns,
subclasses. So what was written is read back and compared at once, and goes the way of a
signed pickle when anything differs.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from nbflow.store.codec import pickles
from nbflow.store.codec.arrow_values import from_ipc, to_ipc
from nbflow.store.codec.kinds import Packing, Reader, Tree, Unpacking, Writer, tagged

__all__ = ["READERS", "writer_for"]

_COLUMN = "value"


def writer_for(kind: type) -> Writer | None:
    """Return what writes values of this class."""
    if kind is pd.DataFrame:
        return _write_frame
    if kind is pd.Series:
        return _write_series
    if issubclass(kind, pd.Index):
        return _write_index
    if kind in (pd.Timestamp, pd.Timedelta):
        return _write_time
    return _write_missing if kind in (type(pd.NaT), type(pd.NA)) else None


def _write_frame(packing: Packing, value: Any, path: str) -> Tree:
    simple = _has_simple_labels(value.columns)
    frame = value.copy(deep=False)
    frame.attrs = {}
    if not simple:
        frame.columns = [str(position) for position in range(value.shape[1])]
    parts = _arrow(packing, frame)
    if parts is None or not value.flags.allows_duplicate_labels:
        return pickles.write(packing, value, path)
    if not simple:
        parts["labels"] = packing.pack(value.columns, f"{path}.columns")
    if value.attrs:
        parts["attrs"] = packing.pack(dict(value.attrs), f"{path}.attrs")
    return tagged("pandas.DataFrame", rows=len(value), columns=[str(label) for label in value.columns], **parts)


def _read_frame(unpacking: Unpacking, tree: Tree) -> Any:
    frame = _from_arrow(unpacking.binary(tree), tree.get("freq"))
    if "labels" in tree:
        frame.columns = unpacking.unpack(tree["labels"])
    frame.attrs = unpacking.unpack(tree.get("attrs", {}))
    # Arrow's buffers are read-only; what code gets may be changed
    return frame.copy()


def _write_series(packing: Packing, value: Any, path: str) -> Tree:
    frame = value.to_frame(name=_COLUMN)
    frame.attrs = {}
    parts = _arrow(packing, frame)
    if parts is None or not value.flags.allows_duplicate_labels:
        return pickles.write(packing, value, path)
    if value.attrs:
        parts["attrs"] = packing.pack(dict(value.attrs), f"{path}.attrs")
    return tagged("pandas.Series", rows=len(value), name=packing.pack(value.name, f"{path}.name"), **parts)


def _read_series(unpacking: Unpacking, tree: Tree) -> Any:
    series = _from_arrow(unpacking.binary(tree), tree.get("freq"))[_COLUMN].copy()
    series.name = unpacking.unpack(tree["name"])
    series.attrs = unpacking.unpack(tree.get("attrs", {}))
    return series


def _write_index(packing: Packing, value: Any, path: str) -> Tree:
    parts = _arrow(packing, pd.DataFrame(index=value))
    return pickles.write(packing, value, path) if parts is None else tagged("pandas.Index", rows=len(value), **parts)


def _read_index(unpacking: Unpacking, tree: Tree) -> Any:
    return _from_arrow(unpacking.binary(tree), tree.get("freq")).index.copy()


def _has_simple_labels(labels: Any) -> bool:
    return (
        type(labels) is pd.Index
        and labels.dtype == pd.Index([_COLUMN]).dtype
        and labels.name is None
        and labels.is_unique
        and all(type(label) is str for label in labels)
    )


def _arrow(packing: Packing, frame: Any) -> Tree | None:
    """Return the parts of a tag that hold a frame, or None when Arrow would lose something of it."""
    freq = getattr(frame.index, "freqstr", None)
    try:
        data = to_ipc(pa.Table.from_pandas(frame))
        if not _same(_from_arrow(data, freq), frame):
            return None
    except (pa.ArrowException, TypeError, ValueError, KeyError, AttributeError):
        return None
    parts = packing.binary("arrow", data)
    if freq is not None:
        parts["freq"] = freq
    return parts


def _from_arrow(data: bytes, freq: str | None) -> Any:
    frame = from_ipc(data).to_pandas()
    if freq is not None and getattr(frame.index, "freqstr", None) != freq:
        frame.index = type(frame.index)(frame.index, freq=freq)
    return frame


def _same(one: Any, other: Any) -> bool:
    return (
        list(one.dtypes) == list(other.dtypes)
        and _same_axis(one.index, other.index)
        and list(one.columns) == list(other.columns)
        and (other.shape[1] == 0 or one.equals(other))
        and all(_same_objects(one.iloc[:, at], other.iloc[:, at]) for at in range(other.shape[1]))
    )


def _same_axis(one: Any, other: Any) -> bool:
    return (
        type(one) is type(other)
        and one.dtype == other.dtype
        and list(one.names) == list(other.names)
        and list(map(type, one.names)) == list(map(type, other.names))
        and getattr(one, "freq", None) == getattr(other, "freq", None)
        and one.equals(other)
        and _same_levels(one, other)
        and _same_objects(one, other)
    )


def _same_levels(one: Any, other: Any) -> bool:
    if not isinstance(one, pd.MultiIndex):
        return True
    return all(_same_axis(a.rename(None), b.rename(None)) for a, b in zip(one.levels, other.levels, strict=True))


def _same_objects(one: Any, other: Any) -> bool:
    """Compare the classes of Python objects, which pandas takes for equal when their values are."""
    if one.dtype != object:
        return True
    return all(type(a) is type(b) for a, b in zip(one, other, strict=True))


def _write_time(packing: Packing, value: Any, path: str) -> Tree:
    zone = getattr(value, "tz", None)
    tree = tagged(f"pandas.{type(value).__name__}", value=value.isoformat(), unit=value.unit)
    if zone is not None:
        tree["zone"] = str(zone)
    try:
        tree["nanoseconds"] = value.value
        found = _TIMES[type(value).__name__](tree)
        kept = found == value and found.unit == value.unit and getattr(found, "tz", None) == zone
    except (ValueError, OverflowError, KeyError):
        kept = False
    return tree if kept and not getattr(value, "fold", 0) else pickles.write(packing, value, path)


def _timestamp(tree: Tree) -> Any:
    found = pd.Timestamp(tree["nanoseconds"], unit="ns").as_unit(tree["unit"])
    return found.tz_localize("UTC").tz_convert(tree["zone"]) if "zone" in tree else found


def _timedelta(tree: Tree) -> Any:
    return pd.Timedelta(tree["nanoseconds"], unit="ns").as_unit(tree["unit"])


_TIMES = {"Timestamp": _timestamp, "Timedelta": _timedelta}


def _write_missing(_packing: Packing, value: Any, _path: str) -> Tree:
    return tagged("pandas.NaT" if value is pd.NaT else "pandas.NA")


READERS: dict[str, Reader] = {
    "pandas.DataFrame": _read_frame,
    "pandas.Series": _read_series,
    "pandas.Index": _read_index,
    "pandas.Timestamp": lambda _unpacking, tree: _timestamp(tree),
    "pandas.Timedelta": lambda _unpacking, tree: _timedelta(tree),
    "pandas.NaT": lambda _unpacking, _tree: pd.NaT,
    "pandas.NA": lambda _unpacking, _tree: pd.NA,
}
