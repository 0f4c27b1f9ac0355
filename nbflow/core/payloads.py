"""Encoded values: what the event log keeps of arguments and results.

A payload is JSON text. Values that JSON can't hold are tagged inside it
(``{"$nbflow": ...}``); large or binary parts travel beside it as blobs, named by their
content hash. How values become payloads is the converter's business; core only asks it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Blob", "Converter", "JsonConverter", "Payload"]

_dumps: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes stored once, beside the events that refer to them.

    Parameters
    ----------
    sha256
        Hex digest of ``data``: its name.
    encoding
        What the bytes are: ``json``, ``arrow``, ``npy``, ``bytes`` or ``pickle``.
    data
        The bytes.
    """

    sha256: str
    encoding: str
    data: bytes


class Payload:
    """One encoded value.

    A payload comes either as the JSON text just written or as the JSON tree just read,
    and makes the other form only when asked.
    """

    __slots__ = ("_text", "_tree", "blobs")

    _UNREAD: Any = object()

    def __init__(self, text: str, blobs: tuple[Blob, ...] = ()) -> None:
        self._text: str | None = text
        self._tree: Any = Payload._UNREAD
        self.blobs = blobs

    @classmethod
    def of_tree(cls, tree: Any) -> Payload:
        """Wrap a JSON tree read from the log."""
        payload = cls.__new__(cls)
        payload._text = None  # noqa: SLF001  own class
        payload._tree = tree  # noqa: SLF001  own class
        payload.blobs = ()
        return payload

    @property
    def text(self) -> str:
        """The value as JSON text."""
        if self._text is None:
            self._text = _dumps(self._tree)
        return self._text

    @property
    def tree(self) -> Any:
        """The value as a JSON tree, shared between all who ask: to be read, not changed."""
        if self._tree is Payload._UNREAD:
            self._tree = json.loads(self._text or "null")
        return self._tree

    @property
    def is_parsed(self) -> bool:
        """True if the JSON tree is at hand, so that a decoder need not read the text."""
        return self._tree is not Payload._UNREAD

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Payload) and self.tree == other.tree

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        text = self.text
        return f"Payload({text if len(text) <= 80 else text[:77] + '...'})"


class Converter(Protocol):
    """What core needs of a codec: values to payloads and back."""

    def encode(self, value: Any) -> Payload:
        """Encode one value.

        Raises
        ------
        PayloadError
            When the value can't be encoded.
        """
        ...

    def decode(self, payload: Payload) -> Any:
        """Decode one value.

        Raises
        ------
        PayloadError
            When the payload can't be decoded here.
        """
        ...


class JsonConverter:
    """The plainest converter: JSON-native values only. For tests of core."""

    def encode(self, value: Any) -> Payload:
        """Encode a JSON-native value."""
        return Payload(json.dumps(value, separators=(",", ":")))

    def decode(self, payload: Payload) -> Any:
        """Decode a JSON-native value."""
        return json.loads(payload.text)
