"""The walk from a JSON tree back to a value. The tree is never handed out: what comes back is new."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any

from nbflow.exceptions import PayloadError
from nbflow.store.codec import containers, errors, native, objects, pickles, scalars
from nbflow.store.codec.classes import ClassResolver
from nbflow.store.codec.families import family_reader
from nbflow.store.codec.keys import Keyring
from nbflow.store.codec.kinds import TAG, Reader, Tree, Unpacking

__all__ = ["Unpacker"]

_ATOMS = frozenset({str, int, bool, float, type(None)})


def _read_json(unpacking: Unpacking, tree: Tree) -> Any:
    return unpacking.unpack(json.loads(unpacking.binary(tree)))


_READERS: dict[str, Reader] = {
    "json": _read_json,
    **native.READERS,
    **scalars.READERS,
    **containers.READERS,
    **objects.READERS,
    **errors.READERS,
    **pickles.READERS,
}


class Unpacker:
    """Reads one value from its JSON tree.

    Parameters
    ----------
    load
        Fetches a blob's bytes by its hash.
    keys
        Gives the keyring when a pickle's signature must be checked.
    classes
        Finds classes.
    """

    def __init__(self, load: Callable[[str], bytes], keys: Callable[[], Keyring], classes: ClassResolver) -> None:
        self.keys = keys
        self.classes = classes
        self._load = load

    def unpack(self, tree: Any) -> Any:
        """Return the value of a tree."""
        kind = type(tree)
        if kind is list:
            return tree[:] if _ATOMS.issuperset(map(type, tree)) else [self.unpack(item) for item in tree]
        if kind is not dict:
            return tree
        if TAG in tree:
            return self._tagged(tree)
        if _ATOMS.issuperset(map(type, tree.values())):
            return tree.copy()
        return {key: self.unpack(item) for key, item in tree.items()}

    def _tagged(self, tree: Tree) -> Any:
        kind = tree[TAG]
        reader = _READERS.get(kind) or family_reader(kind)
        if reader is None:
            msg = f"a recorded value is of the unknown kind {kind!r}; a newer nbflow may have written it: upgrade"
            raise PayloadError(msg)
        return reader(self, tree)

    def binary(self, tree: Tree) -> bytes:
        """Return the bytes that a tag holds or refers to."""
        held = tree.get("base64")
        return self._load(tree["sha256"]) if held is None else b64decode(held)
