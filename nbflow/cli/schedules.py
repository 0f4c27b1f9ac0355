"""``nbflow schedule``: what there is to see of schedules, and to do with them, from a shell.

The store is opened for the request only. A run that it starts goes on where a worker, a tick or a notebook opens the
store next, and schedules that are due wait for that too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from nbflow.cli.reads import add_formats, add_store, ask, find_log, open_log, write_table
from nbflow.cli.tables import on_one_line, write_text

_LIST = """
select schedule_id, workflow_type, date_trunc('second', next_time) as next_time, paused, overlap, actions, skipped,
    missed, waiting, note
from schedules order by schedules.next_time nulls last, schedule_id
"""
_FIND = "select * from schedules where schedule_id = $id"
_EVENTS = """
select * from (
    select date_trunc('second', time) as time, kind, nominal_time, workflow_id, body
    from schedule_events where schedule_id = $id order by schedule_events.time desc limit 10
) order by time
"""
_DESCRIPTION = """\
See schedules and change them. The store is opened for the request only: a run that is started here goes on where a
worker, a tick or a notebook opens the store next, and what is due waits for that too."""
_OVERLAPS = "skip, buffer_one, buffer_all, cancel_other, terminate_other, allow_all"


def add_commands(verbs: Any) -> None:
    """Add ``schedule`` to the command line."""
    parser = verbs.add_parser("schedule", help="list, show, pause, trigger schedules", description=_DESCRIPTION)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=type(parser))
    ls = actions.add_parser("ls", help="list schedules, the one that acts next first")
    ls.set_defaults(command=run_ls)
    add_formats(ls)
    show = _add(actions, "show", run_show, "show a schedule, its next times and what it did last")
    show.add_argument("--json", action="store_true", help="print JSON")
    for name, command, help_ in (
        ("pause", run_pause, "let a schedule rest"),
        ("unpause", run_unpause, "let a schedule act again, from now on"),
    ):
        _add(actions, name, command, help_).add_argument("--note", default="", metavar="TEXT", help="why")
    trigger = _add(actions, "trigger", run_trigger, "start a run now, also while the schedule is paused")
    trigger.add_argument("--overlap", metavar="POLICY", help=f"for this run: one of {_OVERLAPS}")
    backfill = _add(actions, "backfill", run_backfill, "act on the times of a span of the past, both ends included")
    backfill.add_argument("start", metavar="START", help="like 2026-12-01 or 2026-12-01T09:00, in the schedule's zone")
    backfill.add_argument("end", metavar="END", help="the last moment")
    backfill.add_argument("--overlap", metavar="POLICY", help=f"for these runs: one of {_OVERLAPS}")
    _add(actions, "delete", run_delete, "delete a schedule; executions that it started go on")


def _add(actions: Any, name: str, command: Any, help_: str) -> Any:
    parser = actions.add_parser(name, help=help_, description=help_.capitalize() + ".")
    parser.set_defaults(command=command)
    parser.add_argument("id", metavar="ID", help="the schedule's id")
    add_store(parser)
    return parser


def run_ls(args: argparse.Namespace) -> int:
    """List schedules."""
    with open_log(args.store) as cursor:
        table = ask(cursor, _LIST, {})
    write_table(table, args)
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Show one schedule."""
    from nbflow.exceptions import ScheduleNotFoundError

    with open_log(args.store) as cursor:
        found = ask(cursor, _FIND, {"id": args.id})
        if not found.rows:
            raise ScheduleNotFoundError(args.id)
        events = ask(cursor, _EVENTS, {"id": args.id})
    (about,) = found.records()
    about["next_times"] = _next_times(about["spec"])
    if args.json:
        sys.stdout.write(json.dumps(about | {"events": events.records()}, indent=2) + "\n")
        return 0
    width = max(len(name) for name in about)
    for name, value in about.items():
        if value not in (None, "", []):
            sys.stdout.write(f"{name:<{width}}  {on_one_line(value)}\n")
    sys.stdout.write("\nevents\n")
    write_text(events, sys.stdout)
    return 0


def _next_times(spec: dict[str, Any]) -> list[str]:
    from datetime import datetime

    from nbflow.core.schedule_spec import ScheduleSpec, zone_named
    from nbflow.engine.clock import RealClock

    read = ScheduleSpec.from_json(spec)
    times = islice(read.times(RealClock().now()), 3)
    return [datetime.fromtimestamp(time / 1_000_000, zone_named(read.timezone)).isoformat() for time in times]


def run_pause(args: argparse.Namespace) -> int:
    """Pause."""
    with _schedule(args) as handle:
        handle.pause(args.note or "paused")
        _say(args, "paused")
    return 0


def run_unpause(args: argparse.Namespace) -> int:
    """Unpause."""
    with _schedule(args) as handle:
        handle.unpause(args.note)
        _say(args, "acts again, from now on")
    return 0


def run_trigger(args: argparse.Namespace) -> int:
    """Trigger."""
    with _schedule(args) as handle:
        run = handle.trigger(args.overlap)
        _say(
            args, f"started {run.workflow_id}" if run is not None else "a run is under way: the overlap policy decides"
        )
    return 0


def run_backfill(args: argparse.Namespace) -> int:
    """Backfill."""
    with _schedule(args) as handle:
        runs = handle.backfill(args.start, args.end, args.overlap)
        _say(args, f"started {len(runs):,} runs; the others follow as the overlap policy says")
    return 0


def run_delete(args: argparse.Namespace) -> int:
    """Delete."""
    with _schedule(args) as handle:
        handle.delete()
        _say(args, "deleted")
    return 0


def _say(args: argparse.Namespace, what: str) -> None:
    sys.stderr.write(f"schedule {args.id}: {what}\n")


@contextmanager
def _schedule(args: argparse.Namespace) -> Iterator[Any]:
    from nbflow.client import Client, ScheduleHandle
    from nbflow.engine.engine import EngineOptions

    # no room for attempts, and what is due stays: a shell command that ends at once must not begin other work
    options = EngineOptions(threads=0, loop_tasks=0, processes=0, schedules=False)
    client = Client(find_log(args.store), options=options)
    try:
        yield ScheduleHandle(client, args.id)
    finally:
        client.close()
