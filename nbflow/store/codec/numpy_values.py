"""NumPy arrays as npy, and scalars in plain sight where JSON can show them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from nbflow.store.codec import pickles
from nbflow.store.codec.kinds import Packing, Reader, Tree, Unpacking, Writer, tagged

__all__ = ["READERS", "writer_for"]

_SHOWN = (np.bool_, np.integer, np.float16, np.float32, np.float64, np.str_)


def writer_for(kind: type) -> Writer | None:
    """Return what writes values of this class."""
    if kind is np.ndarray:
        return _write_array
    if issubclass(kind, np.generic):
        # a timedelta64 counts as an integer, but its unit would be lost
        shown = issubclass(kind, _SHOWN) and not issubclass(kind, np.timedelta64)
        return _write_shown_scalar if shown else _write_scalar
    return None


def _npy(value: Any) -> bytes | None:
    """Write an array as npy, or return None when npy would lose something of it."""
    dtype = value.dtype
    described = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype)) if dtype.fields else dtype
    if dtype.hasobject or described != dtype:
        return None
    out = io.BytesIO()
    try:
        np.lib.format.write_array(out, value, allow_pickle=False)
    except ValueError:
        return None
    return out.getvalue()


def _from_npy(data: bytes) -> Any:
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _write_array(packing: Packing, value: Any, path: str) -> Tree:
    data = _npy(value)
    if data is None:
        return pickles.write(packing, value, path)
    return tagged("numpy.ndarray", dtype=str(value.dtype), shape=list(value.shape), **packing.binary("npy", data))


def _read_array(unpacking: Unpacking, tree: Tree) -> Any:
    return _from_npy(unpacking.binary(tree))


def _write_shown_scalar(packing: Packing, value: Any, path: str) -> Tree:
    name = value.dtype.name
    # some C types share a name with another, as long long does with long
    char = {} if isinstance(value, np.str_) or np.dtype(name).type is type(value) else {"char": value.dtype.char}
    return tagged("numpy.scalar", dtype=name, **char, value=packing.pack(value.item(), path))


def _write_scalar(packing: Packing, value: Any, path: str) -> Tree:
    data = _npy(np.asarray(value))
    if data is None:
        return pickles.write(packing, value, path)
    return tagged("numpy.scalar", dtype=value.dtype.name, shown=str(value), **packing.binary("npy", data))


def _read_scalar(unpacking: Unpacking, tree: Tree) -> Any:
    if "value" not in tree:
        return _from_npy(unpacking.binary(tree))[()]
    value = unpacking.unpack(tree["value"])
    return np.str_(value) if isinstance(value, str) else np.dtype(tree.get("char", tree["dtype"])).type(value)


READERS: dict[str, Reader] = {"numpy.ndarray": _read_array, "numpy.scalar": _read_scalar}
