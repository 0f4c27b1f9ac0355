"""Exceptions as values: what ``gather(..., return_exceptions=True)`` hands over, for one.

An exception's constructor may take anything, so it is not called: the object gets back the
``args`` and attributes that it had. Tracebacks stay behind.
"""

from __future__ import annotations

from typing import Any

from nbflow.store.codec.kinds import Packing, Reader, Tree, Unpacking, Writer, tagged

__all__ = ["READERS", "writer_for"]

_HEAP_TYPE = 1 << 9


def writer_for(kind: type) -> Writer | None:
    """Return what writes values of this class, if it is an exception."""
    return _write_exception if issubclass(kind, BaseException) else None


def _builtin_base(cls: type) -> Any:
    return next(base for base in cls.__mro__ if not base.__flags__ & _HEAP_TYPE)


def _write_exception(packing: Packing, value: BaseException, path: str) -> Tree:
    # OSError, ImportError and others keep more than `args`, and only their own __reduce__ tells all
    _, args, *rest = _builtin_base(type(value)).__reduce__(value)
    state = dict(rest[0]) if rest and rest[0] else {}
    # AttributeError and NameError hold on to the object that was looked at
    state.pop("obj", None)
    tree = tagged("exception", **{"class": packing.classes.checked_name(type(value), path)})
    tree["args"] = [packing.pack(item, f"{path}.args[{index}]") for index, item in enumerate(args)]
    if state:
        tree["state"] = packing.fields(state, path)
    for part in ("cause", "context"):
        other = getattr(value, f"__{part}__")
        if other is not None and other is not value:
            tree[part] = packing.pack(other, f"{path}.__{part}__")
    if value.__suppress_context__:
        tree["suppress_context"] = True
    return tree


def _read_exception(unpacking: Unpacking, tree: Tree) -> BaseException:
    cls: Any = unpacking.classes.find(tree["class"], lambda found: issubclass(found, BaseException))
    base = _builtin_base(cls)
    args = [unpacking.unpack(item) for item in tree["args"]]
    value: BaseException = base.__new__(cls, *args)
    base.__init__(value, *args)
    for name, part in tree.get("state", {}).items():
        setattr(value, name, unpacking.unpack(part))
    value.__cause__ = unpacking.unpack(tree.get("cause"))
    value.__context__ = unpacking.unpack(tree.get("context"))
    value.__suppress_context__ = tree.get("suppress_context", False)
    return value


READERS: dict[str, Reader] = {"exception": _read_exception}
