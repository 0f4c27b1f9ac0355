"""What an execution went through so far: what the log has of it, and what the next commit will bring."""

from __future__ import annotations

from nbflow.core.events import HistoryEvent
from nbflow.engine.journal import Journal
from nbflow.store import Reader

__all__ = ["Past"]


class Past:
    """Reads histories up to this moment.

    Parameters
    ----------
    reader
        Reads the log.
    journal
        Knows what is on its way there.
    """

    def __init__(self, reader: Reader, journal: Journal) -> None:
        self._reader = reader
        self._journal = journal

    def history(self, run_id: str) -> list[HistoryEvent]:
        """Return all events of a run, in order; none if there is no such run."""
        late = self._journal.not_durable_yet(run_id)
        history = self._reader.histories([run_id]).get(run_id, [])
        return history + [event for event in late if event.event_id > len(history)]
