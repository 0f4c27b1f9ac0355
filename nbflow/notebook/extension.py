"""What ``%load_ext nbflow`` registers with IPython, and how it is taken back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from nbflow.client import opened_client
from nbflow.client.handle import WorkflowHandle, watch_waiting
from nbflow.exceptions import EngineClosedError
from nbflow.notebook.completion import complete_flowsql, complete_verb
from nbflow.notebook.display import handle_html, handle_text
from nbflow.notebook.live_code import watch_code
from nbflow.notebook.magics import NbflowMagics
from nbflow.notebook.marks import MarkTransformer, take_cell_mark_for_line_mark, take_empty_cell_magic_for_line_magic
from nbflow.notebook.progress import kernel_watcher, terminal_watcher
from nbflow.widgets.snapshot import read_counts

__all__ = ["load", "unload"]

_undo: dict[int, list[Callable[[], object]]] = {}
"""How to take back what was registered, by the shell's ``id``."""


def load(shell: InteractiveShell) -> None:
    """Register everything; does nothing the second time.

    Parameters
    ----------
    shell
        The IPython shell.
    """
    if id(shell) in _undo:
        return
    undo = _undo[id(shell)] = []
    magics = NbflowMagics(shell)
    shell.register_magics(magics)
    undo.append(lambda: _unregister_magics(shell, magics))
    undo += [
        _add(shell.input_transformers_cleanup, take_cell_mark_for_line_mark),
        _add(shell.input_transformers_cleanup, take_empty_cell_magic_for_line_magic),
        _add(shell.ast_transformers, MarkTransformer()),
        _add(shell.Completer.custom_matchers, complete_flowsql),
        _add(shell.Completer.custom_matchers, complete_verb),
        _show(shell, "text/html", handle_html),
        _show(shell, "text/plain", handle_text),
    ]
    undo.append(_watch(shell))
    undo.append(watch_code(shell))


def unload(shell: InteractiveShell) -> None:
    """Take everything back, and say what runs on.

    Parameters
    ----------
    shell
        The IPython shell.
    """
    for step in reversed(_undo.pop(id(shell), [])):
        step()
    count = _open_executions()
    if count:
        runs = "1 workflow execution runs" if count == 1 else f"{count} workflow executions run"
        print(f"nbflow: unloaded; {runs} on in this process, nbflow.close() stops the engine", file=sys.stderr)  # noqa: T201


def _watch(shell: InteractiveShell) -> Callable[[], None]:
    """Let waiting cells show progress, and return how to take that back."""
    if getattr(shell, "kernel", None) is None:
        watch_waiting(terminal_watcher())
        return lambda: watch_waiting(None)
    watcher, board = kernel_watcher()

    def begin_cell(info: object) -> None:  # noqa: ARG001  IPython's event
        board.clear()

    def stop() -> None:
        shell.events.unregister("pre_run_cell", begin_cell)
        watch_waiting(None)

    shell.events.register("pre_run_cell", begin_cell)
    watch_waiting(watcher)
    return stop


def _unregister_magics(shell: InteractiveShell, magics: NbflowMagics) -> None:
    manager = shell.magics_manager
    for kind, names in magics.magics.items():
        for name in names:
            manager.magics[kind].pop(name, None)
    manager.registry.pop(type(magics).__name__, None)


def _add(items: list[Any], item: Any) -> Callable[[], None]:
    """Add an item, and return how to take it out again."""
    items.append(item)

    def remove() -> None:
        if item in items:
            items.remove(item)

    return remove


def _show(shell: InteractiveShell, mime: str, show: Callable[..., Any]) -> Callable[[], None]:
    """Let handles show themselves, and return how to take that back."""
    assert shell.display_formatter is not None
    formatter = shell.display_formatter.formatters[mime]
    formatter.for_type(WorkflowHandle, show)
    return lambda: formatter.type_printers.pop(WorkflowHandle, None)


def _open_executions() -> int:
    try:
        return int(read_counts(opened_client())["open_executions"])
    except EngineClosedError:
        return 0
