"""Commands that no event has recorded yet, and the error when an event records another one."""

from __future__ import annotations

from collections import deque
from typing import Any

from nbflow.core.commands import Command, SourceLine
from nbflow.core.event_json import name_of
from nbflow.core.events import HistoryEvent
from nbflow.exceptions import NondeterminismError

__all__ = ["Outbox", "misfit_error"]


class Outbox:
    """Outstanding commands, oldest first, each with what waits for its recording."""

    __slots__ = ("_entries", "_withdrawn")

    def __init__(self) -> None:
        self._entries: deque[tuple[Command, Any]] = deque()
        self._withdrawn: set[int] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, command: Command, target: Any) -> None:
        """Ask for something; ``target`` hears when it is recorded."""
        self._entries.append((command, target))

    def add_before(self, last: Command, command: Command, target: Any) -> None:
        """Ask for something ahead of what was asked for last: an update's answer goes before the end."""
        entry = self._entries.pop()
        assert entry[0] is last
        self._entries += ((command, target), entry)

    def withdraw(self, command: Command) -> None:
        """Ask no more for something that was asked for in this activation."""
        self._withdrawn.add(id(command))

    def settle(self) -> None:
        """Drop what was withdrawn, at the end of an activation."""
        if self._withdrawn:
            self._entries = deque(entry for entry in self._entries if id(entry[0]) not in self._withdrawn)
            self._withdrawn.clear()

    @property
    def commands(self) -> list[Command]:
        """The outstanding commands in order."""
        return [entry[0] for entry in self._entries]

    @property
    def targets(self) -> list[Any]:
        """What waits for the recording of the outstanding commands."""
        return [entry[1] for entry in self._entries if entry[1] is not None]

    @property
    def oldest(self) -> Command | None:
        """The command that the next event must record."""
        return self._entries[0][0] if self._entries else None

    def take(self) -> tuple[Command, Any]:
        """Take the oldest command off, with its target."""
        return self._entries.popleft()

    def clear(self) -> None:
        """Drop everything."""
        self._entries.clear()
        self._withdrawn.clear()


def misfit_error(
    workflow: str,
    run_id: str,
    event: HistoryEvent,
    command: Command | None,
    hashes: tuple[str, str],
    *,
    waits_at: SourceLine | None = None,
) -> NondeterminismError:
    """Word the disagreement of code and history.

    Parameters
    ----------
    workflow, run_id
        Which execution.
    event
        What is recorded.
    command
        What the code asked for, if anything.
    hashes
        Of the definition that recorded the event, and of the one that runs.
    waits_at
        Where the code waits, if it asked for nothing.

    Returns
    -------
    NondeterminismError
        To be raised.
    """
    name = name_of(event)
    recorded = f"event {event.event_id} {type(event).__name__}" + (f"({name})" if name else "")
    produced = command.describe() if command else "nothing"
    place = command.line if command else waits_at
    line = str(place) if place else None
    where = f" at {line}" if line else ""
    then, now = hashes
    changed = (
        f"its code changed since (definition {then[:12]} then, {now[:12]} now)"
        if then != now
        else "its code gave another answer this time: look for sets, globals, or values read from outside"
    )
    msg = (
        f"workflow {workflow} (run {run_id}) does not fit its history: recorded is {recorded}, "
        f"the code asked for {produced}{where}. Either {changed}. Put the old code back until this execution "
        f"has closed"
    )
    error = NondeterminismError(msg, event=recorded, command=produced, line=line, definition_hash=hashes)
    error.event_id = event.event_id
    return error
