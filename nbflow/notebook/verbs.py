"""``%nbflow VERB``: what there is to see and to do, one small function each."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.client import Client, default_client
from nbflow.client.handle import WorkflowHandle
from nbflow.exceptions import ConfigurationError
from nbflow.notebook.arguments import Arguments
from nbflow.notebook.code_verbs import CODE_VERBS
from nbflow.notebook.display import Facts, Said
from nbflow.notebook.interchange_verbs import EXPORT_USAGE, IMPORT_USAGE, run_export_verb, run_import_verb
from nbflow.notebook.operator_verbs import OPERATOR_VERBS
from nbflow.notebook.schedule_verbs import SCHEDULE_USAGE, run_schedule_verb
from nbflow.notebook.verb import Verb, take_handle
from nbflow.widgets.look import moment
from nbflow.widgets.snapshot import read_counts

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["VERBS", "run_verb"]


def run_verb(line: str, namespace: Mapping[str, Any]) -> Any:
    """Run one line of ``%nbflow``.

    Parameters
    ----------
    line
        The verb and what follows it.
    namespace
        The notebook's variables, for ``$name``.

    Returns
    -------
    object
        A DataFrame, a handle, or something that displays well.

    Raises
    ------
    ConfigurationError
        When the line makes no sense.
    """
    word, _, rest = line.strip().partition(" ")
    verb = VERBS.get(word or "help")
    if verb is None:
        near = get_close_matches(word, VERBS, 1)
        hint = f" did you mean {near[0]!r}?" if near else ""
        msg = f"%nbflow has no verb {word!r};{hint} there are: {', '.join(VERBS)}"
        raise ConfigurationError(msg)
    return verb.run(Arguments(rest, namespace, f"write %nbflow {word or 'help'} {verb.usage}".rstrip()))


def _rows(arguments: Arguments, options: Mapping[str, str]) -> int:
    limit = options.get("limit", "50")
    if not limit.isdecimal():
        msg = f"--limit wants a number of rows, not {limit!r}"
        raise ConfigurationError(msg)
    arguments.end()
    return int(limit)


# What there is to see.


def _status(arguments: Arguments) -> Facts:
    arguments.end()
    client = default_client()
    counts = read_counts(client)
    facts = [
        ("store", _where(client)),
        ("executions", f"{counts['executions']:,}, {counts['open_executions']:,} of them open"),
        ("open activities", f"{counts['open_activities']:,}"),
        ("pending timers", _timers_words(counts)),
        ("events", f"{counts['events']:,}"),
    ]
    (planned,) = client.rows("SELECT count(*) AS count, min(next_time) AS next FROM schedules")
    if planned["count"]:
        when = "" if planned["next"] is None else f", the next one acts {moment(planned['next'].isoformat())}"
        facts.append(("schedules", f"{planned['count']:,}{when}"))
    problems = dict(client.engine.problems)
    if problems:
        run_id, error = next(iter(problems.items()))
        text = f"{len(problems):,} can't go on as they are; run {run_id}: {type(error).__name__}: {error}"
        facts.append(("parked", text))
    return Facts("nbflow", facts)


def _timers_words(counts: Mapping[str, Any]) -> str:
    count = f"{counts['pending_timers']:,}"
    if counts["next_timer"] is None:
        return count
    return f"{count}, the next one fires {moment(counts['next_timer'].isoformat())}"


def _where(client: Client) -> str:
    file = Path(client.path)
    return f"{client.path} ({file.stat().st_size / 1e6:,.1f} MB)" if file.is_file() else f"{client.path} (in memory)"


def _ls(arguments: Arguments) -> pd.DataFrame:
    options = arguments.options(["status", "type", "limit"])
    values = {"limit": _rows(arguments, options), "status": options.get("status"), "type": options.get("type")}
    return default_client().sql(_LIST, values)


_LIST = """
SELECT workflow_id, workflow_type, status, date_trunc('second', start_time) AS start_time, duration,
    history_length, failure_message
FROM executions
WHERE ($status IS NULL OR lower(status) = lower($status)) AND ($type IS NULL OR workflow_type = $type)
ORDER BY executions.start_time DESC, workflow_id LIMIT $limit
"""


def _show(arguments: Arguments) -> WorkflowHandle:
    handle = take_handle(arguments)
    arguments.end()
    return handle


def _timers(arguments: Arguments) -> pd.DataFrame:
    options = arguments.options(["limit"])
    return default_client().sql(_TIMERS, {"limit": _rows(arguments, options)})


_TIMERS = """
SELECT workflow_id, coalesce(summary, 'timer ' || timer_id) AS timer, date_trunc('second', fire_time) AS fire_time,
    date_trunc('second', started_time) AS started_time, timer_id, run_id
FROM timers WHERE status = 'Pending' ORDER BY timers.fire_time LIMIT $limit
"""


def _failures(arguments: Arguments) -> pd.DataFrame:
    options = arguments.options(["limit"])
    return default_client().sql(_FAILURES, {"limit": _rows(arguments, options)})


_FAILURES = """
SELECT date_trunc('second', failure_time) AS failure_time, workflow_id, failed, activity_type, attempt,
    root_type AS failure_type, root_message AS failure_message
FROM failures ORDER BY failures.failure_time DESC LIMIT $limit
"""


# What there is to do.


def _signal(arguments: Arguments) -> Said:
    handle = take_handle(arguments)
    name = arguments.word("which signal?")
    handle.signal(name, *arguments.values())
    return Said(f"signal {name!r} is in the history of {handle.workflow_id!r}")


def _update(arguments: Arguments) -> Any:
    handle = take_handle(arguments)
    name = arguments.word("which update?")
    return handle.update(name, *arguments.values())


def _query(arguments: Arguments) -> Any:
    handle = take_handle(arguments)
    name = arguments.word("which query?")
    return handle.query(name, *arguments.values())


def _help(arguments: Arguments) -> Facts:
    arguments.end()
    return Facts("%nbflow", [(f"{name} {verb.usage}".rstrip(), verb.summary) for name, verb in VERBS.items()])


VERBS: dict[str, Verb] = {
    "status": Verb("", "the store and how much is in it", _status),
    "ls": Verb("[--status STATUS] [--type TYPE] [--limit N]", "executions, latest first", _ls),
    "show": Verb("ID", "one execution: activities, timers, failure", _show),
    "timers": Verb("[--limit N]", "pending timers, the next one first", _timers),
    "failures": Verb("[--limit N]", "what failed, latest first", _failures),
    "signal": Verb("ID NAME [VALUE ...]", "send a signal; values are JSON, $variables or words", _signal),
    "update": Verb("ID NAME [VALUE ...]", "have an update handled, and give its answer", _update),
    "query": Verb("ID NAME [VALUE ...]", "ask a query handler", _query),
    **OPERATOR_VERBS,
    "schedule": Verb(
        SCHEDULE_USAGE, "schedules, the one that acts next first, and what to do with one", run_schedule_verb
    ),
    **CODE_VERBS,
    "export": Verb(
        EXPORT_USAGE, "an execution's history as JSON, for Temporal's tools or another store", run_export_verb
    ),
    "import": Verb(IMPORT_USAGE, "histories of Temporal, or of nbflow, into the store", run_import_verb),
    "help": Verb("", "this list", _help),
}
