"""Files that hold histories: told apart by what is in them, not by their names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from nbflow.exceptions import HistoryFormatError
from nbflow.interchange.kinds import find
from nbflow.interchange.native import FORMAT, read_native_history
from nbflow.interchange.temporal_import import ForeignHistory, read_temporal_history

__all__ = ["read_file", "read_history"]


def read_file(path: str | PathLike[str], workflow_id: str | None = None, run_id: str | None = None) -> ForeignHistory:
    """Read the history that a file holds.

    Parameters
    ----------
    path
        A JSON file: nbflow's own form, or Temporal's.
    workflow_id, run_id
        Whose it is, where a Temporal history does not say it.

    Raises
    ------
    HistoryFormatError
        When it can't be read or holds something else.
    """
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} can't be read as JSON: {error}"
        raise HistoryFormatError(msg) from error
    try:
        return read_history(tree, workflow_id, run_id)
    except HistoryFormatError as error:
        msg = f"{path}: {error}"
        raise HistoryFormatError(msg) from error


def read_history(tree: Any, workflow_id: str | None = None, run_id: str | None = None) -> ForeignHistory:
    """Read a history from its JSON, in any of its forms.

    Parameters
    ----------
    tree
        ``{"format": "nbflow-history/1", ...}``, ``{"events": [...]}``, ``{"history": {"events": [...]}}`` or a list
        of Temporal's events.
    workflow_id, run_id
        Whose it is, where a Temporal history does not say it.

    Raises
    ------
    HistoryFormatError
        When it is something else.
    """
    if isinstance(tree, Mapping) and "format" in tree:
        if tree["format"] != FORMAT:
            msg = f"the history is of the format {tree['format']!r}; this nbflow reads {FORMAT!r}"
            raise HistoryFormatError(msg)
        return read_native_history(tree)
    if isinstance(tree, Mapping):
        inner = find(tree, "history")
        tree = find(inner if isinstance(inner, Mapping) else tree, "events")
    if not isinstance(tree, list) or not all(isinstance(it, Mapping) for it in tree):
        raise HistoryFormatError("it holds no history: there is no list of events in it")
    return read_temporal_history(tree, workflow_id, run_id)
