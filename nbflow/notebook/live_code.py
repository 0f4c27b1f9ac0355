"""Editing cells while their executions are in flight: what a cell changed is tried at its end, and shown under it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from nbflow.client import CodeCheck, opened_client, show_code_checks
from nbflow.exceptions import EngineClosedError
from nbflow.widgets.code_check_html import code_check_html

__all__ = ["watch_code"]


def watch_code(shell: InteractiveShell) -> Callable[[], None]:
    """Try what each cell changed, and return how to take that back.

    A workflow is tried when it is defined. A helper function that it uses, or a value, may change without
    that: so each cell is followed by a look at all workflows, which costs little when nothing changed.

    Parameters
    ----------
    shell
        The IPython shell.
    """
    assert shell.display_formatter is not None
    formatter: Any = shell.display_formatter.formatters["text/html"]
    formatter.for_type(CodeCheck, code_check_html)
    show_code_checks(display)
    shell.events.register("post_run_cell", _after_cell)

    def stop() -> None:
        shell.events.unregister("post_run_cell", _after_cell)
        show_code_checks(None)
        formatter.type_printers.pop(CodeCheck, None)

    return stop


def _after_cell(result: object) -> None:  # noqa: ARG001  IPython's event
    try:
        live_code = opened_client().live_code
    except EngineClosedError:
        return
    live_code.look_again()
