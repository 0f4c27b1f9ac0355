"""The words after a magic: options, ids, JSON values, and ``$name`` for a variable of the notebook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from nbflow.exceptions import ConfigurationError

__all__ = ["Arguments", "variable"]

_OPTION = re.compile(r"\s*--([A-Za-z][\w-]*)(?:=|(?=\s)|$)")
_WORD = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|\S+)""")


class Arguments:
    """What follows a magic, taken from left to right.

    Parameters
    ----------
    text
        The line.
    namespace
        The notebook's variables, for ``$name``.
    usage
        How the magic is written, for errors.
    """

    def __init__(self, text: str, namespace: Mapping[str, Any], usage: str) -> None:
        self.rest = text.strip()
        self._namespace = namespace
        self._usage = usage

    def options(self, names: Iterable[str], flags: Iterable[str] = ()) -> dict[str, str]:
        """Take the options at the front.

        Parameters
        ----------
        names
            Options that have a value: a word, something in quotes, or JSON.
        flags
            Options that have none; they come out as ``"true"``.

        Raises
        ------
        ConfigurationError
            When an option is unknown, given twice, or lacks its value.
        """
        known, bare = [*names, *flags], set(flags)
        found: dict[str, str] = {}
        while match := _OPTION.match(self.rest):
            name = match[1]
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean --{near[0]}?" if near else f"there are: {', '.join('--' + it for it in known)}"
                msg = f"unknown option --{name}; {hint}"
                raise ConfigurationError(msg)
            if name in found:
                msg = f"--{name} is given twice; {self._usage}"
                raise ConfigurationError(msg)
            self.rest = self.rest[match.end() :].lstrip()
            found[name] = "true" if name in bare else self._option_value(name)
        return found

    def _option_value(self, name: str) -> str:
        if self.rest[:1] not in ("{", "["):
            return self.word(f"--{name} needs a value")
        before = self.rest
        self._json()
        return before[: len(before) - len(self.rest)].rstrip()

    def word(self, missing: str) -> str:
        """Take the next word; quotes hold words together.

        Parameters
        ----------
        missing
            What is wrong if there is none.

        Raises
        ------
        ConfigurationError
            When there is none.
        """
        word = self.optional_word()
        if word is None:
            msg = f"{missing}; {self._usage}"
            raise ConfigurationError(msg)
        return word

    def optional_word(self) -> str | None:
        """Take the next word, or None if there is none."""
        match = _WORD.match(self.rest)
        if match is None:
            return None
        self.rest = self.rest[match.end() :].lstrip()
        word = match[1]
        return word[1:-1] if len(word) > 1 and word[0] in "'\"" and word[0] == word[-1] else word

    def subject(self, missing: str) -> Any:
        """Take the next word; ``$name`` stands for the value of a variable."""
        word = self.word(missing)
        return variable(word[1:], self._namespace) if word.startswith("$") else word

    def values(self) -> list[Any]:
        """Take the rest as values: JSON, ``$name``, or else the word itself.

        Raises
        ------
        ConfigurationError
            When something begins like JSON and is none.
        """
        values = []
        while self.rest:
            values.append(self._value())
        return values

    def _value(self) -> Any:
        if self.rest[0] in '{["':
            return self._json()
        quoted = self.rest[0] == "'"
        word = self.word("a value is missing")
        if quoted:
            return word
        if word.startswith("$"):
            return variable(word[1:], self._namespace)
        try:
            return json.loads(word)
        except json.JSONDecodeError:
            return word

    def _json(self) -> Any:
        try:
            value, end = json.JSONDecoder().raw_decode(self.rest)
        except json.JSONDecodeError as error:
            msg = f"not JSON: {self.rest!r} ({error.msg}); {self._usage}"
            raise ConfigurationError(msg) from None
        self.rest = self.rest[end:].lstrip()
        return value

    def end(self) -> None:
        """Refuse what is left.

        Raises
        ------
        ConfigurationError
            When something is.
        """
        if self.rest:
            msg = f"too much: {self.rest!r}; {self._usage}"
            raise ConfigurationError(msg)


def variable(name: str, namespace: Mapping[str, Any]) -> Any:
    """Return the value of a variable of the notebook.

    Parameters
    ----------
    name
        Its name.
    namespace
        The notebook's variables.

    Raises
    ------
    ConfigurationError
        When there is none.
    """
    if name in namespace:
        return namespace[name]
    near = get_close_matches(name, [known for known in namespace if not known.startswith("_")], 1)
    hint = f"; did you mean ${near[0]}?" if near else ""
    msg = f"${name}: this notebook has no variable {name!r}{hint}"
    raise ConfigurationError(msg)
