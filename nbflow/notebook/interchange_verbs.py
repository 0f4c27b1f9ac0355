"""``%nbflow export`` and ``%nbflow import``: histories to files and back."""

from __future__ import annotations

from typing import Any

from nbflow.client import default_client, import_history
from nbflow.client.handle import WorkflowHandle
from nbflow.client.interchange import write_json
from nbflow.notebook.arguments import Arguments
from nbflow.notebook.display import Said

__all__ = ["EXPORT_USAGE", "IMPORT_USAGE", "run_export_verb", "run_import_verb"]

EXPORT_USAGE = "ID [--format FORMAT] [--output FILE] [--run RUN]"
IMPORT_USAGE = "[--id ID] [--run RUN] FILE ..."


def run_export_verb(arguments: Arguments) -> Any:
    """Write a history: to a file, or as the cell's result."""
    options = arguments.options(["format", "output", "run"])
    subject = arguments.subject("which execution?")
    options |= arguments.options(["format", "output", "run"])
    arguments.end()
    handle = subject if isinstance(subject, WorkflowHandle) else default_client().get(str(subject), options.get("run"))
    tree = handle.export(options.get("format", "temporal"))
    path = options.get("output")
    if path is None:
        return tree
    write_json(tree, path)
    return Said(f"{len(tree['events']):,} events of {handle.workflow_id!r} are in {path}")


def run_import_verb(arguments: Arguments) -> Said:
    """Take histories in."""
    options = arguments.options(["id", "run"])
    paths = [arguments.word("which files?")]
    while (path := arguments.optional_word()) is not None:
        paths.append(path)
    handles = import_history(*paths, workflow_id=options.get("id"), run_id=options.get("run"))
    names = ", ".join(dict.fromkeys(repr(handle.workflow_id) for handle in handles))
    return Said(f"the store has the histories of {names}; nothing here runs them")
