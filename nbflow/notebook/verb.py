"""What a verb of ``%nbflow`` is, and how it takes the execution that it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nbflow.client import default_client
from nbflow.client.handle import WorkflowHandle
from nbflow.exceptions import WorkflowNotFoundError
from nbflow.notebook.arguments import Arguments

__all__ = ["Verb", "take_handle"]


class Verb(NamedTuple):
    """One verb of ``%nbflow``.

    Parameters
    ----------
    usage
        How its line goes on.
    summary
        What it does.
    run
        Does it.
    """

    usage: str
    summary: str
    run: Callable[[Arguments], Any]


def take_handle(arguments: Arguments) -> WorkflowHandle:
    """Take an execution: its workflow id, its run id, or a variable that holds a handle or an id."""
    subject = arguments.subject("which execution?")
    if isinstance(subject, WorkflowHandle):
        return subject
    client = default_client()
    try:
        return client.get(str(subject))
    except WorkflowNotFoundError as not_found:
        try:
            return client.get("", str(subject))
        except WorkflowNotFoundError:
            raise not_found from None
