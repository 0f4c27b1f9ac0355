"""Pins: which version of its code an execution runs.

It is the version that started it, until it is moved to another one; the move is a fact in the log (a
note of kind ``Pinned``), so that after a restart the execution is rebuilt with the code it was moved to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from nbflow.engine.clock import Clock
from nbflow.engine.execution import RunState
from nbflow.engine.journal import Journal
from nbflow.store import NoteRow, Reader

__all__ = ["Pins"]


class Pins:
    """Moves executions to other versions of their code; on the engine's thread.

    Parameters
    ----------
    reader
        Reads the moves of the past.
    journal, clock
        Take moves down.
    runs
        What is known of executions, by run id; their ``definition_hash`` is kept true.
    """

    def __init__(self, reader: Reader, journal: Journal, clock: Clock, runs: Mapping[str, RunState]) -> None:
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._runs = runs
        self._unwritten: dict[str, str] = {}
        """Moves that the log does not show yet."""

    def of(self, run_ids: Sequence[str]) -> dict[str, str]:
        """Return the versions of those of these runs that were ever moved, by run id."""
        return {**self._reader.pins(run_ids), **self._unwritten}

    def latest(self, run_id: str, recorded: str) -> str:
        """Return the version of a run that the log told of; it may lag behind a move."""
        return self._unwritten.get(run_id, recorded)

    def pin(self, run_id: str, workflow_id: str, definition_hash: str, event_id: int) -> None:
        """Move an execution: from now on, and after a restart, it is rebuilt with this version.

        The version is to be in the store already, or in the batch that gathers; see
        :meth:`nbflow.engine.definitions.Definitions.store`.

        Parameters
        ----------
        run_id, workflow_id
            Which execution; it need not be in memory. One that is keeps its code until it is replaced.
        definition_hash
            Of the version.
        event_id
            Its last event so far.
        """
        body = json.dumps({"definition_hash": definition_hash, "event_id": event_id})
        self._journal.batch.notes.append(NoteRow(run_id, workflow_id, self._clock.now(), "Pinned", body))
        self._unwritten[run_id] = definition_hash
        self._note(run_id, definition_hash)
        self._journal.after_commit(self._written, run_id, definition_hash)

    def _written(self, run_id: str, definition_hash: str) -> None:
        if self._unwritten.get(run_id) == definition_hash:
            del self._unwritten[run_id]
            self._note(run_id, definition_hash)  # somebody may have read of it from the log in between

    def _note(self, run_id: str, definition_hash: str) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            run.definition_hash = definition_hash
