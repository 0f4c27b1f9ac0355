"""Where progress is drawn: in the output of a cell, or on one line of a terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nbflow.widgets.look import shorten
from nbflow.widgets.static_html import progress_html
from nbflow.widgets.static_text import progress_text
from nbflow.widgets.view_models import Progress

__all__ = ["CellSurface", "Surface", "TerminalSurface"]


class Surface(Protocol):
    """Where progress is drawn."""

    def draw(self, lines: Sequence[Progress], hidden: Mapping[str, int]) -> None:
        """Show lines over those before, and how many executions of each status have no line."""
        ...

    def finish(self, lines: Sequence[Progress], hidden: Mapping[str, int]) -> None:
        """Nothing is waited for any more."""
        ...

    def leave(self) -> None:
        """Draw the next lines in a new place."""
        ...


class CellSurface:
    """The output of a notebook's cell: one display, updated in place."""

    def __init__(self) -> None:
        self._display: Any = None

    def draw(self, lines: Sequence[Progress], hidden: Mapping[str, int]) -> None:
        """Show lines over those before."""
        from IPython.display import DisplayHandle

        bundle = {"text/plain": progress_text(lines, hidden), "text/html": progress_html(lines, hidden)}
        if self._display is None:
            # known before it is sent: an interrupt may come in between
            self._display = DisplayHandle()  # type: ignore[no-untyped-call]
            self._display.display(bundle, raw=True)
        else:
            self._display.update(bundle, raw=True)

    def finish(self, lines: Sequence[Progress], hidden: Mapping[str, int]) -> None:
        """Leave the last lines: a saved notebook says how long the cell waited, and for what."""
        if self._display is not None:
            self.draw(lines, hidden)

    def leave(self) -> None:
        """Draw the next lines in a display of their own."""
        self._display = None


class TerminalSurface:
    """One line of the terminal, written over itself and wiped at the end."""

    def __init__(self) -> None:
        self._width = 0

    def draw(self, lines: Sequence[Progress], hidden: Mapping[str, int]) -> None:
        """Show the first line over the one before."""
        width = shutil.get_terminal_size().columns - 1
        waited_for = [line for line in lines if line["is_waited_for"]]
        others = len(waited_for) - 1 + hidden.get("Running", 0)
        tail = f" (+ {others} more)" if others > 0 else ""
        text = shorten(progress_text(waited_for[:1], {}), width - len(tail)) + tail
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)

    def finish(self, lines: Sequence[Progress], hidden: Mapping[str, int]) -> None:  # noqa: ARG002  nothing stays
        """Wipe the line."""
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
        self._width = 0

    def leave(self) -> None:
        """Do nothing: there is one line."""
