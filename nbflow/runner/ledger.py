"""What happened in a store since it was last asked: executions that started and closed, and what schedules did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nbflow.client import Client

__all__ = ["Happening", "Ledger"]


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened.

    Parameters
    ----------
    time
        When.
    kind
        ``started``, ``closed`` or ``schedule``.
    id
        The execution's workflow id, or the schedule's id.
    status
        How an execution closed, or what a schedule did.
    about
        The workflow type, or more on what a schedule did.
    """

    time: datetime
    kind: str
    id: str
    status: str
    about: str

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-native values."""
        whose = "schedule_id" if self.kind == "schedule" else "workflow_id"
        return {
            "time": self.time.isoformat(),
            "kind": self.kind,
            whose: self.id,
            "status": self.status,
            "about": self.about,
        }

    def words(self) -> str:
        """Say it in one line."""
        more = f" ({self.about})" if self.about else ""
        return f"{self.time:%Y-%m-%d %H:%M:%S}  {self.status:<14} {self.id}{more}"


class Ledger:
    """Reads what is new in the log; costs nothing while nothing is committed.

    Parameters
    ----------
    client
        Whose store.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._committed = -1
        (row,) = client.rows(_POSITIONS)
        self._event, self._row = row["event"], row["schedule"]

    def news(self) -> Iterator[Happening]:
        """Yield what happened since the last time, in order."""
        committed = self._client.engine.journal.committed
        if committed == self._committed:
            return
        self._committed = committed
        rows = self._client.rows(_NEWS, [self._event, self._row])
        for row in rows:
            if row["kind"] == "schedule":
                self._row = max(self._row, row["number"])
            else:
                self._event = max(self._event, row["number"])
        for row in rows:
            time = datetime.fromtimestamp(row["time"] / 1_000_000, UTC)
            yield Happening(time, row["kind"], row["id"], row["status"], row["about"] or "")


_POSITIONS = """
SELECT (SELECT coalesce(max(rowid), -1) FROM event_log.events) AS event,
    (SELECT coalesce(max(rowid), -1) FROM event_log.schedules) AS schedule
"""

_NEWS = """
SELECT rowid AS number, event_time AS time, 'started' AS kind, workflow_id AS id, 'Started' AS status, name AS about
FROM event_log.events WHERE rowid > $1 AND event_id = 1
UNION ALL
SELECT rowid, event_time, 'closed', workflow_id, event_type[18:], coalesce(attributes ->> '$.failure.message', '')
FROM event_log.events
WHERE rowid > $1 AND event_type IN (
    'WorkflowExecutionCompleted', 'WorkflowExecutionFailed', 'WorkflowExecutionTimedOut',
    'WorkflowExecutionCanceled', 'WorkflowExecutionTerminated', 'WorkflowExecutionContinuedAsNew'
)
UNION ALL
SELECT rowid, time, 'schedule', schedule_id, kind, coalesce(body ->> 'reason', body ->> 'note', body ->> 'count')
FROM event_log.schedules WHERE rowid > $2 AND kind <> 'Fired'
ORDER BY time, number
"""
