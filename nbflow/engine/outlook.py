"""How an engine stands at one moment, and its last wish: to begin nothing any more.

For processes that serve a store without a notebook. Both run on the engine's thread, through ``Engine.submit``.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.engine.engine import Engine

__all__ = ["Outlook", "begin_to_drain", "look_around"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """How an engine stands.

    Parameters
    ----------
    is_idle
        True if it has nothing to do until a deadline comes.
    running
        Attempts of activities under way.
    problems
        Why some things can't go on, for people.
    """

    is_idle: bool
    running: int
    problems: tuple[str, ...]


def look_around(engine: Engine, answer: Future[Any]) -> None:
    """Answer with an :class:`Outlook`."""
    due = engine.deadlines.next_due
    is_idle = engine.is_idle and (due is None or due > engine.clock.now())
    answer.set_result(Outlook(is_idle, engine.activities.running, _problems(engine)))


def _problems(engine: Engine) -> tuple[str, ...]:
    parked = [f"execution {run_id} is parked: {error}" for run_id, error in engine.problems.items()]
    lacking = [f"activity {name!r} is not defined here" for name in sorted(engine.activities.lacking)]
    resting = [f"schedule {it.id!r}: {it.problem}" for it in engine.schedules.all.values() if it.problem is not None]
    return (*parked, *lacking, *resting)


def begin_to_drain(engine: Engine, answer: Future[Any]) -> None:
    """Begin no attempt any more; those under way end as they may. What is due waits for the next start."""
    engine.activities.places.is_draining = True
    answer.set_result(None)
