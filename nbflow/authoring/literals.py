"""Plain values as Python literals: what a definition keeps of the constants it uses."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["is_mutable", "literal"]

_LARGEST = 65536
_MUTABLE = (list, dict, set)


def is_mutable(value: Any) -> bool:
    """Say whether a plain value may change while its identity stays."""
    return type(value) in _MUTABLE


def literal(value: Any) -> str | None:
    """Write a plain value so that ``ast.literal_eval`` reads it back, the same text in every process.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    str or None
        None if it is not plain, or too large to be kept as a constant.
    """
    try:
        text = _write(value)
    except (_NotPlainError, RecursionError):
        return None
    return text if len(text) <= _LARGEST else None


class _NotPlainError(Exception):
    """The value has a part that no literal stands for."""


def _write(value: Any) -> str:
    kind = type(value)
    if value is None or kind in (int, bool, str, bytes) or (kind is float and math.isfinite(value)):
        return repr(value)
    if kind is complex and math.isfinite(value.real) and math.isfinite(value.imag):
        return repr(value)
    if kind not in (list, tuple, set, dict) or len(value) > _LARGEST:
        raise _NotPlainError
    if kind is dict:
        return "{" + ", ".join(f"{_write(key)}: {_write(item)}" for key, item in value.items()) + "}"
    items = [_write(item) for item in value]
    if kind is list:
        return f"[{', '.join(items)}]"
    if kind is tuple:
        return f"({', '.join(items)}{',' * (len(items) == 1)})"
    return "{" + ", ".join(sorted(items)) + "}" if items else "set()"
