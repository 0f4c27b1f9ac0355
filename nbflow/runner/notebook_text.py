"""A notebook as text, again and again while it fills: only cells that changed are written anew.

Serialising all outputs after each cell would cost the square of their size.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


class NotebookText:
    """The text of one notebook, exactly as nbformat writes it.

    Parameters
    ----------
    nb
        The notebook; its number of cells must not change.
    """

    def __init__(self, nb: Any) -> None:
        self._nb = nb
        self._cells: list[str | None] = [None] * len(nb["cells"])

    def text(self, changed: Collection[int] = ()) -> str:
        """Return the text.

        Parameters
        ----------
        changed
            Indices of the cells that changed since the last call.
        """
        for index in changed:
            self._cells[index] = None
        cells = [text or self._write(index) for index, text in enumerate(self._cells)]
        frame = _write_notebook(self._nb, [])
        inner = '"cells": []' if not cells else '"cells": [\n  ' + ",\n  ".join(cells) + "\n ]"
        return frame.replace('"cells": []', inner, 1) + "\n"

    def _write(self, index: int) -> str:
        # the keys of a notebook are sorted, so the cells come first and what follows them is short
        whole = _write_notebook({"metadata": {}, "nbformat": 4, "nbformat_minor": 5}, [self._nb["cells"][index]])
        text = whole.removeprefix('{\n "cells": [\n  ').removesuffix(
            '\n ],\n "metadata": {},\n "nbformat": 4,\n "nbformat_minor": 5\n}'
        )
        self._cells[index] = text
        return text


def _write_notebook(nb: Any, cells: list[Any]) -> str:
    from nbformat import NotebookNode, v4

    # no validation: the notebook was valid when read, and a kernel's odd output must not cost the others
    text: str = v4.writes(NotebookNode({**nb, "cells": cells}))  # type: ignore[no-untyped-call]
    return text
