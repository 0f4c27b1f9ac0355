"""What is different on a thread while an execution's code runs on it.

The execution's loop is the running one, real IO is stopped, and the garbage collector rests: it
could run somebody else's finalisers in the middle of workflow code.
"""

from __future__ import annotations

import gc
import sys
from asyncio import events as asyncio_events
from typing import Any

from nbflow.core.guard import Watch
from nbflow.core.loop import DeterministicLoop

__all__ = ["Surroundings"]


class Surroundings:
    """The surroundings of one execution's code; entered for each activation, query and eviction.

    Parameters
    ----------
    loop
        The execution's loop.
    """

    __slots__ = ("_collects", "_hooks", "_loop", "_outer_loop", "watch")

    def __init__(self, loop: DeterministicLoop) -> None:
        self.watch = Watch()
        self._loop = loop
        self._outer_loop: Any = None
        self._hooks: Any = None
        self._collects = False

    def __enter__(self) -> None:
        self._collects = gc.isenabled()
        gc.disable()
        self._outer_loop = asyncio_events._get_running_loop()  # noqa: SLF001  the only way to nest loops
        asyncio_events._set_running_loop(self._loop)  # noqa: SLF001
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(*self._loop.generator_hooks)
        self.watch.begin()

    def __exit__(self, *exception: object) -> None:
        self.watch.end()
        sys.set_asyncgen_hooks(*self._hooks)
        asyncio_events._set_running_loop(self._outer_loop)  # noqa: SLF001
        self._outer_loop = self._hooks = None
        if self._collects:
            gc.enable()
