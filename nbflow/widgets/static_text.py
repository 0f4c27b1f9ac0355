"""Views as plain text: for terminals, for logs, and beside every HTML output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nbflow.widgets.look import (
    count_words,
    group_words,
    hidden_words,
    look,
    moment,
    progress_words,
    seconds_words,
    shorten,
)
from nbflow.widgets.view_models import ActivityRow, ExecutionView, Progress

__all__ = ["execution_text", "facts_text", "progress_text"]


def execution_text(view: ExecutionView) -> str:
    """Tell an execution in a few lines.

    Parameters
    ----------
    view
        From :func:`~nbflow.widgets.snapshot.read_execution`.
    """
    took = f"{'for' if view['close_time'] is None else 'in'} {seconds_words(view['duration'])}"
    icon, events = look(view["status"]).icon, count_words(view["events"], "event", "events")
    lines = [
        f"{icon} {view['status']}  {view['workflow_id']}  (workflow {view['workflow_type']}, {took})",
        f"  run {view['run_id']}, started {moment(view['start_time'])}, {events}",
    ]
    if view["awaits"]:
        lines.append(f"  waiting for {view['awaits']}")
    if view["result"] is not None:
        lines.append(f"  result {shorten(view['result'], 100)}")
    if view["problem"]:
        lines.append(f"  parked: {shorten(view['problem'], 300)}")
    for depth, link in enumerate(view["failures"]):
        lead = "  failure  " if depth == 0 else "  " * depth + "  caused by "
        lines.append(f"{lead}{link['type']}: {shorten(link['message'], 200)}")
    lines += [f"  activity {shorten(group['activity_type'], 40)}: {group_words(group)}" for group in view["groups"]]
    lines += [_trouble(row) for row in view["activities"] if row["status"] in ("Failed", "TimedOut", "Backoff")]
    lines += [f"  timer {shorten(timer['label'], 60)}: fires {moment(timer['fire_time'])}" for timer in view["timers"]]
    return "\n".join(_printable(line) for line in lines)


def _trouble(row: ActivityRow) -> str:
    where = f"{look(row['status']).word}: event {row['scheduled_event_id']}, attempt {row['attempt']}"
    tail = f", next attempt {moment(row['next_attempt_time'])}" if row["next_attempt_time"] else ""
    return f"    {where}: {shorten(row['failure'], 120)}{tail}"


def progress_text(lines: Sequence[Progress], hidden: Mapping[str, int]) -> str:
    """Tell how far executions are, one line each.

    Parameters
    ----------
    lines
        From :func:`~nbflow.widgets.snapshot.read_progress`, one for each execution.
    hidden
        How many executions of each status have no line.
    """
    texts = [_progress_line(line) for line in lines] + ([hidden_words(hidden)] if hidden else [])
    return "\n".join(_printable(text) for text in texts)


def _progress_line(line: Progress) -> str:
    head = f"{look(line['status']).icon} {line['workflow_id']} {line['status']}"
    return " · ".join([head, *progress_words(line)])


def facts_text(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Tell a few named facts.

    Parameters
    ----------
    title
        Above them.
    facts
        Name and text of each.
    """
    pairs = list(facts)
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join([title, *(_printable(f"  {name:<{width}}  {text}") for name, text in pairs)])


def _printable(line: str) -> str:
    """Keep control characters of a value from reaching the terminal."""
    return "".join(char if char.isprintable() else " " for char in line)
