"""PyArrow tables, record batches and arrays as Arrow IPC streams."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from nbflow.store.codec.kinds import Packing, Reader, Tree, Unpacking, Writer, tagged

__all__ = ["READERS", "from_ipc", "to_ipc", "writer_for"]

_COMPRESSION = "lz4" if pa.Codec.is_available("lz4") else None
_COLUMN = "value"


def to_ipc(table: Any) -> bytes:
    """Write a table or a record batch as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=_COMPRESSION)) as stream:
        stream.write(table)
    return bytes(sink.getvalue())


def from_ipc(data: bytes) -> Any:
    """Read an Arrow IPC stream as a table."""
    return pa.ipc.open_stream(data).read_all()


def writer_for(kind: type) -> Writer | None:
    """Return what writes values of this class."""
    if kind is pa.Table:
        return _write_table
    if kind is pa.RecordBatch:
        return _write_batch
    if issubclass(kind, pa.Array):
        return _write_array
    return _write_chunked if kind is pa.ChunkedArray else None


def _tag(packing: Packing, kind: str, table: Any) -> Tree:
    return tagged(
        f"pyarrow.{kind}", rows=table.num_rows, columns=table.schema.names, **packing.binary("arrow", to_ipc(table))
    )


def _write_table(packing: Packing, value: Any, _path: str) -> Tree:
    return _tag(packing, "Table", value)


def _write_batch(packing: Packing, value: Any, _path: str) -> Tree:
    return _tag(packing, "RecordBatch", value)


def _write_array(packing: Packing, value: Any, _path: str) -> Tree:
    return _tag(packing, "Array", pa.RecordBatch.from_arrays([value], [_COLUMN]))


def _write_chunked(packing: Packing, value: Any, _path: str) -> Tree:
    return _tag(packing, "ChunkedArray", pa.table({_COLUMN: value}))


def _read_table(unpacking: Unpacking, tree: Tree) -> Any:
    return from_ipc(unpacking.binary(tree))


def _read_batch(unpacking: Unpacking, tree: Tree) -> Any:
    with pa.ipc.open_stream(unpacking.binary(tree)) as stream:
        return stream.read_next_batch()


def _read_array(unpacking: Unpacking, tree: Tree) -> Any:
    return _read_batch(unpacking, tree).column(0)


def _read_chunked(unpacking: Unpacking, tree: Tree) -> Any:
    return _read_table(unpacking, tree).column(0)


READERS: dict[str, Reader] = {
    "pyarrow.Table": _read_table,
    "pyarrow.RecordBatch": _read_batch,
    "pyarrow.Array": _read_array,
    "pyarrow.ChunkedArray": _read_chunked,
}
