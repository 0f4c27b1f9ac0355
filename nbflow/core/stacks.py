"""Where the tasks of an execution wait: the frames of coroutines, and of greenlets that plain code runs on."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterable
from types import FrameType
from typing import Any

from nbflow.core import guard
from nbflow.core.bridge import WorkflowGreenlet

__all__ = ["frames_of", "stack_summary"]

_HIDDEN = (__file__.rpartition("core")[0], asyncio.__file__.rpartition("__init__")[0])


def frames_of(task: asyncio.Task[Any]) -> list[FrameType]:
    """List the frames of user code in which a task waits.

    Parameters
    ----------
    task
        Not running.

    Returns
    -------
    list of FrameType
        Outermost first, without those of nbflow and asyncio.
    """
    frames: list[FrameType] = []
    link: Any = task.get_coro()
    while link is not None:
        frame = getattr(link, "cr_frame", None) or getattr(link, "gi_frame", None)
        if frame is not None:
            frames.append(frame)
        link = getattr(link, "cr_await", None) or getattr(link, "gi_yieldfrom", None)
    stack: WorkflowGreenlet | None = getattr(task, "greenlet", None)
    if stack is not None:
        frames += _frames_of_greenlet(stack)
    return [frame for frame in frames if not frame.f_code.co_filename.startswith(_HIDDEN)]


def _frames_of_greenlet(stack: WorkflowGreenlet) -> list[FrameType]:
    frames = []
    frame = stack.gr_frame
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def stack_summary(frames: Iterable[FrameType]) -> traceback.StackSummary:
    """Read the source lines of frames."""
    with guard.allow_io():
        return traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames)
