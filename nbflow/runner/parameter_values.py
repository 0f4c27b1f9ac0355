"""Values of parameters: held against the type expected, and written as code.

A value comes as text (from the command line) or already typed (from JSON or YAML). Text is read by the type that is
expected, so ``zip: str`` keeps ``007``; a typed value is converted only where nothing is lost.
"""

from __future__ import annotations

import ast
import datetime as dt
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from nbflow.runner.parameter_types import ANYTHING, Expected

_NONE_WORDS = {"none", "null"}
_BOOL_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
# no leading zeros: 007 is somebody's name for something, not a number
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9_]*)")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class MismatchError(Exception):
    """A value is not of the type expected; for this module and its callers in `parameters`."""


@dataclass(frozen=True)
class Given:
    """A value as it was given.

    Parameters
    ----------
    value
        The value, or its text.
    is_text
        True if ``value`` is text still to be read by the expected type.
    """

    value: Any
    is_text: bool = False


@dataclass(frozen=True)
class Bound:
    """A value that fits, ready for the notebook.

    Parameters
    ----------
    code
        A Python expression for it.
    plain
        The same as a JSON value, for metadata.
    """

    code: str
    plain: Any


def fit(expected: Expected, given: Given) -> Bound:
    """Read, convert or refuse a value.

    Raises
    ------
    MismatchError
        If the value is not, and can't be taken for, a value of this type.
    """
    return _FITTERS.get(expected.name, _fit_anything)(expected, given)


