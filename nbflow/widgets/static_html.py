"""Static HTML of views: for saved notebooks, mail and CI artifacts, without scripts and style sheets.

Only what JupyterLab lets through in notebooks that are not trusted: plain tags and inline styles with
fixed colours. Text has the page's own colour; what has a colour of ours can be read on white and on black.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from nbflow.widgets.look import (
    count_words,
    group_words,
    hidden_words,
    look,
    moment,
    ordered_states,
    progress_words,
    seconds_words,
    shorten,
)
from nbflow.widgets.view_models import ActivityGroup, ActivityRow, ExecutionView, FailureLink, Progress, TimerRow

__all__ = ["execution_html", "facts_html", "progress_html"]

_LINE = "#80808059"
_CARD = (
    f"border: 1px solid {_LINE}; border-radius: 6px; padding: 10px 14px; margin: 4px 0; "
    f"max-width: 60em; line-height: 1.5"
)
_CHIP = "color: #ffffff; border-radius: 10px; padding: 1px 9px; font-weight: 600; white-space: nowrap"
_CELL = "text-align: left; vertical-align: top; padding: 2px 14px 2px 0; border: none; background: none"
_TABLE = "border-collapse: collapse; border: none; margin: 2px 0; font-size: 100%"
_FAINT = "opacity: 0.72"
_CODE = "font-family: monospace; font-size: 92%; white-space: pre-wrap; word-break: break-all; background: none"
_TRACE = (
    f"font-family: monospace; font-size: 92%; white-space: pre-wrap; overflow: auto; max-height: 24em; margin: 4px 0; "
    f"padding: 6px 10px; border: 1px solid {_LINE}; border-radius: 4px; background: none"
)
_BAR = (
    f"display: inline-block; height: 10px; border: 1px solid {_LINE}; border-radius: 3px; overflow: hidden; "
    f"font-size: 0; line-height: 0; vertical-align: middle"
)
_PIECE = "display: inline-block; height: 10px; vertical-align: top"
_HEADING = "font-weight: 600; margin: 10px 0 0 0"


def execution_html(view: ExecutionView) -> str:
    """Draw an execution as a card.

    Parameters
    ----------
    view
        From :func:`~nbflow.widgets.snapshot.read_execution`.

    Returns
    -------
    str
        HTML; every value in it is escaped.
    """
    parts = [
        _head(view),
        _values(view),
        _problem(view["problem"]),
        _failure(view["failures"]),
        _activities(view),
        _timers(view["timers"], view["timers_total"]),
        _signals(view["signals"]),
    ]
    return f'<div style="{_CARD}">{"".join(parts)}</div>'


def progress_html(lines: Sequence[Progress], hidden: Mapping[str, int]) -> str:
    """Draw lines of progress.

    Parameters
    ----------
    lines
        From :func:`~nbflow.widgets.snapshot.read_progress`, one for each execution.
    hidden
        How many executions of each status have no line.

    Returns
    -------
    str
        HTML; every value in it is escaped.
    """
    more = f'<div style="{_FAINT}">{escape(hidden_words(hidden))}</div>' if hidden else ""
    return "".join(_progress_line(line) for line in lines) + more


def _progress_line(progress: Progress) -> str:
    words = " · ".join(escape(word) for word in progress_words(progress))
    bars = "".join(_bar(group, 90) for group in progress["groups"][:1])
    name = f"<b>{escape(progress['workflow_id'])}</b>"
    return f'<div style="margin: 2px 0">{_chip(progress["status"])} {name} {bars} <span>{words}</span></div>'


def facts_html(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Draw a few named facts as a card.

    Parameters
    ----------
    title
        Above them.
    facts
        Name and text of each.
    """
    rows = "".join(_row([f'<span style="{_FAINT}">{escape(name)}</span>', escape(text)]) for name, text in facts)
    return f'<div style="{_CARD}"><div style="font-weight: 600">{escape(title)}</div>{_table(rows)}</div>'


def _head(view: ExecutionView) -> str:
    facts = [
        f"started {moment(view['start_time'])}",
        f"{'running for' if view['close_time'] is None else 'took'} {seconds_words(view['duration'])}",
        count_words(view["events"], "event", "events"),
    ]
    title = f'<b style="font-size: 115%; word-break: break-all">{escape(view["workflow_id"])}</b>'
    kind = f'<span style="{_FAINT}">workflow {escape(view["workflow_type"])}</span>'
    awaits = f"<div>waiting for {escape(view['awaits'])}</div>" if view["awaits"] else ""
    run = f'run <span style="font-family: monospace">{escape(view["run_id"])}</span>'
    return (
        f"<div>{_chip(view['status'])} &nbsp;{title} &nbsp;{kind}</div>"
        f'<div style="{_FAINT}">{" · ".join(facts)}</div><div style="{_FAINT}">{run}</div>{awaits}'
    )


def _values(view: ExecutionView) -> str:
    rows = []
    if view["input"] not in ("", "[]"):
        rows.append(_row([f'<span style="{_FAINT}">input</span>', _code(shorten(view["input"], 200))]))
    if view["result"] is not None:
        rows.append(_row([f'<span style="{_FAINT}">result</span>', _code(shorten(view["result"], 200))]))
    return _table("".join(rows)) if rows else ""


