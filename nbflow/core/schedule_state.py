"""A schedule's state, and what its overlap policy makes of the times that wait to be acted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = ["MAX_BUFFER", "OVERLAPS", "Decision", "Overlap", "ScheduleState", "Waiting", "decide"]

Overlap: TypeAlias = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"]

OVERLAPS: tuple[Overlap, ...] = ("skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all")

MAX_BUFFER = 1000
"""So many times may wait; more are dropped."""


@dataclass(slots=True, eq=False)
class Waiting:
    """One time that waits to be acted on.

    Parameters
    ----------
    nominal
        The time, in microseconds since the epoch.
    overlap
        The policy of this one; None for the schedule's.
    manual
        True if somebody asked for it (trigger, backfill): it is acted on even while the schedule is paused, and
        uses up none of its remaining actions.
    """

    nominal: int
    overlap: Overlap | None = None
    manual: bool = False


@dataclass(slots=True)
class ScheduleState:
    """What changes of a schedule while it lives.

    Parameters
    ----------
    position
        Times up to this one are done with, in microseconds since the epoch.
    paused, note
        Whether it rests, and what was said about it.
    remaining
        How many actions it may still take; None for any number.
    waiting
        Times that wait, oldest first.
    running
        Workflow id and run id of the run that others may not overlap.
    completed_run_id, failed_run_id
        The last run that completed, and the one after it that did not, if any.
    actions, skipped, missed
        How many times were acted on, left out because of overlaps, and overdue by more than the catch-up window.
    """

    position: int
    paused: bool = False
    note: str = ""
    remaining: int | None = None
    waiting: list[Waiting] = field(default_factory=list)
    running: tuple[str, str] | None = None
    completed_run_id: str | None = None
    failed_run_id: str | None = None
    actions: int = 0
    skipped: int = 0
    missed: int = 0

    @property
    def is_active(self) -> bool:
        """True if it acts by itself."""
        return not self.paused and self.remaining != 0

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON-native values."""
        return {
            "position": self.position,
            "paused": self.paused,
            "note": self.note,
            "remaining": self.remaining,
            "waiting": [[it.nominal, it.overlap, it.manual] for it in self.waiting],
            "running": self.running,
            "completed_run_id": self.completed_run_id,
            "failed_run_id": self.failed_run_id,
            "actions": self.actions,
            "skipped": self.skipped,
            "missed": self.missed,
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> ScheduleState:
        """Read what :meth:`to_json` wrote."""
        running = tree["running"]
        return cls(**{
            **tree,
            "waiting": [Waiting(*it) for it in tree["waiting"]],
            "running": None if running is None else (running[0], running[1]),
        })  # fmt: skip


@dataclass(slots=True)
class Decision:
    """What is to be done with the times that wait."""

    beside: list[Waiting] = field(default_factory=list)
    """To be started now, whatever else runs."""
    next: Waiting | None = None
    """To be started now, as the one that others may not overlap."""
    kept: list[Waiting] = field(default_factory=list)
    """To wait on."""
    skipped: list[Waiting] = field(default_factory=list)
    """Not to be acted on."""
    cancel: bool = False
    """The run under way shall be asked to cancel."""
    terminate: bool = False
    """The run under way shall be terminated."""


def decide(waiting: list[Waiting], policy: Overlap, *, is_running: bool, is_paused: bool) -> Decision:
    """Decide by the overlap policies what becomes of the times that wait.

    Parameters
    ----------
    waiting
        The times, oldest first.
    policy
        Of those that have none of their own.
    is_running
        True if a run is under way that others may not overlap.
    is_paused
        True if only what somebody asked for may start.
    """
    decision = Decision()
    for one in waiting:
        overlap = one.overlap or policy
        if is_paused and not one.manual:
            decision.kept.append(one)
        elif overlap == "allow_all":
            decision.beside.append(one)
        elif not is_running and decision.next is None:
            decision.next = one
        else:
            _OVERLAPPING[overlap](decision, one, is_running)
    return decision


def _skip(decision: Decision, one: Waiting, is_running: bool) -> None:  # noqa: ARG001  one shape for all policies
    decision.skipped.append(one)


def _buffer_one(decision: Decision, one: Waiting, is_running: bool) -> None:  # noqa: ARG001
    (decision.skipped if decision.kept else decision.kept).append(one)


def _buffer_all(decision: Decision, one: Waiting, is_running: bool) -> None:  # noqa: ARG001
    decision.kept.append(one)


def _cancel_other(decision: Decision, one: Waiting, is_running: bool) -> None:
    decision.cancel = is_running
    _take_over(decision, one, is_running)


def _terminate_other(decision: Decision, one: Waiting, is_running: bool) -> None:
    decision.terminate = is_running
    _take_over(decision, one, is_running)


def _take_over(decision: Decision, one: Waiting, is_running: bool) -> None:
    """Let the later one go in place of the earlier, at once or when the run under way has ended."""
    if is_running:
        decision.kept.append(one)
    else:
        if decision.next is not None:
            decision.skipped.append(decision.next)
        decision.next = one


_OVERLAPPING: dict[str, Callable[[Decision, Waiting, bool], None]] = {
    "skip": _skip,
    "buffer_one": _buffer_one,
    "buffer_all": _buffer_all,
    "cancel_other": _cancel_other,
    "terminate_other": _terminate_other,
}
