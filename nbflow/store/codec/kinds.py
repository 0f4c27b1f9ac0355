"""What the families of values share: the tag, and what the two walks offer them.

Each family is a module with ``WRITERS`` (by type) and ``READERS`` (by kind), so that the two
directions of one kind stand side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from nbflow.store.codec.classes import ClassResolver
from nbflow.store.codec.keys import Keyring

__all__ = ["TAG", "Packing", "Reader", "Tree", "Unpacking", "Writer", "tagged"]

TAG = "$nbflow"

Tree: TypeAlias = dict[str, Any]


class Packing(Protocol):
    """The walk from a value to its JSON tree."""

    classes: ClassResolver
    keys: Callable[[], Keyring]
    #: bytes above which something is stored beside the JSON
    threshold: int

    def pack(self, value: Any, path: str) -> Any:
        """Return the tree of a part; ``path`` names it in errors."""
        ...

    def fields(self, values: Mapping[str, Any], path: str) -> Tree:
        """Return the trees of an object's attributes, by name."""
        ...

    def binary(self, encoding: str, data: bytes) -> Tree:
        """Return the part of a tag that holds bytes, or refers to them."""
        ...


class Unpacking(Protocol):
    """The walk from a JSON tree back to the value."""

    classes: ClassResolver
    keys: Callable[[], Keyring]

    def unpack(self, tree: Any) -> Any:
        """Return the value of a part."""
        ...

    def binary(self, tree: Tree) -> bytes:
        """Return the bytes that a tag holds or refers to."""
        ...


Writer: TypeAlias = Callable[[Packing, Any, str], Any]
Reader: TypeAlias = Callable[[Unpacking, Tree], Any]


def tagged(kind: str, /, **parts: Any) -> Tree:
    """Return a tag."""
    return {TAG: kind, **parts}
