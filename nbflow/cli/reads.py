"""``nbflow sql``, ``ls`` and ``show``: what the event log says."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbflow.cli.tables import Table, on_one_line, write_csv, write_json, write_text
from nbflow.exceptions import ClientError, ConfigurationError, WorkflowNotFoundError

_OPEN, _CLOSED = ("Running", "Paused", "Suspended"), ("Completed", "Failed", "Canceled", "Terminated", "TimedOut")
STATUSES = (*_OPEN, *_CLOSED, "ContinuedAsNew")

_LIST = """
select workflow_id, workflow_type, status, start_time, duration, history_length, failure_message
from executions
where ($status is null or status = $status) and ($type is null or workflow_type = $type)
order by start_time desc, workflow_id
limit $limit
"""
_FIND = """
select * exclude (definition_hash, backend) from executions
where workflow_id = $id or run_id = $id
order by start_time desc
limit 1
"""
_ACTIVITIES = """
select scheduled_event_id as event, activity_type, status, attempt, scheduled_time, duration, failure_message
from activities where run_id = $run_id order by scheduled_event_id
"""
_TIMERS = """
select started_event_id as event, summary, status, started_time, fire_time
from timers where run_id = $run_id order by started_event_id
"""
_EVENTS = "select event_id, event_time, event_type, name from events where run_id = $run_id order by event_id"


def add_commands(verbs: Any) -> None:
    """Add the commands that read to the command line."""
    sql = verbs.add_parser("sql", help="ask the event log with SQL", description=_SQL_DESCRIPTION)
    sql.set_defaults(command=run_sql)
    sql.add_argument("query", metavar="QUERY", help="the statement, or - to read it from standard input")
    add_formats(sql)
    ls = verbs.add_parser("ls", help="list workflow executions, newest first")
    ls.set_defaults(command=run_ls)
    ls.add_argument("--status", choices=STATUSES, metavar="STATUS", help=f"one of {', '.join(STATUSES)}")
    ls.add_argument("--type", metavar="TYPE", help="only this workflow type")
    ls.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many (default: 50)")
    add_formats(ls)
    show = verbs.add_parser("show", help="show one workflow execution with its activities and timers")
    show.set_defaults(command=run_show)
    show.add_argument("id", metavar="ID", help="its workflow id (the newest run) or run id")
    show.add_argument("--events", action="store_true", help="its whole history, event by event")
    add_store(show)
    show.add_argument("--json", action="store_true", help="print JSON")


_SQL_DESCRIPTION = """\
Ask the event log. Relations: events, executions, activities, attempts, timers, signals, failures, logs, definitions.

  nbflow sql "select workflow_id, status from executions where status = 'Failed'" --json"""


def add_store(parser: Any) -> None:
    """Add the option that names the store."""
    parser.add_argument("--store", metavar="FILE", help="the event log (default: as for 'nbflow run', or the one here)")


def add_formats(parser: Any) -> None:
    add_store(parser)
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print a JSON array")
    formats.add_argument("--csv", action="store_true", help="print CSV")


def run_sql(args: argparse.Namespace) -> int:
    """Print what a statement answers."""
    query = sys.stdin.read() if args.query == "-" else args.query
    with open_log(args.store) as cursor:
        write_table(ask(cursor, query, {}), args)
    return 0


def run_ls(args: argparse.Namespace) -> int:
    """List executions."""
    if args.limit < 0:
        raise ConfigurationError(f"--limit must be 0 or more, got {args.limit}")
    with open_log(args.store) as cursor:
        table = ask(cursor, _LIST, {"status": args.status, "type": args.type, "limit": args.limit})
    write_table(table, args)
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Show one execution."""
    with open_log(args.store) as cursor:
        found = ask(cursor, _FIND, {"id": args.id})
        if not found.rows:
            raise WorkflowNotFoundError(args.id)
        execution = dict(zip(found.columns, found.rows[0], strict=True))
        of_run = {"run_id": execution["run_id"]}
        parts = {"activities": ask(cursor, _ACTIVITIES, of_run), "timers": ask(cursor, _TIMERS, of_run)}
        if args.events:
            parts["events"] = ask(cursor, _EVENTS, of_run)
    if args.json:
        whole = found.records()[0] | {name: table.records() for name, table in parts.items()}
        sys.stdout.write(json.dumps(whole, indent=2) + "\n")
        return 0
    width = max(len(name) for name in execution)
    for name, value in execution.items():
        if value is not None:
            sys.stdout.write(f"{name:<{width}}  {on_one_line(value)}\n")
    for name, table in parts.items():
        if table.rows:
            sys.stdout.write(f"\n{name}\n")
            write_text(table, sys.stdout)
    return 0


def find_log(given: str | None) -> str:
    """Return the path of the store that a command is about.

    Raises
    ------
    ConfigurationError
        If there is none, or several.
    """
    from nbflow.runner.settings import find_store

    path = Path(find_store(given, None))
    if path.is_file():
        return str(path)
    here = sorted(Path.cwd().glob("*.nbflow.duckdb"))
    if given is None and len(here) == 1:
        return str(here[0])
    if given is None and here:
        names = ", ".join(it.name for it in here)
        raise ConfigurationError(f"several stores are here ({names}): choose one with --store")
    raise ConfigurationError(f"there is no store at {path}; name one with --store, or in NBFLOW_STORE")


@contextmanager
def open_log(given: str | None) -> Iterator[Any]:
    """Open the store for reading only and hand out a cursor."""
    import duckdb

    from nbflow.store import EventStore

    path = find_log(given)
    try:
        log = EventStore.open(path, read_only=True)
    except duckdb.Error as error:
        raise ClientError(f"the store {path} can't be opened: {error}") from None
    with log:
        yield log.cursor()


def ask(cursor: Any, query: str, values: dict[str, Any]) -> Table:
    import duckdb

    try:
        cursor.execute(query, values) if values else cursor.execute(query)
        description = cursor.description or []
        return Table([it[0] for it in description], [str(it[1]) for it in description], cursor.fetchall())
    except duckdb.Error as error:
        raise ClientError(f"the query failed: {error}") from None


def write_table(table: Table, args: argparse.Namespace) -> None:
    write = write_json if args.json else write_csv if args.csv else write_text
    write(table, sys.stdout)
