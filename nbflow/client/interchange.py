"""Export and import of histories through an open store."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.client.handle import WorkflowHandle, wait_for
from nbflow.engine.blobs import BlobReader
from nbflow.exceptions import ConfigurationError
from nbflow.interchange.files import read_file
from nbflow.interchange.importing import batch_of_import
from nbflow.interchange.native import native_history
from nbflow.interchange.temporal_export import temporal_history
from nbflow.interchange.temporal_import import ForeignHistory

if TYPE_CHECKING:
    from nbflow.client.client import Client
    from nbflow.engine.engine import Engine

__all__ = ["FORMATS", "export_handle", "import_files", "write_json"]

FORMATS = ("temporal", "json")


def export_handle(handle: WorkflowHandle, client: Client, format: str = "temporal") -> dict[str, Any]:  # noqa: A002
    """Write the history of a handle's execution; see :meth:`WorkflowHandle.export`."""
    load_blob = BlobReader(client.store)
    if format == "temporal":
        return temporal_history(handle.history(), handle.run_id, load_blob)
    if format == "json":
        backend = handle.describe()["backend"]
        return native_history(handle.history(), handle.workflow_id, handle.run_id, load_blob, backend)
    msg = f"there is no format {format!r}; there are: {', '.join(FORMATS)}"
    raise ConfigurationError(msg)


def write_json(tree: Any, path: str | os.PathLike[str]) -> None:
    """Write JSON to a file."""
    Path(path).write_text(json.dumps(tree, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def import_files(
    client: Client,
    paths: Sequence[str | os.PathLike[str]],
    workflow_id: str | None = None,
    run_id: str | None = None,
) -> list[WorkflowHandle]:
    """Take the histories of files into a client's store; see :func:`nbflow.import_history`."""
    histories = [read_file(path, workflow_id, run_id) for path in paths]
    wait_for(client.engine.submit(_Import(client.engine, histories)))
    return [client.get(history.workflow_id, history.run_id) for history in histories]


class _Import:
    """A request to the engine: only its thread writes."""

    def __init__(self, engine: Engine, histories: Sequence[ForeignHistory]) -> None:
        self._engine = engine
        self._histories = histories

    def __call__(self, answer: Future[Any]) -> None:
        """Hand what is new to the next commit."""
        reader = self._engine.store.reader()
        try:
            batch, counts = batch_of_import(reader, self._histories)
        finally:
            reader.close()
        journal, residency = self._engine.journal, self._engine.residency
        journal.batch.events += batch.events
        journal.batch.notes += batch.notes
        for history in self._histories:
            run = residency.runs.get(history.run_id)
            if run is not None:
                residency.forget(run)  # what was known of it is of before
        journal.answer(answer, counts)