def code_of(value: Any) -> str:
    """Write a plain value as a Python expression."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, list):
        return "[" + ", ".join(code_of(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{code_of(key)}: {code_of(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _plain(value: Any) -> Bound:
    return Bound(code_of(value), value)


def guess(text: str) -> Any:
    """Read text when nothing says what it should be."""
    if text.lower() in _NONE_WORDS:
        return None
    if text in {"true", "True"}:
        return True
    if text in {"false", "False"}:
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and not re.fullmatch(r"[+-]?0[0-9]+", text):
        return float(text)
    if text[:1] in {"[", "{"}:
        try:
            return _container(text)
        except MismatchError:
            return text
    return text


def _container(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise MismatchError(text) from None


def _fit_anything(_expected: Expected, given: Given) -> Bound:
    value = guess(given.value) if given.is_text else given.value
    if isinstance(value, dt.date | dt.time | dt.timedelta):  # YAML has these, an undeclared name has no class for them
        value = str(value)
    return _plain(value)


def _fit_none(_expected: Expected, given: Given) -> Bound:
    if given.value is None or (given.is_text and given.value.lower() in _NONE_WORDS):
        return _plain(None)
    raise MismatchError


def _fit_bool(_expected: Expected, given: Given) -> Bound:
    if isinstance(given.value, bool):
        return _plain(given.value)
    if isinstance(given.value, str) and given.value.strip().lower() in _BOOL_WORDS:
        return _plain(_BOOL_WORDS[given.value.strip().lower()])
    raise MismatchError


def _fit_int(_expected: Expected, given: Given) -> Bound:
    value = given.value
    if isinstance(value, bool):
        raise MismatchError
    if isinstance(value, int):
        return _plain(value)
    if isinstance(value, float) and value.is_integer():
        return _plain(int(value))
    if isinstance(value, str):
        try:
            return _plain(int(value))
        except ValueError:
            pass
    raise MismatchError


def _fit_float(_expected: Expected, given: Given) -> Bound:
    value = given.value
    if isinstance(value, bool):
        raise MismatchError
    if isinstance(value, int | float | str):
        try:
            return _plain(float(value))
        except (ValueError, OverflowError):
            pass
    raise MismatchError


def _fit_str(_expected: Expected, given: Given) -> Bound:
    if isinstance(given.value, str):
        return _plain(given.value)
    raise MismatchError  # YAML has turned 1.10 into 1.1 already: the text that was meant is lost


def _fit_literal(expected: Expected, given: Given) -> Bound:
    for choice in expected.choices:
        same = type(choice) is type(given.value) and choice == given.value
        if same or (given.is_text and str(choice) == given.value):
            return _plain(choice)
    raise MismatchError


def _fit_union(expected: Expected, given: Given) -> Bound:
    # str takes any text, so it comes last, as None comes first
    rank = {"None": 0, "str": 2, "": 3}
    for member in sorted(expected.members, key=lambda it: rank.get(it.name, 1)):
        if not given.is_text and type(given.value).__name__ == member.name:
            return fit(member, given)
    for member in sorted(expected.members, key=lambda it: rank.get(it.name, 1)):
        try:
            return fit(member, given)
        except MismatchError:
            continue
    raise MismatchError


def _fit_sequence(expected: Expected, given: Given) -> Bound:
    value = _container(given.value) if given.is_text else given.value
    if not isinstance(value, list | tuple | set | frozenset):
        raise MismatchError
    items = [fit(_item_type(expected, place, len(value)), Given(item)) for place, item in enumerate(value)]
    inside = ", ".join(item.code for item in items)
    code = {
        "list": f"[{inside}]",
        "tuple": f"({inside},)" if len(items) == 1 else f"({inside})",
        "set": f"{{{inside}}}" if items else "set()",
        "frozenset": f"frozenset({{{inside}}})" if items else "frozenset()",
    }[expected.name]
    return Bound(code, [item.plain for item in items])


def _item_type(expected: Expected, place: int, count: int) -> Expected:
    members = expected.members
    if not members:
        return ANYTHING
    if expected.name != "tuple" or (len(members) == 2 and members[1].source in {"...", "Ellipsis"}):
        return members[0]
    if len(members) != count:
        raise MismatchError
    return members[place]


def _fit_dict(expected: Expected, given: Given) -> Bound:
    value = _container(given.value) if given.is_text else given.value
    if not isinstance(value, dict):
        raise MismatchError
    key_type, item_type = expected.members if len(expected.members) == 2 else (ANYTHING, ANYTHING)
    # JSON's keys are always text, whatever they stand for
    from_text = key_type.name in {"int", "float"}
    keys = [fit(key_type, Given(key, is_text=from_text and isinstance(key, str))) for key in value]
    items = [fit(item_type, Given(item)) for item in value.values()]
    pairs = zip(keys, items, strict=True)
    code = "{" + ", ".join(f"{key.code}: {item.code}" for key, item in pairs) + "}"
    return Bound(code, {str(key.plain): item.plain for key, item in zip(keys, items, strict=True)})


def _iso(cls: type[dt.date | dt.time]) -> Callable[[Expected, Given], Bound]:
    def read(expected: Expected, given: Given) -> Bound:
        value = given.value
        if isinstance(value, str):
            try:
                value = cls.fromisoformat(value.strip())
            except ValueError:
                raise MismatchError from None
        if type(value) is dt.date and cls is dt.datetime:
            value = dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001  as naive as it was given
        if type(value) is not cls:
            raise MismatchError
        return Bound(f"{expected.source}.fromisoformat({value.isoformat()!r})", value.isoformat())

    return read


def _fit_timedelta(expected: Expected, given: Given) -> Bound:
    if isinstance(given.value, dt.timedelta):
        seconds = given.value.total_seconds()
    else:
        seconds = float(_fit_float(expected, given).plain)
    if not math.isfinite(seconds):
        raise MismatchError
    return Bound(f"{expected.source}(seconds={seconds!r})", seconds)


def _built_from_text(check: Callable[[str], Any], *failures: type[Exception]) -> Callable[[Expected, Given], Bound]:
    def read(expected: Expected, given: Given) -> Bound:
        if isinstance(given.value, bool) or not isinstance(given.value, str | int | float):
            raise MismatchError
        text = str(given.value)
        try:
            check(text)
        except failures:
            raise MismatchError from None
        return Bound(f"{expected.source}({text!r})", text)

    return read


_FITTERS: dict[str, Callable[[Expected, Given], Bound]] = {
    "None": _fit_none,
    "bool": _fit_bool,
    "int": _fit_int,
    "float": _fit_float,
    "str": _fit_str,
    "Literal": _fit_literal,
    "Union": _fit_union,
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), _fit_sequence),
    "dict": _fit_dict,
    "date": _iso(dt.date),
    "datetime": _iso(dt.datetime),
    "time": _iso(dt.time),
    "timedelta": _fit_timedelta,
    "Decimal": _built_from_text(Decimal, InvalidOperation),
    "UUID": _built_from_text(UUID, ValueError),
    "Path": _built_from_text(str, ValueError),
}
