"""Single values of the standard library: times, ids, numbers, paths, bytes."""

from __future__ import annotations

import pathlib
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from nbflow.store.codec import pickles
from nbflow.store.codec.kinds import Packing, Reader, Tree, Unpacking, Writer, tagged

__all__ = ["READERS", "WRITERS"]


def _write_bytes(packing: Packing, value: bytes, _path: str) -> Tree:
    return tagged("bytes", **packing.binary("bytes", value))


def _read_bytes(unpacking: Unpacking, tree: Tree) -> bytes:
    return unpacking.binary(tree)


def _write_bytearray(packing: Packing, value: bytearray, _path: str) -> Tree:
    return tagged("bytearray", **packing.binary("bytes", bytes(value)))


def _read_bytearray(unpacking: Unpacking, tree: Tree) -> bytearray:
    return bytearray(unpacking.binary(tree))


def _zone(zone: tzinfo | None) -> Tree | None:
    """Describe a time zone beside the text that has its offset; None if it needs a pickle."""
    if zone is None:
        return {}
    if type(zone) is timezone:
        if zone.utcoffset(None).microseconds:
            # Python writes such an offset and reads it wrongly
            return None
        arguments = zone.__getinitargs__()  # type: ignore[attr-defined]
        return {"zone_name": arguments[1]} if len(arguments) > 1 else {}
    if type(zone) is ZoneInfo and zone.key:
        return {"zone": zone.key}
    return None


def _with_zone(value: Any, tree: Tree) -> Any:
    """Put the described time zone, and the fold, on a time read from text."""
    if "zone" in tree:
        value = value.replace(tzinfo=ZoneInfo(tree["zone"]))
    elif "zone_name" in tree:
        value = value.replace(tzinfo=timezone(value.utcoffset(), tree["zone_name"]))
    return value.replace(fold=1) if tree.get("fold") else value


def _write_datetime(packing: Packing, value: datetime, path: str) -> Tree:
    zone = _zone(value.tzinfo)
    if zone is None:
        return pickles.write(packing, value, path)
    return tagged("datetime", value=value.isoformat(), **zone, **({"fold": 1} if value.fold else {}))


def _read_datetime(_unpacking: Unpacking, tree: Tree) -> datetime:
    found: datetime = _with_zone(datetime.fromisoformat(tree["value"]), tree)
    return found


def _write_time(packing: Packing, value: time, path: str) -> Tree:
    zone = _zone(value.tzinfo)
    if zone is None:
        return pickles.write(packing, value, path)
    return tagged("time", value=value.isoformat(), **zone, **({"fold": 1} if value.fold else {}))


def _read_time(_unpacking: Unpacking, tree: Tree) -> time:
    found: time = _with_zone(time.fromisoformat(tree["value"]), tree)
    return found


def _write_timedelta(_packing: Packing, value: timedelta, _path: str) -> Tree:
    return tagged("timedelta", days=value.days, seconds=value.seconds, microseconds=value.microseconds)


def _read_timedelta(_unpacking: Unpacking, tree: Tree) -> timedelta:
    return timedelta(tree["days"], tree["seconds"], tree["microseconds"])


def _write_complex(packing: Packing, value: complex, path: str) -> Tree:
    return tagged("complex", real=packing.pack(value.real, path), imag=packing.pack(value.imag, path))


def _read_complex(unpacking: Unpacking, tree: Tree) -> complex:
    return complex(unpacking.unpack(tree["real"]), unpacking.unpack(tree["imag"]))


def _write_path(packing: Packing, value: pathlib.PurePath, path: str) -> Tree:
    return tagged("path", flavour=type(value).__name__, value=packing.pack(str(value), path))


def _read_path(unpacking: Unpacking, tree: Tree) -> pathlib.PurePath:
    value = unpacking.unpack(tree["value"])
    pure = {"PurePosixPath": pathlib.PurePosixPath, "PureWindowsPath": pathlib.PureWindowsPath}
    # a concrete path of another system becomes one of this system
    return pure.get(tree["flavour"], pathlib.Path)(value)


def _write_range(packing: Packing, value: range, path: str) -> Tree:
    return tagged("range", bounds=[packing.pack(part, path) for part in (value.start, value.stop, value.step)])


def _read_range(unpacking: Unpacking, tree: Tree) -> range:
    return range(*(unpacking.unpack(part) for part in tree["bounds"]))


def _text_kind(kind: str, cls: Any) -> tuple[Writer, Reader]:
    """Handle a type that its own text tells completely."""

    def write(_packing: Packing, value: Any, _path: str) -> Tree:
        return tagged(kind, value=value.isoformat() if cls is date else str(value))

    def read(_unpacking: Unpacking, tree: Tree) -> Any:
        return date.fromisoformat(tree["value"]) if cls is date else cls(tree["value"])

    return write, read


_TEXTS: dict[type, str] = {date: "date", UUID: "uuid", Decimal: "decimal", Fraction: "fraction"}

WRITERS: dict[type, Writer] = {
    bytes: _write_bytes,
    bytearray: _write_bytearray,
    datetime: _write_datetime,
    time: _write_time,
    timedelta: _write_timedelta,
    complex: _write_complex,
    range: _write_range,
    pathlib.PurePosixPath: _write_path,
    pathlib.PureWindowsPath: _write_path,
    type(pathlib.Path()): _write_path,
    **{cls: _text_kind(kind, cls)[0] for cls, kind in _TEXTS.items()},
}

READERS: dict[str, Reader] = {
    "bytes": _read_bytes,
    "bytearray": _read_bytearray,
    "datetime": _read_datetime,
    "time": _read_time,
    "timedelta": _read_timedelta,
    "complex": _read_complex,
    "range": _read_range,
    "path": _read_path,
    **{kind: _text_kind(kind, cls)[1] for cls, kind in _TEXTS.items()},
}
