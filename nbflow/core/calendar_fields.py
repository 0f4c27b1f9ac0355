"""The fields of a calendar as people write them: ``9``, ``"MON-FRI"``, ``"*/15"``, ``"1,15"``, ``[1, 15]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from nbflow.exceptions import ConfigurationError

__all__ = ["FIELDS", "parse_field"]

FIELDS: dict[str, tuple[int, int]] = {
    "second": (0, 59),
    "minute": (0, 59),
    "hour": (0, 23),
    "day_of_month": (1, 31),
    "month": (1, 12),
    "day_of_week": (0, 6),
    "year": (1970, 2199),
}
"""The least and the greatest value of each."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONG = {
    *("january", "february", "march", "april", "june", "july", "august", "september", "october", "november"),
    *("december", "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
}
_NAMES: dict[str, dict[str, int]] = {
    "month": {name: number for number, name in enumerate(_MONTHS, 1)},
    "day_of_week": {name: number for number, name in enumerate(_DAYS)},
}
_EXAMPLES = {
    "day_of_week": "MON, MON-FRI, 1-5 (0 and 7 are Sunday)",
    "month": "JAN, JUN-AUG, 1-12",
}
_ITEM = re.compile(r"(?P<first>\*|\?|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>\d+))?")


def parse_field(field: str, value: object) -> tuple[int, ...]:
    """Read the values of one field.

    Parameters
    ----------
    field
        One of :data:`FIELDS`.
    value
        A number, text in the manner of cron, or a list of such.

    Returns
    -------
    tuple of int
        Sorted; of the field ``year``, empty for every year.

    Raises
    ------
    ConfigurationError
        When it is no such value.
    """
    if isinstance(value, str):
        items: Iterable[object] = value.split(",")
    elif isinstance(value, Iterable):
        items = [part for item in value for part in (item.split(",") if isinstance(item, str) else [item])]
    else:
        items = [value]
    if field == "year" and any(str(item).strip() in ("*", "?") for item in items):
        return ()
    found = {number for item in items for number in _numbers(field, item)}
    if not found:
        msg = f"{field} has no value; leave it out, or write {_example(field)}"
        raise ConfigurationError(msg)
    return tuple(sorted(found))


def _numbers(field: str, item: object) -> Iterator[int]:
    least, greatest = FIELDS[field]
    text = str(item).strip()
    match = _ITEM.fullmatch(text)
    if match is None or isinstance(item, (bool, float)):
        raise _error(field, text)
    step = int(match["step"] or 1)
    if step < 1:
        msg = f"{field} can't go in steps of 0: {text!r}; write {_example(field)}"
        raise ConfigurationError(msg)
    if match["first"] in ("*", "?"):
        if match["last"] is not None:
            raise _error(field, text)
        first, last = least, greatest
    else:
        first = _number(field, match["first"], text)
        last = _number(field, match["last"], text) if match["last"] else greatest if match["step"] else first
        if field == "day_of_week" and match["last"] and last < first and last == 0:
            last = 7
    if last < first:
        msg = f"{field} goes backwards in {text!r}; write {match['first']} to the end and the rest apart, with a comma"
        raise ConfigurationError(msg)
    for number in range(first, last + 1, step):
        yield number % 7 if field == "day_of_week" else number


def _number(field: str, word: str, text: str) -> int:
    least, greatest = FIELDS[field]
    if word.isdecimal() and word.isascii():
        number = int(word)
        if least <= number <= greatest or (field == "day_of_week" and number == 7):
            return number
        raise _error(field, text)
    name = word.lower()
    known = _NAMES.get(field, {})
    if name in known:
        return known[name]
    if name in _LONG and name[:3] in known:
        return known[name[:3]]
    raise _error(field, text)


def _error(field: str, text: str) -> ConfigurationError:
    least, greatest = FIELDS[field]
    return ConfigurationError(
        f"{field} can't be {text!r}: it goes from {least} to {greatest}; write for example {_example(field)}"
    )


def _example(field: str) -> str:
    least, greatest = FIELDS[field]
    return _EXAMPLES.get(field, f"{least}, {least}-{greatest}, */5, or a list")
