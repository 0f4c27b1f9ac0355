"""Polars frames and series as Arrow IPC streams."""

from __future__ import annotations

import io
from typing import Any

import polars as pl

from nbflow.store.codec import pickles
from nbflow.store.codec.kinds import Packing, Reader, Tree, Unpacking, Writer, tagged

__all__ = ["READERS", "writer_for"]


def writer_for(kind: type) -> Writer | None:
    """Return what writes values of this class."""
    if kind is pl.DataFrame:
        return _write_frame
    return _write_series if kind is pl.Series else None


def _ipc(frame: Any) -> bytes | None:
    """Write a frame as an Arrow IPC stream, or return None when it would lose something of it."""
    if any(dtype == pl.Object for dtype in frame.dtypes):
        return None
    data: bytes = frame.write_ipc_stream(None, compression="lz4").getvalue()
    return data if pl.read_ipc_stream(io.BytesIO(data)).schema == frame.schema else None


def _write_frame(packing: Packing, value: Any, path: str) -> Tree:
    data = _ipc(value)
    if data is None:
        return pickles.write(packing, value, path)
    return tagged("polars.DataFrame", rows=value.height, columns=value.columns, **packing.binary("arrow", data))


def _write_series(packing: Packing, value: Any, path: str) -> Tree:
    data = _ipc(value.to_frame())
    if data is None:
        return pickles.write(packing, value, path)
    name = packing.pack(value.name, path)
    return tagged("polars.Series", rows=len(value), name=name, **packing.binary("arrow", data))


def _read_frame(unpacking: Unpacking, tree: Tree) -> Any:
    return pl.read_ipc_stream(io.BytesIO(unpacking.binary(tree)))


def _read_series(unpacking: Unpacking, tree: Tree) -> Any:
    return _read_frame(unpacking, tree).to_series()


READERS: dict[str, Reader] = {"polars.DataFrame": _read_frame, "polars.Series": _read_series}
