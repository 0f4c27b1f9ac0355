"""``nbflow.logger``: one logger for both sides, whose lines end up in the log table."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from nbflow.core.failures import traceback_of
from nbflow.core.runtime import runtime_or_none

__all__ = ["logger"]


class _WorkflowAwareLogger(logging.LoggerAdapter[logging.Logger]):
    """Inside a workflow a line is logged once, however often history is replayed."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        runtime = runtime_or_none()
        if runtime is None:
            super().log(level, msg, *args, **kwargs)
        elif not runtime.is_replaying:
            runtime.log(level, _text(msg, args, kwargs.get("exc_info")))


def _text(msg: object, args: tuple[object, ...], exc_info: object) -> str:
    """Word a line as logging does; a mistake in it is no reason to fail a workflow."""
    text = str(msg)
    if args:
        values: Any = args[0] if len(args) == 1 and isinstance(args[0], Mapping) and args[0] else args
        try:
            text = text % values
        except (TypeError, ValueError, KeyError):
            text = f"{text} {args!r}"
    error = sys.exc_info()[1] if exc_info is True else exc_info
    if isinstance(error, BaseException):
        text = f"{text}\n{traceback_of(error)}".rstrip()
    return text


_base = logging.getLogger("nbflow.user")
_base.setLevel(logging.INFO)
logger = _WorkflowAwareLogger(_base, {})
"""Use it in workflows and activities alike."""
