"""What all frozen records share: equality, hash and text over their fields, written once.

Dataclasses generate these methods for every class by compiling source, which cost a third of the
time that ``import nbflow`` takes.
"""

from __future__ import annotations

from dataclasses import Field
from typing import Any, ClassVar

__all__ = ["Record"]


class Record:
    """Base of frozen dataclasses made with ``repr=False, eq=False``."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def _fields(self) -> list[Field[Any]]:
        return [f for f in type(self).__dataclass_fields__.values() if not str(f.type).startswith("ClassVar")]

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, f.name) for f in self._fields() if f.compare)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in self._fields())
        return f"{type(self).__name__}({shown})"
