"""The IPython extension: ``%load_ext nbflow`` brings cell marks, magics, display and progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register everything with IPython; ``%load_ext nbflow`` calls it. Safe to call twice.

    Parameters
    ----------
    shell
        The IPython shell.
    """
    from nbflow.notebook.extension import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take everything back; ``%unload_ext nbflow`` calls it. Running workflows run on.

    Parameters
    ----------
    shell
        The IPython shell.
    """
    from nbflow.notebook.extension import unload

    unload(shell)
