"""What callers ask of schedules: create, change, pause, trigger, backfill, delete, describe.

Each request runs on the engine's thread and answers once what it did is durable.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from nbflow.core.definitions import Definition
from nbflow.core.schedule_body import ScheduleBody
from nbflow.core.schedule_state import MAX_BUFFER, Overlap, ScheduleState, Waiting
from nbflow.engine.requests import Answer
from nbflow.engine.schedules import Schedule, Schedules, rfc3339, workflow_id_of
from nbflow.exceptions import ClientError, ScheduleNotFoundError

__all__ = ["ScheduleRequests", "ScheduleSnapshot"]

_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class ScheduleSnapshot:
    """A schedule as it is at one moment."""

    id: str
    body: ScheduleBody
    position: int
    next_due: int | None
    paused: bool
    note: str
    running: tuple[str, str] | None
    """Workflow id and run id of the run that others may not overlap."""
    problem: str
    """Why it can't start anything; empty if it can."""


class ScheduleRequests:
    """Serves callers, on the engine's thread.

    Parameters
    ----------
    schedules
        The schedules of the store.
    """

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules
        self._clock = schedules.clock
        self._journal = schedules.journal

    def find(self, schedule_id: str) -> Schedule:
        """Find a schedule.

        Raises
        ------
        ScheduleNotFoundError
            When there is none.
        """
        found = self._schedules.all.get(schedule_id)
        if found is None:
            raise ScheduleNotFoundError(schedule_id)
        return found

    def describe(self, schedule_id: str, answer: Answer) -> None:
        """Answer with the schedule as it is."""
        found = self.find(schedule_id)
        self._journal.answer(answer, _snapshot(found))

    def put(self, schedule_id: str, body: ScheduleBody, definition: Definition | None, answer: Answer) -> None:
        """Create a schedule, or change it; nothing happens if it is so already.

        Parameters
        ----------
        schedule_id
            Its id.
        body
            What it is to be.
        definition
            What it starts, unless the store has it.
        answer
            Gets what was done: Created, Updated or Unchanged.
        """
        if definition is not None:
            self._schedules.definitions.store(definition)
        schedule = self._schedules.all.get(schedule_id)
        if schedule is None:
            done = "Created"
            state = ScheduleState(
                self._clock.now(), paused=body.paused, note=body.note, remaining=body.remaining_actions
            )
            schedule = self._schedules.add(schedule_id, body, state)
        elif body.to_json() == schedule.body.to_json():
            self._journal.answer(answer, "Unchanged")
            return
        else:
            done = "Updated"
            schedule = self._change(schedule, body)
        self._schedules.write(schedule, done, body=body.to_json(), payloads=body.payloads)
        self._schedules.work_off(schedule)
        self._journal.answer(answer, done)

    def _change(self, schedule: Schedule, body: ScheduleBody) -> Schedule:
        """Make a schedule what it is to be from now on; what was not changed keeps its state."""
        old, state = schedule.body, schedule.state
        if body.spec != old.spec:
            state.position = self._clock.now()
        if body.paused != old.paused:
            state.paused = body.paused
        if body.note != old.note:
            state.note = body.note
        if body.remaining_actions != old.remaining_actions:
            state.remaining = body.remaining_actions
        return self._schedules.replace(schedule, body)

    def pause(self, schedule_id: str, note: str, answer: Answer) -> None:
        """Let a schedule rest."""
        self._rest(self.find(schedule_id), note, answer, paused=True)

    def unpause(self, schedule_id: str, note: str, answer: Answer) -> None:
        """Let a schedule act again, from now on: times that passed meanwhile are left out."""
        self._rest(self.find(schedule_id), note, answer, paused=False)

    def _rest(self, schedule: Schedule, note: str, answer: Answer, *, paused: bool) -> None:
        state = schedule.state
        if state.paused != paused or state.note != note:
            if state.paused and not paused:
                schedule.advance(self._clock.now())
            state.paused, state.note = paused, note
            self._schedules.write(schedule, "Paused" if paused else "Unpaused", body={"note": note})
            self._schedules.enter(schedule)
            self._schedules.work_off(schedule)
        self._journal.answer(answer)

    def trigger(self, schedule_id: str, overlap: Overlap | None, answer: Answer) -> None:
        """Act now; answers with the run that was started, or None if the overlap policy put it off."""
        schedule = self.find(schedule_id)
        now = self._clock.now()
        nominal = now // _SECOND * _SECOND
        if self._schedules.latest_run(workflow_id_of(schedule, nominal)) is not None:
            nominal = now
        one = Waiting(nominal, overlap, manual=True)
        self._schedules.write(schedule, "Triggered", nominal=nominal, body={"overlap": overlap} if overlap else {})
        started = self._schedules.work_off(schedule, [one])
        self._journal.answer(answer, next((run for it, run in started if it is one), None))

    def backfill(self, schedule_id: str, start: int, end: int, overlap: Overlap | None, answer: Answer) -> None:
        """Act on the times from ``start`` to ``end``, both included; answers with the runs started at once."""
        schedule = self.find(schedule_id)
        if end > self._clock.now():
            msg = f"a backfill is for times that have passed; {rfc3339(end)} has not"
            raise ClientError(msg)
        times = list(islice(schedule.body.spec.times(start - 1, end), MAX_BUFFER + 1))
        room = MAX_BUFFER - len(schedule.state.waiting)
        if len(times) > room:
            msg = (
                f"schedule {schedule_id!r} has more than {room:,} times from {rfc3339(start)} to {rfc3339(end)}, and "
                f"no more than {MAX_BUFFER:,} may wait at once; backfill in parts"
            )
            raise ClientError(msg)
        body = {"start": rfc3339(start), "end": rfc3339(end), "overlap": overlap, "count": len(times)}
        self._schedules.write(schedule, "Backfilled", body=body)
        started = self._schedules.work_off(schedule, [Waiting(time, overlap, manual=True) for time in times])
        self._journal.answer(answer, [run for _, run in started])

    def delete(self, schedule_id: str, answer: Answer) -> None:
        """Forget a schedule; what it started goes on."""
        self._schedules.remove(self.find(schedule_id))
        self._journal.answer(answer)


def _snapshot(schedule: Schedule) -> ScheduleSnapshot:
    state = schedule.state
    return ScheduleSnapshot(
        schedule.id,
        schedule.body,
        state.position,
        schedule.due,
        state.paused,
        state.note,
        state.running,
        "" if schedule.problem is None else str(schedule.problem),
    )
