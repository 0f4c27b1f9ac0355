"""The options on the line of a mark: ``%%activity --retry 5 --start-to-close-timeout 30s``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal

from nbflow.core.options import ActivityDefinitionOptions, WorkflowOptions
from nbflow.core.retry import RetryPolicy
from nbflow.exceptions import ConfigurationError
from nbflow.notebook.arguments import Arguments

__all__ = ["Mark", "option_names", "read_mark_options"]

Mark = Literal["workflow", "activity"]

_OPTIONS: dict[Mark, type[ActivityDefinitionOptions | WorkflowOptions]] = {
    "workflow": WorkflowOptions,
    "activity": ActivityDefinitionOptions,
}


def option_names(kind: Mark) -> list[str]:
    """Name the options that a mark takes, as they are written on its line.

    Parameters
    ----------
    kind
        Which mark.
    """
    return sorted("--" + field.name.replace("_", "-") for field in fields(_OPTIONS[kind]))


def read_mark_options(kind: Mark, line: str) -> dict[str, Any]:
    """Read the line of a mark into the arguments of its decorator.

    Parameters
    ----------
    kind
        Which mark.
    line
        What follows it, up to the end of the line.

    Returns
    -------
    dict
        Checked; ready for ``workflow(**it)`` or ``activity(**it)``.

    Raises
    ------
    ConfigurationError
        When an option is unknown, or its value makes no sense.
    """
    fields_by_option = _fields_by_option(kind)
    arguments = Arguments(line, {}, f"write options as in: %%{kind} --name value")
    try:
        given = arguments.options(fields_by_option)
        if not arguments.rest.startswith("#"):
            arguments.end()
        options = {}
        for option, text in given.items():
            name = fields_by_option[option]
            options[name] = _value(option, name, text)
        _OPTIONS[kind].read(options)
    except ConfigurationError as error:
        msg = f"%%{kind}: {error}"
        raise ConfigurationError(msg) from None
    return options


def _fields_by_option(kind: Mark) -> dict[str, str]:
    """Return the decorator's name of each option; timeouts may be written without ``-timeout``."""
    names = {option[2:]: option[2:].replace("-", "_") for option in option_names(kind)}
    if kind == "activity":
        names |= {option.removesuffix("-timeout"): name for option, name in names.items()}
    return names


def _value(option: str, name: str, text: str) -> Any:
    read, wanted = _READERS.get(name, (str, ""))
    try:
        return read(text)
    except (TypeError, ValueError) as error:
        msg = f"--{option} wants {wanted}, not {text!r} ({error})"
        raise ConfigurationError(msg) from None


def _retry(text: str) -> Any:
    value = json.loads(text.lower() if text in ("True", "False") else text)
    if isinstance(value, dict):
        return RetryPolicy(**value)
    return value


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        msg = "not a JSON object"
        raise TypeError(msg)
    return value


_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "retry": (_retry, "a number of attempts, false, or RetryPolicy's fields as JSON"),
    "max_concurrency": (int, "a whole number"),
    "memo": (_json_object, "a JSON object"),
    "priority": (int, "a whole number"),
    "search_attributes": (_json_object, "a JSON object"),
}
