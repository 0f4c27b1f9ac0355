"""Search attributes: the few kinds of values that SQL can ask executions by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from nbflow.exceptions import ConfigurationError

__all__ = ["CHANGE_VERSION", "checked_search_attributes"]

CHANGE_VERSION = "TemporalChangeVersion"
"""The search attribute that lists the patches an execution runs with."""


def checked_search_attributes(given: object, *, may_remove: bool = False) -> dict[str, Any]:
    """Check search attributes, and write their values as JSON has them.

    Parameters
    ----------
    given
        Text, numbers, bools, datetimes with a time zone, dates, and lists of text, by name.
    may_remove
        True if None is allowed: it takes an attribute away.

    Returns
    -------
    dict
        The same, with datetimes as ISO 8601 text in UTC and tuples as lists.

    Raises
    ------
    ConfigurationError
        When a name or a value is none of these.
    """
    if not isinstance(given, Mapping) or not all(isinstance(name, str) and name for name in given):
        msg = f"search_attributes must be a dict with text as keys, not {given!r}"
        raise ConfigurationError(msg)
    return {name: None if may_remove and value is None else _checked(name, value) for name, value in given.items()}


def _checked(name: str, value: Any) -> Any:
    match value:
        case str() | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat()
        case date() if not isinstance(value, datetime):
            return value.isoformat()
        case list() | tuple() if all(isinstance(item, str) for item in value):
            return list(value)
    hint = "; give it a time zone" if isinstance(value, datetime) else ""
    msg = (
        f"search_attributes[{name!r}] must be text, a number, a bool, a datetime, a date or a list of text, "
        f"not {value!r}{hint}"
    )
    raise ConfigurationError(msg)
