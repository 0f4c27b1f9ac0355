"""``nbflow.logger``: one logger for both sides, whose lines end up in the log table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from nbflow.core.runtime import runtime_or_none

__all__ = ["logger"]


class _WorkflowAwareLogger(logging.LoggerAdapter[logging.Logger]):
    """Inside a workflow a line is logged once, however often history is replayed."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        runtime = runtime_or_none()
        if runtime is None:
            super().log(level, msg, *args, **kwargs)
        elif not runtime.is_replaying:
            values: Any = args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args
            runtime.log(level, str(msg) % values if args else str(msg))


_base = logging.getLogger("nbflow.user")
_base.setLevel(logging.INFO)
logger = _WorkflowAwareLogger(_base, {})
"""Use it in workflows and activities alike."""
