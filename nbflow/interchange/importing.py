"""A history from elsewhere into the log: what is to be written, if anything.

An imported execution is a record. No engine runs it, whether it has closed or not; a note of kind ``Imported``
says so, and who recorded it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields

from nbflow.core.event_json import type_name
from nbflow.core.events import HistoryEvent
from nbflow.core.payloads import Payload
from nbflow.exceptions import HistoryConflictError
from nbflow.interchange.native import whole_attributes
from nbflow.interchange.payload_json import LoadBlob
from nbflow.interchange.temporal_import import ForeignHistory
from nbflow.store import Batch, NoteRow, Reader

__all__ = ["IMPORTED", "batch_of_import"]

IMPORTED = "Imported"
"""Kind of the note that marks an execution as a mere record."""


def batch_of_import(reader: Reader, histories: Sequence[ForeignHistory]) -> tuple[Batch, list[int]]:
    """Work out what an import has to write.

    Parameters
    ----------
    reader
        Of the store that shall have them.
    histories
        What is imported.

    Returns
    -------
    tuple
        The batch, and for each history how many of its events are new: 0 when the store has it already. A longer
        history of an execution that was imported while it was open adds what has come since.

    Raises
    ------
    HistoryConflictError
        When the store has other events under one of the run ids.
    """
    batch = Batch()
    counts = []
    known = reader.histories(sorted({history.run_id for history in histories}))
    added: set[str] = set()
    for history in histories:
        present = known.get(history.run_id, [])
        fresh = _fresh_events(history, present, reader)
        counts.append(len(fresh))
        batch.events += [(history.run_id, history.workflow_id, event, False) for event in fresh]
        if not present and history.run_id not in added:
            body = json.dumps({"backend": history.backend})
            batch.notes.append(
                NoteRow(history.run_id, history.workflow_id, history.events[0].event_time, IMPORTED, body)
            )
        added.add(history.run_id)
        known[history.run_id] = present + fresh
    return batch, counts


def _fresh_events(history: ForeignHistory, present: list[HistoryEvent], reader: Reader) -> list[HistoryEvent]:
    """Return the events that the store lacks."""
    if present and not reader.is_imported(history.run_id) and len(history.events) > len(present):
        msg = (
            f"run {history.run_id} of {history.workflow_id!r} is this store's own, and its engine goes on with it; "
            f"import the history into another store"
        )
        raise HistoryConflictError(msg)
    for theirs, ours in zip(history.events, present, strict=False):
        if not _is_same(theirs, ours, reader.blob):
            msg = (
                f"run {history.run_id} of {history.workflow_id!r} is in the store with another history: event "
                f"{ours.event_id} is {type_name(ours)} there and {type_name(theirs)} here; nothing was imported"
            )
            raise HistoryConflictError(msg)
    return history.events[len(present) :]


def _is_same(theirs: HistoryEvent, ours: HistoryEvent, load_blob: LoadBlob) -> bool:
    if (type_name(theirs), theirs.event_time) != (type_name(ours), ours.event_time):
        return False
    own = {blob.sha256: (blob.encoding, blob.data) for payload in _payloads(theirs) for blob in payload.blobs}

    def load(digest: str) -> tuple[str, bytes]:
        return own[digest] if digest in own else load_blob(digest)

    return bool(whole_attributes(theirs, load) == whole_attributes(ours, load_blob))


def _payloads(event: HistoryEvent) -> list[Payload]:
    return [value for value in (getattr(event, own.name) for own in fields(event)) if isinstance(value, Payload)]
