"""What all frozen records share: equality, hash and text over their fields, written once.

Dataclasses generate these methods for every class by compiling source, which cost a third of the
time that ``import nbflow`` takes.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

__all__ = ["Record"]


class Record:
    """Base of frozen dataclasses made with ``repr=False, eq=False``."""

    __slots__ = ()

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, f.name) for f in fields(self) if f.compare)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self._values() == other._values()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self))
        return f"{type(self).__name__}({shown})"
