"""Where values of parameters come from: ``key=value`` on the command line, JSON or YAML text, and files of either."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbflow.exceptions import ConfigurationError
from nbflow.runner.parameter_values import Given


def from_pair(text: str) -> tuple[str, Given]:
    """Split ``key=value``.

    Raises
    ------
    ConfigurationError
        If there is no ``=`` or no key.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigurationError(f"-p {text}: write it as key=value")
    return name.strip(), Given(value, is_text=True)


def from_text(text: str, origin: str) -> dict[str, Given]:
    """Read a mapping from JSON, or from YAML if PyYAML is installed.

    Raises
    ------
    ConfigurationError
        If it is neither, or not a mapping with names for keys.
    """
    values = _load(text, origin)
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ConfigurationError(f"{origin}: expected a mapping of parameter names to values, got {_shape(values)}")
    return {name: Given(value) for name, value in values.items()}


def from_file(path: str) -> dict[str, Given]:
    """Read a mapping from a file of JSON or YAML.

    Raises
    ------
    ConfigurationError
        If the file can't be read or holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"parameter file {path}: {getattr(error, 'strerror', None) or error}") from None
    return from_text(text, f"parameter file {path}")


def gather(pairs: Sequence[str] = (), texts: Sequence[str] = (), files: Sequence[str] = ()) -> dict[str, Given]:
    """Merge all sources; ``key=value`` wins over inline text, which wins over files, later over earlier.

    Raises
    ------
    ConfigurationError
        If a source can't be read.
    """
    merged: dict[str, Given] = {}
    for path in files:
        merged |= from_file(path)
    for text in texts:
        merged |= from_text(text, "inline parameters")
    return merged | dict(from_pair(pair) for pair in pairs)


def _shape(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:60]!r}"


def _load(text: str, origin: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        not_json = error
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigurationError(
            f"{origin}: not JSON ({not_json}), and YAML needs PyYAML: run 'pip install pyyaml', or write JSON"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{origin}: neither JSON nor YAML: {error}") from None
