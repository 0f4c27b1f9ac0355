"""Objects by their attributes: enums, dataclasses, named tuples, pydantic models."""

from __future__ import annotations

import dataclasses
import sys
from enum import Enum, Flag
from typing import Any

from nbflow.exceptions import PayloadError
from nbflow.store.codec.kinds import Packing, Reader, Tree, Unpacking, Writer, tagged

__all__ = ["READERS", "writer_for"]


def writer_for(kind: type) -> Writer | None:
    """Return what writes values of this class, if it is of a sort known here."""
    if issubclass(kind, Enum):
        return _write_enum
    if _is_named_tuple(kind):
        return _write_named_tuple
    if _is_plain_dataclass(kind):
        return _write_dataclass
    if _is_pydantic(kind):
        return _write_pydantic
    return None


def _named(packing: Packing, kind: str, value: Any, path: str, /, **parts: Any) -> Tree:
    return tagged(kind, **{"class": packing.classes.checked_name(type(value), path)}, **parts)


def _write_enum(packing: Packing, value: Enum, path: str) -> Tree:
    # the value is for people who read it in SQL; the name finds the member again
    shown = value.value if type(value.value) in (str, int, float, bool) else None
    return _named(packing, "enum", value, path, name=value.name, value=packing.pack(shown, path))


def _read_enum(unpacking: Unpacking, tree: Tree) -> Enum:
    cls: Any = unpacking.classes.find(tree["class"], lambda found: issubclass(found, Enum))
    try:
        found: Enum = cls(unpacking.unpack(tree["value"])) if issubclass(cls, Flag) else cls[tree["name"]]
    except (KeyError, ValueError):
        msg = f"a recorded value is {tree['class']}.{tree['name']}, which that enum no longer has; put the member back"
        raise PayloadError(msg) from None
    return found


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_make")


def _write_named_tuple(packing: Packing, value: Any, path: str) -> Tree:
    fields = dict(zip(value._fields, value, strict=True))
    return _named(packing, "namedtuple", value, path, fields=packing.fields(fields, path))


def _read_named_tuple(unpacking: Unpacking, tree: Tree) -> Any:
    cls: Any = unpacking.classes.find(tree["class"], _is_named_tuple)
    fields = {name: unpacking.unpack(part) for name, part in tree["fields"].items()}
    if tuple(fields) == cls._fields:
        return cls._make(fields.values())
    known = {name: part for name, part in fields.items() if name in cls._fields}
    missing = [name for name in cls._fields if name not in known and name not in cls._field_defaults]
    _refuse_missing(tree["class"], missing)
    return cls(**known)


def _is_plain_dataclass(kind: type) -> bool:
    if not dataclasses.is_dataclass(kind):
        return False
    try:
        object.__new__(kind)
    except TypeError:
        # it is also a dict, an int …, and has more to it than its fields
        return False
    return True


def _write_dataclass(packing: Packing, value: Any, path: str) -> Tree:
    names = [field.name for field in dataclasses.fields(value)]
    fields = {name: getattr(value, name) for name in names if hasattr(value, name)}
    extra = {name: part for name, part in getattr(value, "__dict__", {}).items() if name not in names}
    parts = {"extra": packing.fields(extra, path)} if extra else {}
    return _named(packing, "dataclass", value, path, fields=packing.fields(fields, path), **parts)


def _read_dataclass(unpacking: Unpacking, tree: Tree) -> Any:
    cls: Any = unpacking.classes.find(tree["class"], _is_plain_dataclass)
    value: Any = object.__new__(cls)
    stored, missing = tree["fields"], []
    for field in dataclasses.fields(cls):
        if field.name in stored:
            part = unpacking.unpack(stored[field.name])
        elif field.default is not dataclasses.MISSING:
            part = field.default
        elif field.default_factory is not dataclasses.MISSING:
            part = field.default_factory()
        else:
            missing.append(field.name)
            continue
        object.__setattr__(value, field.name, part)
    _refuse_missing(tree["class"], missing)
    for name, part in tree.get("extra", {}).items():
        object.__setattr__(value, name, unpacking.unpack(part))
    return value


def _refuse_missing(name: str, missing: list[str]) -> None:
    if missing:
        msg = f"a recorded {name} has no {', '.join(missing)}, which the class now requires; give it a default"
        raise PayloadError(msg)


def _is_pydantic(kind: type) -> bool:
    pydantic: Any = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _write_pydantic(packing: Packing, value: Any, path: str) -> Tree:
    parts: Tree = {"fields": packing.fields(value.__dict__, path), "set": sorted(value.__pydantic_fields_set__)}
    for part, attribute in (("extra", "__pydantic_extra__"), ("private", "__pydantic_private__")):
        held = getattr(value, attribute, None)
        if held is not None:
            parts[part] = packing.pack(dict(held), path)
    return _named(packing, "pydantic", value, path, **parts)


def _read_pydantic(unpacking: Unpacking, tree: Tree) -> Any:
    cls: Any = unpacking.classes.find(tree["class"], _is_pydantic)
    fields = {name: unpacking.unpack(part) for name, part in tree["fields"].items()}
    missing = []
    for name, field in cls.model_fields.items():
        if name not in fields:
            if field.is_required():
                missing.append(name)
            else:
                fields[name] = field.get_default(call_default_factory=True)
    _refuse_missing(tree["class"], missing)
    value = cls.__new__(cls)
    value.__setstate__(
        {
            "__dict__": fields,
            "__pydantic_fields_set__": set(tree["set"]),
            "__pydantic_extra__": unpacking.unpack(tree.get("extra")),
            "__pydantic_private__": unpacking.unpack(tree.get("private")),
        }
    )
    return value


READERS: dict[str, Reader] = {
    "enum": _read_enum,
    "namedtuple": _read_named_tuple,
    "dataclass": _read_dataclass,
    "pydantic": _read_pydantic,
}
