"""Queries that every execution answers without a handler of its own; their names begin with two underscores."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from nbflow.core import guard
from nbflow.core.frames import user_frames

if TYPE_CHECKING:
    from nbflow.core.instance import WorkflowInstance

__all__ = ["BUILT_IN_QUERIES"]


def _stacks(instance: WorkflowInstance) -> Iterator[tuple[str, list[FrameType]]]:
    for task in list(instance.loop.tasks):
        frames = user_frames(task)
        if frames:
            yield task.get_name(), frames


def _summary(frames: Iterable[FrameType]) -> traceback.StackSummary:
    with guard.allow_io():  # reading source lines
        return traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames)


def _stack_trace(instance: WorkflowInstance) -> str:
    """Say where each task waits, as Python prints stacks."""
    told = []
    for name, frames in _stacks(instance):
        told.append(f"task {name!r} waits (most recent call last):\n{''.join(_summary(frames).format())}")
    return "\n".join(told)


def _enhanced_stack_trace(instance: WorkflowInstance) -> dict[str, Any]:
    """Say where each task waits, as values."""
    return {
        "stacks": [
            {
                "task": name,
                "locations": [
                    {"file_path": it.filename, "line": it.lineno, "function_name": it.name, "source": it.line}
                    for it in _summary(frames)
                ],
            }
            for name, frames in _stacks(instance)
        ]
    }


def _metadata(instance: WorkflowInstance) -> dict[str, Any]:
    """Say what the execution takes, and what it says of itself."""
    handlers = instance.messages.handlers
    return {
        "definition": {
            "type": instance.definition.name,
            "signal_definitions": _described(handlers["signal"]),
            "query_definitions": _described(handlers["query"]),
            "update_definitions": _described(instance.updates.handlers),
        },
        "current_details": instance.description.details,
    }


def _described(handlers: dict[str, Callable[..., Any]]) -> list[dict[str, str]]:
    return [{"name": name, "description": handler.__doc__ or ""} for name, handler in sorted(handlers.items())]


BUILT_IN_QUERIES: dict[str, Callable[[WorkflowInstance], Any]] = {
    "__stack_trace": _stack_trace,
    "__enhanced_stack_trace": _enhanced_stack_trace,
    "__temporal_workflow_metadata": _metadata,
}
