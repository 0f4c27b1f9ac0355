"""What all frozen records share, written once: construction, equality, hash, text, copies.

Dataclasses compile these methods for every class when it is made, which cost a third of the time that
``import nbflow`` takes. A record's ``__init__`` is compiled when the first instance is made, and fills
the slots past ``__setattr__``, which takes half the time of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, ClassVar, NoReturn, TypeVar, dataclass_transform

__all__ = ["Record", "record_type"]

T = TypeVar("T")


class Record:
    """Base of the classes that :func:`record_type` makes."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def _fields(self) -> tuple[Field[Any], ...]:
        return fields(self)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, f.name) for f in self._fields() if f.compare)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in self._fields())
        return f"{type(self).__name__}({shown})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        msg = f"cannot assign to field {name!r}"
        raise FrozenInstanceError(msg)

    def __delattr__(self, name: str) -> NoReturn:
        msg = f"cannot delete field {name!r}"
        raise FrozenInstanceError(msg)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), {f.name: getattr(self, f.name) for f in self._fields()})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def record_type(cls: type[T]) -> type[T]:
    """Make a frozen dataclass with slots and keyword-only parameters of a subclass of :class:`Record`."""
    made: Any = dataclass(init=False, repr=False, eq=False, match_args=False, slots=True, kw_only=True)(cls)
    made.__init__ = _first_init
    return made  # type: ignore[no-any-return]


def _first_init(self: Any, **values: Any) -> None:
    """Compile the class's ``__init__``, and go on with it."""
    cls = type(self)
    cls.__init__ = _compiled_init(cls)
    cls.__init__(self, **values)


def _compiled_init(cls: type[Record]) -> Callable[..., None]:
    names: dict[str, Any] = {"MISSING": MISSING}
    parameters, lines = [], []
    for f in fields(cls):
        names[f"set_{f.name}"] = getattr(cls, f.name).__set__
        value = f.name
        if f.default_factory is not MISSING:
            names[f"make_{f.name}"] = f.default_factory
            parameters.append(f"{f.name}=MISSING")
            value = f"make_{f.name}() if {f.name} is MISSING else {f.name}"
        elif f.default is not MISSING:
            names[f"default_{f.name}"] = f.default
            parameters.append(f"{f.name}=default_{f.name}")
        else:
            parameters.append(f.name)
        lines.append(f"    set_{f.name}(self, {value})\n")
    exec(f"def __init__(self, *, {', '.join(parameters)}):\n{''.join(lines)}", names)  # noqa: S102  as dataclasses do
    init: Callable[..., None] = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _rebuilt(cls: type[Record], values: dict[str, Any]) -> Record:
    return cls(**values)
