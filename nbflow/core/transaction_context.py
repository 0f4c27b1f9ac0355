"""The transaction that code runs in: one that is called inside another takes part in it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

__all__ = ["open_transaction"]

open_transaction: ContextVar[Any] = ContextVar("nbflow_open_transaction", default=None)
"""The cursor of the transaction that is open in this thread; None if there is none."""