def _problem(problem: str | None) -> str:
    if problem is None:
        return ""
    heading = f'<div style="{_HEADING}">✗ parked: it can\'t go on as it is</div>'
    return f'{heading}<pre style="{_TRACE}">{escape(problem)}</pre>'


def _failure(links: list[FailureLink]) -> str:
    if not links:
        return ""
    lines = []
    for depth, link in enumerate(links):
        lead = f'<span style="{_FAINT}">caused by</span> ' if depth else ""
        headline = f"{lead}<b>{escape(link['type'])}</b>: {escape(shorten(link['message'], 400))}"
        lines.append(f'<div style="margin: 0 0 0 {min(depth, 6) * 1.2:g}em">{headline}</div>')
    traces = [link["stack_trace"] for link in links if link["stack_trace"]]
    if traces:
        text = "\n\n".join(trace.rstrip() for trace in reversed(traces))
        lines.append(f'<details><summary>traceback</summary><pre style="{_TRACE}">{escape(text)}</pre></details>')
    return f'<div style="{_HEADING}">Failure</div>{"".join(lines)}'


def _activities(view: ExecutionView) -> str:
    groups = view["groups"]
    if not groups:
        return ""
    rows = "".join(
        _row([f"<b>{escape(group['activity_type'])}</b>", _bar(group, 160), escape(group_words(group))])
        for group in groups
    )
    details = _details(view["activities"], sum(group["total"] for group in groups), view["status"])
    return f'<div style="{_HEADING}">Activities</div>{_table(rows)}{details}'


def _details(activities: list[ActivityRow], total: int, status: str) -> str:
    titles = "".join(
        f'<th style="{_CELL}; {_FAINT}; font-weight: 400">{name}</th>'
        for name in ("state", "activity", "event", "attempt", "took", "input", "last failure")
    )
    rows = "".join(_activity(row) for row in activities)
    summary = count_words(total, "activity", "activities")
    if len(activities) < total:
        summary = f"{len(activities)} of {summary}, those worth a look"
    has_trouble = any(row["status"] in ("Failed", "TimedOut", "Backoff") for row in activities)
    is_open = " open" if has_trouble and status != "Completed" else ""
    table = _table(f'<tr style="background: none">{titles}</tr>{rows}')
    return f"<details{is_open}><summary>{summary}</summary>{table}</details>"


def _activity(row: ActivityRow) -> str:
    failure = escape(shorten(row["failure"], 160))
    if row["next_attempt_time"] is not None:
        failure += f' <span style="{_FAINT}">next attempt {moment(row["next_attempt_time"])}</span>'
    words = [
        _state(row["status"]),
        escape(row["activity_type"]),
        str(row["scheduled_event_id"]),
        str(row["attempt"]),
        "" if row["duration"] is None else seconds_words(row["duration"]),
        f'<span style="font-family: monospace; font-size: 92%">{escape(shorten(row["input"], 40))}</span>',
    ]
    return _row([*(f'<span style="white-space: nowrap">{word}</span>' for word in words), failure])


def _timers(timers: list[TimerRow], total: int) -> str:
    if not timers:
        return ""
    rows = [_row([f"◷ {escape(timer['label'])}", _when(timer)]) for timer in timers]
    more = f'<div style="{_FAINT}">and {total - len(timers)} more</div>' if total > len(timers) else ""
    return f'<div style="{_HEADING}">Pending timers</div>{_table("".join(rows))}{more}'


def _when(timer: TimerRow) -> str:
    left = f"in {seconds_words(timer['seconds'])}" if timer["seconds"] > 0 else "due"
    return f'fires {moment(timer["fire_time"])} <span style="{_FAINT}">({left})</span>'


def _signals(signals: dict[str, int]) -> str:
    if not signals:
        return ""
    names = ", ".join(escape(name) + (f" ({count} times)" if count > 1 else "") for name, count in signals.items())
    return f'<div style="{_HEADING}">Signals received</div><div>{names}</div>'


# Pieces.


def _chip(status: str) -> str:
    seen = look(status)
    return f'<span style="{_CHIP}; background-color: {seen.colour}">{seen.icon} {escape(status)}</span>'


def _state(status: str) -> str:
    seen = look(status)
    mark = f"color: #ffffff; background-color: {seen.colour}; border-radius: 3px; padding: 0 4px"
    return f'<span style="{mark}">{seen.icon}</span> {escape(seen.word)}'


def _bar(group: ActivityGroup, width: int) -> str:
    pieces = "".join(
        f'<span style="{_PIECE}; width: {100 * count / group["total"]:.2f}%; background-color: {look(status).colour}" '
        f'title="{count} {escape(look(status).word)}"></span>'
        for status, count in ordered_states(group)
        if status not in ("Scheduled", "Backoff")
    )
    return f'<span style="{_BAR}; width: {width}px">{pieces}</span>'


def _code(text: str) -> str:
    return f'<span style="{_CODE}">{escape(text)}</span>'


def _row(cells: Iterable[Any]) -> str:
    return '<tr style="background: none">' + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def _table(rows: str) -> str:
    return f'<table style="{_TABLE}">{rows}</table>'
