"""The walk from a value to its JSON tree."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

from nbflow.core.payloads import Blob
from nbflow.store.codec import containers, errors, native, objects, pickles, scalars
from nbflow.store.codec.classes import ClassResolver
from nbflow.store.codec.families import family_writer
from nbflow.store.codec.keys import Keyring
from nbflow.store.codec.kinds import Tree, Writer

__all__ = ["Packer"]

_EXACT: dict[type, Writer] = {**native.WRITERS, **scalars.WRITERS, **containers.WRITERS}
_OTHERS: WeakKeyDictionary[type, Writer] = WeakKeyDictionary()


def _writer_for(kind: type) -> Writer:
    writer = _OTHERS.get(kind)
    if writer is None:
        writer = objects.writer_for(kind) or errors.writer_for(kind) or family_writer(kind) or pickles.write
        _OTHERS[kind] = writer
    return writer


class Packer:
    """Writes one value as a JSON tree, collecting its blobs.

    Parameters
    ----------
    blobs
        Gets the blobs, by hash.
    keys
        Gives the keyring when a pickle must be signed.
    classes
        Tells whether a class can be found again.
    threshold
        Bytes above which binary data becomes a blob.
    """

    def __init__(
        self, blobs: dict[str, Blob], keys: Callable[[], Keyring], classes: ClassResolver, threshold: int
    ) -> None:
        self.keys = keys
        self.classes = classes
        self._blobs = blobs
        self.threshold = threshold

    def pack(self, value: Any, path: str) -> Any:
        """Return the tree of a value; ``path`` names it in errors."""
        kind = type(value)
        return (_EXACT.get(kind) or _writer_for(kind))(self, value, path)

    def fields(self, values: Mapping[str, Any], path: str) -> Tree:
        """Return the trees of an object's attributes, by name."""
        return {name: self.pack(value, f"{path}.{name}") for name, value in values.items()}

    def binary(self, encoding: str, data: bytes) -> Tree:
        """Return the part of a tag that holds bytes, or refers to them."""
        if len(data) <= self.threshold:
            return {"base64": b64encode(data).decode("ascii")}
        digest = sha256(data).hexdigest()
        self._blobs[digest] = Blob(digest, encoding, data)
        return {"sha256": digest, "size": len(data)}
