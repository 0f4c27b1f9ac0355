"""Where workflow code stands: the frames of user code on the stack of each task that waits.

A task of an ``async def`` is a chain of coroutines, each waiting for the next. One of plain ``def`` code
is a coroutine of ours that drives a greenlet, whose own frames are the user's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from nbflow.core.bridge import WorkflowGreenlet
from nbflow.core.commands import SourceLine

__all__ = ["frames_of_error", "is_user_code", "line_of_error", "line_of_task", "user_frames"]

_OWN_FILES = __file__.rpartition("core")[0]
_ASYNCIO_FILES = asyncio.__file__.rpartition("__init__")[0]


def is_user_code(filename: str) -> bool:
    """Say whether a file is neither ours nor asyncio's.

    Parameters
    ----------
    filename
        As a code object has it.
    """
    return not filename.startswith((_OWN_FILES, _ASYNCIO_FILES))


def user_frames(task: asyncio.Task[Any]) -> list[FrameType]:
    """Return the frames of user code in which a task waits, the outermost first.

    Parameters
    ----------
    task
        Not running.
    """
    return [frame for frame in _frames(task) if is_user_code(frame.f_code.co_filename)]


def _frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    link: Any = task.get_coro()
    while link is not None:
        frame = _frame_of(link)
        if frame is not None:
            yield frame
        link = _awaited(link)
    stack: WorkflowGreenlet | None = getattr(task, "greenlet", None)
    if stack is not None:
        yield from _frames_of_greenlet(stack)


def _frame_of(link: Any) -> FrameType | None:
    for name in ("cr_frame", "gi_frame", "ag_frame"):
        frame: FrameType | None = getattr(link, name, None)
        if frame is not None:
            return frame
    return None


def _awaited(link: Any) -> Any:
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        following = getattr(link, name, None)
        if following is not None:
            return following
    return None


def _frames_of_greenlet(stack: WorkflowGreenlet) -> list[FrameType]:
    frames: list[FrameType] = []
    frame = stack.gr_frame
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def line_of_task(task: asyncio.Task[Any] | None) -> SourceLine | None:
    """Return the innermost line of user code at which a task waits.

    Parameters
    ----------
    task
        An asyncio task that is not running, or None.
    """
    frames = user_frames(task) if task is not None else []
    return SourceLine(frames[-1].f_code, frames[-1].f_lasti) if frames else None


def line_of_error(error: BaseException) -> SourceLine | None:
    """Return the innermost line of user code that an exception passed.

    Parameters
    ----------
    error
        With its traceback.
    """
    frames = frames_of_error(error)
    return SourceLine(frames[-1][0].f_code, frames[-1][1]) if frames else None


def frames_of_error(error: BaseException) -> list[tuple[FrameType, int]]:
    """Return the frames of user code that an exception passed, each with the instruction, the innermost last.

    Parameters
    ----------
    error
        With its traceback.
    """
    found = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if is_user_code(trace.tb_frame.f_code.co_filename):
            found.append((trace.tb_frame, trace.tb_lasti))
        trace = trace.tb_next
    return found
