"""How states look: an icon and a word for each, colours beside them, times and durations for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from nbflow.core.durations import format_duration
from nbflow.widgets.view_models import ActivityGroup, Progress, TimerRow

__all__ = [
    "LOOKS",
    "Look",
    "count_words",
    "group_words",
    "hidden_words",
    "look",
    "moment",
    "ordered_states",
    "progress_words",
    "seconds_words",
    "shorten",
    "timer_words",
]


class Look(NamedTuple):
    """One state.

    Parameters
    ----------
    icon
        One character that text fonts have.
    colour
        White text on it can be read, and it can be seen on white and on black.
    word
        What it is called beside a number.
    """

    icon: str
    colour: str
    word: str


LOOKS: Mapping[str, Look] = {
    "Running": Look("►", "#1f6fd0", "running"),
    "Completed": Look("✓", "#1f7f43", "done"),
    "Failed": Look("✗", "#cc2f2f", "failed"),
    "Canceled": Look("⊘", "#6a7178", "cancelled"),
    "Terminated": Look("■", "#a63c6b", "terminated"),
    "TimedOut": Look("◷", "#b4521a", "timed out"),
    "Paused": Look("‖", "#5b6b8c", "paused"),
    "Suspended": Look("!", "#7a5cc7", "suspended"),
    "ContinuedAsNew": Look("↻", "#0f7986", "continued as new"),
    "Started": Look("►", "#1f6fd0", "running"),
    "Backoff": Look("↻", "#b4521a", "to retry"),
    "Scheduled": Look("○", "#6a7178", "waiting"),
}
_UNKNOWN = Look("?", "#6a7178", "unknown")
_ORDER = ("Completed", "Failed", "TimedOut", "Canceled", "Started", "Backoff", "Scheduled")


def look(status: str) -> Look:
    """Return how a state looks."""
    return LOOKS.get(status, _UNKNOWN)


def ordered_states(group: ActivityGroup) -> list[tuple[str, int]]:
    """List a group's states that occur, what is done first."""
    return [(status, group["states"][status]) for status in _ORDER if group["states"].get(status)]


def group_words(group: ActivityGroup) -> str:
    """Say how far a group of activities is: ``36/40 done, 2 running, 3 retried``."""
    words = [f"{group['states'].get('Completed', 0)}/{group['total']} done"]
    words += [f"{count} {look(status).word}" for status, count in ordered_states(group) if status != "Completed"]
    if group["retried"]:
        words.append(f"{group['retried']} retried")
    return ", ".join(words)


def progress_words(progress: Progress) -> list[str]:
    """Say how far an execution is, in a few words each."""
    words = [_short_group_words(group) for group in progress["groups"][:4]]
    if len(progress["groups"]) > 4:
        words.append(f"{len(progress['groups']) - 4} more types")
    if progress["retries"]:
        words.append(count_words(progress["retries"], "retry", "retries"))
    if progress["next_timer"] is not None:
        words.append(f"next timer {timer_words(progress['next_timer'])}")
    waited = progress["seconds"]
    seconds = f"{waited:.1f} s" if waited < 10 else seconds_words(waited)
    stopped = progress["status"] in ("Running", "Paused", "Suspended") and not progress["is_waited_for"]
    words.append(f"stopped waiting after {seconds}" if stopped else seconds)
    return words


def _short_group_words(group: ActivityGroup) -> str:
    failed = group["states"].get("Failed", 0) + group["states"].get("TimedOut", 0)
    return f"{group['activity_type']} {group['done']}/{group['total']}" + (f" ({failed} failed)" if failed else "")


def hidden_words(hidden: Mapping[str, int]) -> str:
    """Say how many executions have no line of their own: ``and 95 more: 40 Completed, 55 Running``."""
    parts = ", ".join(f"{count} {status}" for status, count in sorted(hidden.items()))
    return f"and {sum(hidden.values())} more: {parts}"


def count_words(count: int, one: str, many: str) -> str:
    """Say a number of things."""
    return f"{count} {one if count == 1 else many}"


def moment(iso: str) -> str:
    """Say a time to the second, UTC."""
    return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M:%S} UTC"


def timer_words(timer: TimerRow) -> str:
    """Say when a timer fires; the day too, if it is not soon."""
    text = moment(timer["fire_time"])
    return text if timer["seconds"] > 12 * 3600 else text.partition(" ")[2]


def seconds_words(seconds: float) -> str:
    """Say a duration, no finer than people care for."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return format_duration(round(seconds) if seconds >= 10 else round(seconds, 1))


def shorten(text: str, width: int) -> str:
    """Put a text on one line and cut it."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
