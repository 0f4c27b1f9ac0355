"""The verbs of ``%nbflow`` about code: does it fit what is recorded, and where did it stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbflow.client import CodeCheck, check
from nbflow.exceptions import ConfigurationError
from nbflow.notebook.arguments import Arguments
from nbflow.notebook.verb import Verb, take_handle

if TYPE_CHECKING:
    from nbflow.client.replays import Replay

__all__ = ["CODE_VERBS"]


def _check(arguments: Arguments) -> CodeCheck:
    options = arguments.options(["where"], flags=["all"])
    arguments.end()
    return check(where="true" if "all" in options else options.get("where"))


def _replay(arguments: Arguments) -> Replay:
    handle = take_handle(arguments)
    event = arguments.optional_word()
    arguments.end()
    if event is not None and not event.isdigit():
        msg = f"which event? {event!r} is no number; the events view lists them"
        raise ConfigurationError(msg)
    return handle.replay(None if event is None else int(event))


CODE_VERBS: dict[str, Verb] = {
    "check": Verb("[--all] [--where SQL]", "does the code of this notebook fit what is recorded?", _check),
    "replay": Verb("ID [EVENT]", "an execution as it was at an event: variables, lines, what was pending", _replay),
}
