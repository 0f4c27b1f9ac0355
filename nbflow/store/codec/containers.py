"""Containers that JSON does not have: tuples, sets, deques, and dicts of a class of their own."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from typing import Any

from nbflow.store.codec.kinds import Packing, Reader, Tree, Unpacking, Writer, tagged

__all__ = ["READERS", "WRITERS"]


def _write_tuple(packing: Packing, value: tuple[Any, ...], path: str) -> Tree:
    return tagged("tuple", items=[packing.pack(item, f"{path}[{index}]") for index, item in enumerate(value)])


def _write_set(packing: Packing, value: set[Any], path: str) -> Tree:
    trees = [packing.pack(item, f"an item of {path}") for item in value]
    # in an order of their own: equal sets get equal payloads in every process
    return tagged(type(value).__name__, items=sorted(trees, key=lambda tree: json.dumps(tree, sort_keys=True)))


def _write_deque(packing: Packing, value: deque[Any], path: str) -> Tree:
    items = [packing.pack(item, f"{path}[{index}]") for index, item in enumerate(value)]
    return tagged("deque", items=items, maxlen=value.maxlen)


def _read_deque(unpacking: Unpacking, tree: Tree) -> deque[Any]:
    return deque(map(unpacking.unpack, tree["items"]), tree["maxlen"])


def _write_mapping(packing: Packing, value: dict[Any, Any], path: str) -> Tree:
    items = [
        [packing.pack(key, f"key {key!r} of {path}"), packing.pack(item, f"{path}[{key!r}]")]
        for key, item in value.items()
    ]
    return tagged(type(value).__name__, items=items)


def _read_ordered_dict(unpacking: Unpacking, tree: Tree) -> OrderedDict[Any, Any]:
    return OrderedDict((unpacking.unpack(key), unpacking.unpack(item)) for key, item in tree["items"])


def _read_counter(unpacking: Unpacking, tree: Tree) -> Counter[Any]:
    return Counter({unpacking.unpack(key): unpacking.unpack(item) for key, item in tree["items"]})


def _reader_of(cls: type) -> Reader:
    return lambda unpacking, tree: cls(map(unpacking.unpack, tree["items"]))


WRITERS: dict[type, Writer] = {
    tuple: _write_tuple,
    set: _write_set,
    frozenset: _write_set,
    deque: _write_deque,
    OrderedDict: _write_mapping,
    Counter: _write_mapping,
}

READERS: dict[str, Reader] = {
    "tuple": _reader_of(tuple),
    "set": _reader_of(set),
    "frozenset": _reader_of(frozenset),
    "deque": _read_deque,
    "OrderedDict": _read_ordered_dict,
    "Counter": _read_counter,
}
