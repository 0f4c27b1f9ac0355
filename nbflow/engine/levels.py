"""Names of logging levels, as the log table has them."""

from __future__ import annotations

__all__ = ["level_name"]

_FLOORS = ((50, "CRITICAL"), (40, "ERROR"), (30, "WARNING"), (20, "INFO"))


def level_name(level: int) -> str:
    """Name a logging level."""
    return next((name for floor, name in _FLOORS if level >= floor), "DEBUG")
