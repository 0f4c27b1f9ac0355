"""How nbflow's objects show in IPython: as HTML where there is a browser, as text everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbflow.client.handle import WorkflowHandle
from nbflow.exceptions import EngineClosedError
from nbflow.widgets.snapshot import read_execution
from nbflow.widgets.static_html import execution_html, facts_html
from nbflow.widgets.static_text import execution_text, facts_text
from nbflow.widgets.view_models import ExecutionView

__all__ = ["Facts", "Said", "handle_html", "handle_text", "view_of"]


class Facts:
    """A few named facts, as a magic answers.

    Parameters
    ----------
    title
        Above them.
    facts
        Name and text of each.
    """

    def __init__(self, title: str, facts: Iterable[tuple[str, str]]) -> None:
        self.title = title
        self.facts = list(facts)

    def __repr__(self) -> str:
        return facts_text(self.title, self.facts)

    def _repr_html_(self) -> str:
        return facts_html(self.title, self.facts)


class Said(str):
    """A sentence, as a magic answers: shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def view_of(handle: WorkflowHandle) -> ExecutionView:
    """Read what there is to see of an execution, as of now.

    Parameters
    ----------
    handle
        Which one.

    Raises
    ------
    EngineClosedError
        When its store was closed.
    WorkflowNotFoundError
        When it is not in its store.
    """
    client: Any = handle._client  # noqa: SLF001  the handle's view, written beside it
    _ = handle.status  # answers once all that happened so far is committed
    problem = client.engine.problems.get(handle.run_id)
    told = None if problem is None else f"{type(problem).__name__}: {problem}"
    return read_execution(client, handle.workflow_id, handle.run_id, client.engine.clock.now(), told)


def handle_html(handle: WorkflowHandle) -> str | None:
    """Draw a handle; None if its store was closed, so that only its text shows.

    Parameters
    ----------
    handle
        Which one.
    """
    try:
        return execution_html(view_of(handle))
    except EngineClosedError:
        return None


def handle_text(handle: WorkflowHandle, printer: Any, cycle: bool) -> None:
    """Tell a handle in a few lines, to IPython's pretty printer.

    Parameters
    ----------
    handle
        Which one.
    printer
        IPython's.
    cycle
        True if the handle is inside itself, which it can't be.
    """
    is_alone = not cycle and len(printer.stack) <= 1
    try:
        text = execution_text(view_of(handle)) if is_alone else repr(handle)
    except EngineClosedError:
        text = f"{handle!r} (its store is closed)"
    for number, line in enumerate(text.split("\n")):
        if number:
            printer.break_()
        printer.text(line)
