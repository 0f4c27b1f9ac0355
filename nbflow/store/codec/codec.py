"""The converter that engine and core use.

A value of JSON's own types becomes plain JSON. Anything else is tagged inside the JSON as
``{"$nbflow": kind, ...}``, so that SQL can read it; bytes of a foreign format (Arrow, npy,
pickle) stand in it as base64, or beside it as a blob when there are more than 256 KiB of them.
What is encoded is a snapshot: changing the value later changes nothing recorded, and each
decoding gives a new value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from json import encoder as json_encoder
from typing import Any

from nbflow.core.payloads import Blob, Payload
from nbflow.exceptions import PayloadError
from nbflow.store.codec.classes import ClassResolver
from nbflow.store.codec.keys import Keyring, user_keyring
from nbflow.store.codec.kinds import TAG
from nbflow.store.codec.native import LARGEST, SMALLEST
from nbflow.store.codec.packing import Packer
from nbflow.store.codec.unpacking import Unpacker

__all__ = ["BLOB_THRESHOLD", "Codec"]

BLOB_THRESHOLD = 256 * 1024
"""Bytes: a value whose encoding is larger is stored once, by its content hash."""

_SURE_ATOMS = frozenset({str, bool, float, type(None)})
_ATOMS = _SURE_ATOMS | {int}
_STRINGS = frozenset({str})
_INTEGERS = {int}
#: From so many items on, looking at the set of their types is faster than looking at each.
_MANY = 16
_TAG_TEXT = f'"{TAG}"'


def _make_dumps() -> Callable[[Any], str]:
    """Build the JSON writer once: JSONEncoder.encode builds a new one at each call, for twice the time."""
    plain = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    make = getattr(json_encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    write = make(None, plain.default, json_encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(write(value, 0))


_dumps = _make_dumps()
# what json.loads calls, past its handling of white space that we never write
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class Codec:
    """Encodes and decodes values for one store.

    Parameters
    ----------
    load_blob
        Fetches a stored value's encoding and bytes by its hash, as ``Reader.blob`` does.
    key
        The key or keyring that signs pickles; the user's own when left out, read when first needed.
    resolve_class
        Finds classes that ``__main__`` does not have, by module and qualified name.
    """

    def __init__(
        self,
        load_blob: Callable[[str], tuple[str, bytes]] | None = None,
        key: bytes | Keyring | None = None,
        *,
        resolve_class: Callable[[str, str], type | None] | None = None,
    ) -> None:
        self._load_blob = load_blob
        self._given_key = key
        self._keyring: Keyring | None = None
        self._classes = ClassResolver(resolve_class)

    @property
    def resolve_class(self) -> Callable[[str, str], type | None] | None:
        """The hook that finds classes which ``__main__`` does not have."""
        return self._classes.hook

    @resolve_class.setter
    def resolve_class(self, hook: Callable[[str, str], type | None] | None) -> None:
        self._classes.hook = hook

    def encode(self, value: Any, name: str = "value") -> Payload:
        """Encode one value.

        Parameters
        ----------
        value
            The value.
        name
            What to call it in an error.

        Returns
        -------
        Payload
            JSON text, and the blobs that belong to it.

        Raises
        ------
        PayloadError
            When a part of it can't be encoded; the message names the part.
        """
        text = _plain_text(value)
        if text is not None and len(text) <= BLOB_THRESHOLD:
            return Payload(text)
        blobs: dict[str, Blob] = {}
        if text is None:
            text = self._tagged_text(value, name, blobs)
        if len(text) > BLOB_THRESHOLD:
            data = text.encode()
            digest = sha256(data).hexdigest()
            blobs[digest] = Blob(digest, "json", data)
            text = _dumps({TAG: "json", "sha256": digest, "size": len(data)})
        return Payload(text, tuple(blobs.values()))

    def _tagged_text(self, value: Any, name: str, blobs: dict[str, Blob]) -> str:
        packer = Packer(blobs, self._keys, self._classes, BLOB_THRESHOLD)
        try:
            return _dumps(packer.pack(value, name))
        except RecursionError:
            msg = f"{name} contains itself, or is nested too deeply to be stored; pass a flat value, or a file's path"
            raise PayloadError(msg) from None

    def decode(self, payload: Payload) -> Any:
        """Decode one value.

        Parameters
        ----------
        payload
            From :meth:`encode`, or from a history.

        Returns
        -------
        Any
            A new value.

        Raises
        ------
        UntrustedPayloadError
            When it holds a pickle that was not signed with a key of this user.
        PayloadError
            When a class or library that it needs is missing.
        """
        if payload.is_parsed:
            tree = payload.tree
            # a tree is shared by all who ask; what is handed out must be nobody else's
            return tree if type(tree) in _ATOMS else self._unpacker(payload).unpack(tree)
        return self._decode_text(payload.text, payload)

    def _decode_text(self, text: str, payload: Payload) -> Any:
        if _TAG_TEXT in text:
            return self._unpacker(payload).unpack(json.loads(text))
        try:
            value, end = _scan(text, 0)
            if end == len(text):
                return value
        except StopIteration:
            pass
        # anything but one value that fills the text: let the full parser judge
        return json.loads(text)

    def _unpacker(self, payload: Payload) -> Unpacker:
        fresh = {blob.sha256: blob for blob in payload.blobs}

        def load(digest: str) -> bytes:
            blob = fresh.get(digest)
            if blob is not None:
                return blob.data
            if self._load_blob is None:
                msg = f"value {digest} lies in a store, and this codec has none to read it from"
                raise PayloadError(msg)
            return self._load_blob(digest)[1]

        return Unpacker(load, self._keys, self._classes)

    def _keys(self) -> Keyring:
        if self._keyring is None:
            given = self._given_key
            if given is None:
                self._keyring = user_keyring()
            else:
                self._keyring = Keyring(given) if isinstance(given, bytes) else given
        return self._keyring


def _plain_text(value: Any) -> str | None:
    """Write a value as plain JSON, or return None when that would not give it back."""
    try:
        if not _are_plain((value,)):
            return None
        text = _dumps(value)
        if not text.isascii():
            text.encode()
    except (ValueError, RecursionError):
        # nan, infinity, a lone surrogate, a cycle: the packer tags it or says what is wrong
        return None
    return text


def _are_plain(parts: Iterable[Any]) -> bool:
    """Tell whether JSON gives all parts back as they are, and none is a text that had better be a blob."""
    for part in parts:
        kind = type(part)
        if kind is str:
            if len(part) > BLOB_THRESHOLD:
                return False
        elif kind is int:
            if not SMALLEST <= part <= LARGEST:
                return False
        elif kind is dict:
            if TAG in part or not _STRINGS.issuperset(map(type, part)):
                return False
            if not _are_plain(part.values()):
                return False
        elif kind is list:
            if not (_are_plain(part) if len(part) <= _MANY else _many_are_plain(part)):
                return False
        elif kind not in _SURE_ATOMS:
            return False
    return True


def _many_are_plain(parts: list[Any]) -> bool:
    kinds = set(map(type, parts))
    if kinds <= _SURE_ATOMS:
        return True
    if kinds == _INTEGERS:
        return bool(min(parts) >= SMALLEST and max(parts) <= LARGEST)
    return _are_plain(parts)
