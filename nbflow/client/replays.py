"""Time travel: an execution at any event of its past, with the local variables it had and the lines where it waited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from nbflow.client.aside import aside
from nbflow.client.handle import wait_for
from nbflow.core.event_json import name_of
from nbflow.core.events import HistoryEvent
from nbflow.core.failures import exception_of_failure
from nbflow.core.payloads import Converter
from nbflow.core.time_travel import Frame, Moment, Pending, Place, ProducedCommand, ask_past, moments
from nbflow.engine.material import Material
from nbflow.exceptions import ClientError

__all__ = ["Replay", "replay_of"]

_AT_ONCE = 200
"""Events looked at in one pass when somebody goes through all of them."""
_KEPT = 1000
_LONGEST_VALUE = 100


class _Client(Protocol):
    @property
    def engine(self) -> Any: ...
    @property
    def codec(self) -> Converter: ...


def replay_of(
    client: _Client, workflow_id: str, run_id: str | None, until: int | None = None, code: Any = None
) -> Replay:
    """Rebuild an execution of a client's store as it was at an event.

    Parameters
    ----------
    client
        Whose store has it.
    workflow_id, run_id
        Which execution.
    until
        The event; default its last.
    code
        A workflow to replay it with; default the version it is pinned to.
    """
    definition = None if code is None else code.definition()
    request = client.engine.submit(client.engine.material.material, workflow_id, run_id, definition)
    return Replay(wait_for(request), client.codec, until)


class Replay:
    """An execution as it was at one event of its history, rebuilt in memory.

    Made by :func:`nbflow.replay` and ``handle.replay``. Nothing of it touches the execution. Going through all
    of them is ``for moment in replay``; ``len(replay)`` is the number of events.

    Parameters
    ----------
    material
        History and code.
    converter
        Decodes values.
    until
        The event; default the last.
    """

    def __init__(self, material: Material, converter: Converter, until: int | None = None) -> None:
        self._material = material
        self._converter = converter
        self.workflow_id = material.workflow_id
        self.run_id = material.run_id
        self.event_id = self._checked(len(material.history) if until is None else until)
        self._seen: dict[int, Moment] = {}
        self._look([self.event_id])

    def _checked(self, event_id: int) -> int:
        last = len(self._material.history)
        if 1 <= event_id <= last:
            return event_id
        msg = f"execution {self.workflow_id!r} has events 1 to {last}, so none is {event_id!r}"
        raise ClientError(msg)

    def _look(self, event_ids: Sequence[int]) -> None:
        material = self._material
        missing = [event_id for event_id in event_ids if event_id not in self._seen]
        if not missing:
            return
        found = aside(lambda: moments(material.run_id, material.definition, self._converter, material.history, missing))
        if len(self._seen) + len(found) > _KEPT:
            self._seen.clear()
        self._seen.update(found)

    @property
    def _moment(self) -> Moment:
        self._look([self.event_id])
        return self._seen[self.event_id]

    # Going from one to the next.

    def at(self, event_id: int) -> Replay:
        """Return the execution as it was at another event.

        Parameters
        ----------
        event_id
            Which one.

        Raises
        ------
        ClientError
            When there is no such event.
        NondeterminismError
            When the code does not fit the history up to there.
        """
        other = Replay.__new__(Replay)
        other.__dict__.update(self.__dict__)
        other.event_id = self._checked(event_id)
        other._look([other.event_id])  # noqa: SLF001  own class
        return other

    def step(self, count: int = 1) -> Replay:
        """Return the execution as it was some events later; earlier, if ``count`` is negative.

        Raises
        ------
        ClientError
            When the history ends before.
        """
        return self.at(self.event_id + count)

    def __len__(self) -> int:
        return len(self._material.history)

    def __iter__(self) -> Iterator[Replay]:
        for event_id in range(1, len(self) + 1):
            if event_id not in self._seen:
                self._look(range(event_id, min(event_id + _AT_ONCE, len(self) + 1)))
            yield self.at(event_id)

    # What there is to see.

    @property
    def event(self) -> HistoryEvent:
        """The event."""
        return self._material.history[self.event_id - 1]

    @property
    def events(self) -> list[HistoryEvent]:
        """All events up to there."""
        return self._material.history[: self.event_id]

    @property
    def time(self) -> datetime:
        """When it happened, UTC."""
        return datetime.fromtimestamp(self.event.event_time / 1_000_000, UTC)

    @property
    def status(self) -> str:
        """Status of the execution then."""
        return self._moment.status

    @property
    def stacks(self) -> Mapping[str, Sequence[Frame]]:
        """Where each task waits: frames of user code, the outermost first, with function, place and locals."""
        return self._moment.tasks

    @property
    def locals(self) -> dict[str, dict[str, Any]]:
        """Local variables of the workflow function, and of every other task and handler that waits, by its name.

        What can't be copied is its ``repr``. The variables of a failed execution are those where it raised.
        """
        found = {name: dict(frames[0].locals) for name, frames in self._moment.tasks.items()}
        if self._moment.failed_at:
            found[self._material.definition.name] = dict(self._moment.failed_at[0].locals)
        return found

    @property
    def lines(self) -> dict[str, Place]:
        """The line at which each task waits, or at which the workflow raised, by the task's name."""
        found = {name: frames[-1].place for name, frames in self._moment.tasks.items()}
        if self._moment.failed_at:
            found[self._material.definition.name] = self._moment.failed_at[-1].place
        return found

    @property
    def commands(self) -> list[ProducedCommand]:
        """What the code asked for up to there, each with the event that moved it and the line that asked."""
        return list(self._moment.commands[: self._moment.command_count])

    @property
    def pending(self) -> list[Pending]:
        """Activities, timers and signals that the execution waits for."""
        return list(self._moment.pending)

    @property
    def result(self) -> Any:
        """What the workflow returned; None if it has not by then."""
        found = self._moment.result
        return None if found is None else self._converter.decode(found)

    @property
    def failure(self) -> BaseException | None:
        """What failed the workflow; None if nothing has by then."""
        found = self._moment.failure
        return None if found is None else exception_of_failure(found, self._converter)

    @property
    def failed_at(self) -> Place | None:
        """The line that raised what failed the workflow."""
        return self._moment.failed_at[-1].place if self._moment.failed_at else None

    def query(self, name: str, *args: Any) -> Any:
        """Ask a query handler as it would have answered then.

        Parameters
        ----------
        name
            Name of the query.
        *args
            Its arguments.

        Raises
        ------
        QueryError
            When there was no such handler, or it failed.
        """
        material = self._material
        return aside(
            lambda: ask_past(
                material.run_id, material.definition, self._converter, material.history, self.event_id, (name, args)
            )
        )

    def __repr__(self) -> str:
        name = name_of(self.event)
        event = f"{type(self.event).__name__}({name})" if name else type(self.event).__name__
        lines = [f"{self.workflow_id} at event {self.event_id} of {len(self)}, {event}: {self.status}"]
        for task, place in self.lines.items():
            verb = "raised" if self._moment.failed_at and task == self._material.definition.name else "waits"
            lines.append(f"  {task} {verb} at line {place.line}: {place.text}")
            lines += [f"    {name} = {_short(value)}" for name, value in self.locals[task].items()]
        lines += [f"  pending: {it.kind} {it.name}" for it in self.pending]
        if self._moment.result is not None:
            lines.append(f"  result: {_short(self.result)}")
        if self._moment.failure is not None:
            lines.append(f"  failure: {self._moment.failure.headline()}")
        return "\n".join(lines)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
