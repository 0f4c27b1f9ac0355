"""JSON's own types, where JSON or DuckDB would not give the same value back."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from nbflow.store.codec.kinds import TAG, Packing, Reader, Tree, Unpacking, Writer, tagged

__all__ = ["LARGEST", "READERS", "SMALLEST", "WRITERS", "is_utf8"]

# what DuckDB's JSON takes for an integer
SMALLEST, LARGEST = -(2**63), 2**64 - 1


def is_utf8(texts: Iterable[str]) -> bool:
    """Tell whether all texts are free of lone surrogates."""
    try:
        for text in texts:
            if not text.isascii():
                text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write_atom(_packing: Packing, value: Any, _path: str) -> Any:
    return value


def _write_str(packing: Packing, value: str, _path: str) -> Any:
    if not is_utf8((value,)):
        # "surrogatepass" writes what UTF-8 has no place for
        return tagged("str", **packing.binary("text", value.encode("utf-8", "surrogatepass")))
    if len(value) > packing.threshold:
        return tagged("str", **packing.binary("text", value.encode()))
    return value


def _read_str(unpacking: Unpacking, tree: Tree) -> str:
    return unpacking.binary(tree).decode("utf-8", "surrogatepass")


def _write_int(_packing: Packing, value: int, _path: str) -> Any:
    return value if SMALLEST <= value <= LARGEST else tagged("int", hex=hex(value))


def _read_int(_unpacking: Unpacking, tree: Tree) -> int:
    return int(tree["hex"], 16)


def _write_float(_packing: Packing, value: float, _path: str) -> Any:
    return value if math.isfinite(value) else tagged("float", value=repr(value))


def _read_float(_unpacking: Unpacking, tree: Tree) -> float:
    return float(tree["value"])


def _write_list(packing: Packing, value: list[Any], path: str) -> Any:
    return [packing.pack(item, f"{path}[{index}]") for index, item in enumerate(value)]


def _write_dict(packing: Packing, value: dict[Any, Any], path: str) -> Any:
    if TAG not in value and all(type(key) is str for key in value) and is_utf8(value):
        return {key: packing.pack(item, f"{path}[{key!r}]") for key, item in value.items()}
    # also what escapes a user's own "$nbflow" key
    items = [
        [packing.pack(key, f"key {key!r} of {path}"), packing.pack(item, f"{path}[{key!r}]")]
        for key, item in value.items()
    ]
    return tagged("dict", items=items)


def _read_dict(unpacking: Unpacking, tree: Tree) -> dict[Any, Any]:
    return {unpacking.unpack(key): unpacking.unpack(item) for key, item in tree["items"]}


WRITERS: dict[type, Writer] = {
    type(None): _write_atom,
    bool: _write_atom,
    str: _write_str,
    int: _write_int,
    float: _write_float,
    list: _write_list,
    dict: _write_dict,
}

READERS: dict[str, Reader] = {
    "str": _read_str,
    "int": _read_int,
    "float": _read_float,
    "dict": _read_dict,
}
