"""``nbflow signal``, ``query``, ``cancel`` and ``terminate``: requests to an execution, from a shell."""

from __future__ import annotations

from typing import Any


def add_commands(verbs: Any) -> None:
    """Add the commands that ask something of an execution."""
