"""The verbs of ``%nbflow`` for operators: end an execution, pause it, mend it, run it again."""

from __future__ import annotations

from nbflow.notebook.arguments import Arguments
from nbflow.notebook.display import Said
from nbflow.notebook.verb import Verb, take_handle

__all__ = ["OPERATOR_VERBS"]


def _cancel(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    handle.cancel(arguments.rest)
    return Said(f"{handle.workflow_id!r} was asked to cancel; it is {handle.status}")


def _terminate(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    handle.terminate(arguments.rest)
    return Said(f"{handle.workflow_id!r} is terminated")


def _fire(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    timer_id = arguments.optional_word()
    arguments.end()
    handle.fire(timer_id)
    which = "the next timer" if timer_id is None else f"timer {timer_id!r}"
    return Said(f"{which} of {handle.workflow_id!r} has fired")


def _pause(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    handle.pause(arguments.rest)
    return Said(f"{handle.workflow_id!r} is {handle.status}")


def _unpause(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    handle.unpause(arguments.rest)
    return Said(f"{handle.workflow_id!r} is {handle.status}")


def _resume(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    arguments.end()
    handle.resume()
    return Said(f"{handle.workflow_id!r} is {handle.status}")


def _retry(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    activity = arguments.optional_word()
    arguments.end()
    handle.retry_now(activity)
    return Said(f"{activity or 'what waited for its next attempt'} runs again in {handle.workflow_id!r}")


def _reset(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    new = handle.reset(_point(arguments), reason=arguments.rest)
    return Said(f"{new.workflow_id!r} goes on as run {new.run_id}; it is {new.status}")


def _rewind(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    new = handle.rewind(arguments.rest)
    return Said(f"{new.workflow_id!r} goes on as run {new.run_id}; it is {new.status}")


def _fork(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    point = _point(arguments)
    new_id = arguments.optional_word()
    arguments.end()
    new = handle.fork(point, id=new_id)
    return Said(f"{new.workflow_id!r} goes on from {handle.workflow_id!r} (run {new.run_id}); it is {new.status}")


def _point(arguments: Arguments) -> int | str:
    word = arguments.optional_word() or "last"
    return int(word) if word.isdecimal() else word


OPERATOR_VERBS: dict[str, Verb] = {
    "cancel": Verb("ID [REASON]", "ask an execution to cancel; it may clean up", _cancel),
    "terminate": Verb("ID [REASON]", "end an execution at once", _terminate),
    "fire": Verb("ID [TIMER]", "fire a pending timer before its time", _fire),
    "retry": Verb("ID [ACTIVITY]", "begin the next attempt of an activity that waits for it", _retry),
    "pause": Verb("ID [REASON]", "let an execution rest: events are recorded, its code does not run", _pause),
    "unpause": Verb("ID [REASON]", "let a paused execution go on", _unpause),
    "resume": Verb("ID", "let a suspended execution try again with today's code", _resume),
    "reset": Verb("ID [EVENT [REASON]]", "run it again from an event: its id, first, last or last_failure", _reset),
    "rewind": Verb("ID [REASON]", "run a failed execution again from what failed", _rewind),
    "fork": Verb("ID [EVENT [NEW_ID]]", "start another execution with the first events of this one", _fork),
}
