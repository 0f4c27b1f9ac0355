"""Does code fit a history? The history is replayed with it, in memory; if not, what, where and why."""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from dataclasses import dataclass

from nbflow.core.commands import FailWorkflowExecution
from nbflow.core.events import HistoryEvent, WorkflowExecutionSignaled, WorkflowExecutionStarted
from nbflow.core.instance import WorkflowInstance
from nbflow.core.replay import replay
from nbflow.exceptions import NbflowError, NondeterminismError

__all__ = ["CheckedExecution", "Misfit", "has_not_begun", "misfit_of", "source_line"]

_PATCH = (
    'let it finish on the old code, or branch on nbflow.patched("...") so that both ways are in the new code, '
    "or run the cell with the old code again"
)


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why code does not fit a history.

    Parameters
    ----------
    why
        What happened, in one sentence.
    advice
        What to do.
    event_id, event
        The recorded event that the code does not fit, e.g. ``7`` and ``"ActivityTaskScheduled(fetch)"``.
    command
        What the code asked for instead, e.g. ``"StartTimer(1)"``, or ``"nothing"``.
    line
        ``file:line`` of the code that asked for it, or that waits.
    text
        That line's source.
    """

    why: str
    advice: str
    event_id: int | None = None
    event: str | None = None
    command: str | None = None
    line: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class CheckedExecution:
    """One execution that code was tried on.

    Parameters
    ----------
    workflow_id, run_id, workflow_type
        Which one.
    misfit
        Why the code does not fit it; None if it does.
    """

    workflow_id: str
    run_id: str
    workflow_type: str
    misfit: Misfit | None = None


def has_not_begun(history: Sequence[HistoryEvent]) -> bool:
    """Say whether none of the code need have run yet, because of a start delay: any code fits.

    Parameters
    ----------
    history
        All events so far.
    """
    first, *others = history
    is_delayed = isinstance(first, WorkflowExecutionStarted) and bool(first.first_workflow_task_backoff)
    return is_delayed and all(type(it) is WorkflowExecutionSignaled and it.with_start for it in others)


def misfit_of(instance: WorkflowInstance, history: Sequence[HistoryEvent], *, has_begun: bool = False) -> Misfit | None:
    """Replay a history and say why the code does not fit it, if it does not.

    Parameters
    ----------
    instance
        Fresh, of the code in question. If the code fits, it then stands where the history ends, and may have
        outstanding commands; if not, it has left memory.
    history
        All events so far.
    has_begun
        True if the code is known to have run, although the history does not tell.

    Returns
    -------
    Misfit or None
        None if the code fits.
    """
    if has_not_begun(history) and not has_begun:
        return None
    try:
        replay(instance, history)
    except NondeterminismError as error:
        return _disagreement(error)
    except NbflowError as error:
        return Misfit(f"{type(error).__name__}: {error}", "define what is missing, then run the cell again")
    failing = [command for command in instance.outstanding if isinstance(command, FailWorkflowExecution)]
    if not failing:
        return None
    line = str(failing[0].line) if failing[0].line else None
    instance.evict()
    return Misfit(
        f"the new code would fail at once: {failing[0].failure.headline()}",
        "mend the code and run the cell again",
        command=failing[0].describe(),
        line=line,
        text=source_line(line),
    )


def _disagreement(error: NondeterminismError) -> Misfit:
    event = (error.event or "").removeprefix(f"event {error.event_id} ")
    command = error.command or "nothing"
    if not event:  # the code did something that replay can't repeat
        return Misfit(error.message, "mend the code and run the cell again", line=error.line, command=command)
    failed = command.startswith("FailWorkflowExecution(")
    why = (
        f"the code raises {command[len('FailWorkflowExecution(') : -1]} before recorded event {error.event_id} {event}"
        if failed
        else f"recorded is event {error.event_id} {event}, the code asks for {command}"
    )
    return Misfit(
        why,
        "mend the code and run the cell again" if failed else _PATCH,
        event_id=error.event_id,
        event=event,
        command=command,
        line=error.line,
        text=source_line(error.line),
    )


def source_line(place: str | None) -> str:
    """Return the source text of a line, without the spaces around it; empty if it can't be had.

    Parameters
    ----------
    place
        ``file:line``.
    """
    if not place:
        return ""
    filename, _, number = place.rpartition(":")
    return linecache.getline(filename, int(number)).strip() if number.isdigit() else ""
