"""``%nbflow schedule``: what there is to see of schedules, and to do with them."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from nbflow.client import ScheduleHandle, default_client, get_schedule
from nbflow.exceptions import ConfigurationError
from nbflow.notebook.arguments import Arguments
from nbflow.notebook.display import Facts, Said

__all__ = ["SCHEDULE_USAGE", "run_schedule_verb"]

SCHEDULE_USAGE = "[ls, show, pause, unpause, trigger, backfill or delete] [ID ...]"


def run_schedule_verb(arguments: Arguments) -> Any:
    """Run what follows ``%nbflow schedule``."""
    word = arguments.optional_word() or "ls"
    verb = _VERBS.get(word)
    if verb is None:
        near = get_close_matches(word, _VERBS, 1)
        hint = f" did you mean {near[0]!r}?" if near else ""
        msg = f"%nbflow schedule can't {word!r};{hint} there are: {', '.join(_VERBS)}"
        raise ConfigurationError(msg)
    return verb(arguments)


def _schedule(arguments: Arguments) -> ScheduleHandle:
    subject = arguments.subject("which schedule?")
    return subject if isinstance(subject, ScheduleHandle) else get_schedule(str(subject))


def _ls(arguments: Arguments) -> Any:
    arguments.end()
    return default_client().sql(_LIST)


_LIST = """
SELECT schedule_id, workflow_type, date_trunc('second', next_time) AS next_time, paused, overlap, actions, skipped,
    missed, waiting, note
FROM schedules ORDER BY schedules.next_time NULLS LAST, schedule_id
"""


def _show(arguments: Arguments) -> Facts:
    handle = _schedule(arguments)
    arguments.end()
    about = handle.describe()
    facts = [(name, str(value)) for name, value in about.items() if value not in (None, "", 0, False)]
    facts += [("next", f"{time:%a %Y-%m-%d %H:%M:%S %Z}") for time in handle.next_times(3)]
    return Facts(f"schedule {handle.id}", facts)


def _pause(arguments: Arguments) -> Said:
    handle = _schedule(arguments)
    handle.pause(arguments.rest or "paused")
    return Said(f"schedule {handle.id!r} is paused")


def _unpause(arguments: Arguments) -> Said:
    handle = _schedule(arguments)
    handle.unpause(arguments.rest)
    return Said(f"schedule {handle.id!r} acts again{_when(handle)}")


def _when(handle: ScheduleHandle) -> str:
    times = handle.next_times(1)
    return f", next at {times[0]:%Y-%m-%d %H:%M:%S %Z}" if times else ""


def _trigger(arguments: Arguments) -> Any:
    overlap: Any = arguments.options(["overlap"]).get("overlap")
    handle = _schedule(arguments)
    arguments.end()
    run = handle.trigger(overlap)
    return run if run is not None else Said(f"schedule {handle.id!r} has a run under way: its overlap policy decides")


def _backfill(arguments: Arguments) -> Said:
    overlap: Any = arguments.options(["overlap"]).get("overlap")
    handle = _schedule(arguments)
    start, end = arguments.word("from when?"), arguments.word("to when?")
    arguments.end()
    runs = handle.backfill(start, end, overlap)
    return Said(f"schedule {handle.id!r} started {len(runs):,} runs; the others follow as the overlap policy says")


def _delete(arguments: Arguments) -> Said:
    handle = _schedule(arguments)
    arguments.end()
    handle.delete()
    return Said(f"schedule {handle.id!r} is deleted; what it started goes on")


_VERBS: dict[str, Callable[[Arguments], Any]] = {
    "ls": _ls,
    "show": _show,
    "pause": _pause,
    "unpause": _unpause,
    "trigger": _trigger,
    "backfill": _backfill,
    "delete": _delete,
}
