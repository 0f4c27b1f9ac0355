"""``nbflow worker`` and ``nbflow tick``: executions and schedules without a notebook."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from nbflow.cli.reads import find_log

if TYPE_CHECKING:
    from nbflow.runner.ledger import Happening
    from nbflow.runner.serving import Waiting

_WORKER = """\
Keep the executions and schedules of a store going, with no notebook: code comes from the store. With NB, what these
notebooks or Python files define is loaded first: cells that only import, define and set plain values. What starts
from then on runs that code; executions that are open keep theirs.

The first SIGTERM or SIGINT ends it in order: no attempt begins any more, those under way may end within --grace.
A second one ends it at once; attempts that were cut off are tried again at the next start.

exit codes: 0 ended in order, 1 the store can't be used, 2 wrong usage, 130 or 143 ended at once by a second signal"""

_TICK = """\
Do what is due in a store (timers, schedules, retries, activities) until nothing is, then end. For cron and CI:

  * * * * * cd /my/project && nbflow tick report.nbflow.duckdb

exit codes: 0 nothing is left to do, 75 something waits for later (it says when), 1 the store can't be used,
2 wrong usage"""


def add_commands(verbs: Any) -> None:
    """Add both commands to the command line."""
    worker = verbs.add_parser("worker", help="keep executions and schedules going", description=_WORKER)
    worker.set_defaults(command=run_worker_command)
    _add_shared(worker, "print what happens as JSON lines to stdout")
    worker.add_argument(
        "definitions", metavar="NB", nargs="*", help="notebooks or .py files whose definitions go before the store's"
    )
    tick = verbs.add_parser("tick", help="do what is due, then end", description=_TICK)
    tick.set_defaults(command=run_tick_command)
    _add_shared(tick, "print the result as JSON to stdout")
    tick.add_argument("--budget", metavar="TIME", help="begin nothing after this long, like 10m")


def _add_shared(parser: Any, json_help: str) -> None:
    parser.add_argument("store", metavar="STORE", nargs="?", help="the event log (default: as for other commands)")
    parser.add_argument("--grace", metavar="TIME", default="30s", help="for attempts to end (default: 30s)")
    parser.add_argument("--poll", metavar="TIME", help="while another process holds the store, try again so often")
    parser.add_argument("--threads", metavar="N", type=int, help="def activities that run at once (default: 64)")
    parser.add_argument("--json", action="store_true", help=json_help)
    parser.add_argument("-q", "--quiet", action="store_true", help="errors only")


def _shared(args: argparse.Namespace) -> dict[str, Any]:
    from nbflow.core.durations import parse_duration
    from nbflow.exceptions import ConfigurationError

    if args.threads is not None and args.threads < 1:
        msg = f"--threads must be 1 or more, got {args.threads}"
        raise ConfigurationError(msg)
    return {
        "store": args.store or find_log(None),
        "grace": parse_duration(args.grace),
        "poll": None if args.poll is None else max(0.05, parse_duration(args.poll)),
        "threads": args.threads,
    }


def run_worker_command(args: argparse.Namespace) -> int:
    """Work until told to stop."""
    from nbflow.runner.worker import WorkerOptions, run_worker

    reporter = _Reporter(sys.stderr, quiet=args.quiet, as_json=args.json)
    if args.definitions:
        from nbflow.runner.definition_cells import load_definitions

        for path in args.definitions:
            reporter.say(load_definitions(path))
    try:
        return run_worker(WorkerOptions(**_shared(args)), reporter)
    finally:
        reporter.end()


def run_tick_command(args: argparse.Namespace) -> int:
    """Do what is due."""
    from nbflow.core.durations import parse_duration
    from nbflow.runner.tick import TickOptions, run_tick

    budget = None if args.budget is None else parse_duration(args.budget)
    reporter = _Reporter(sys.stderr, quiet=args.quiet, as_json=False)
    result = run_tick(TickOptions(budget=budget, **_shared(args)), tell=reporter.say)
    for problem in result.problems:
        reporter.say(problem)
    reporter.say(result.words())
    if args.json:
        sys.stdout.write(json.dumps(result.as_json(), indent=2) + "\n")
    return result.exit_code


class _Reporter:
    """Lines on stderr, with a status line below them on a terminal; JSON lines on stdout."""

    def __init__(self, stream: TextIO, *, quiet: bool, as_json: bool) -> None:
        self._stream = stream
        self._quiet = quiet
        self._as_json = as_json
        self._is_live = stream.isatty() and not quiet
        self._shown = ""

    def say(self, text: str) -> None:
        """Tell one line."""
        if not self._quiet:
            self._line(f"nbflow: {text}")

    def happened(self, happening: Happening) -> None:
        """Tell one thing that happened."""
        if self._as_json:
            sys.stdout.write(json.dumps(happening.as_json()) + "\n")
            sys.stdout.flush()
        elif not self._quiet:
            self._line(happening.words())

    def status(self, waiting: Waiting, running: int) -> None:
        """Show how things stand, on a terminal."""
        if self._is_live:
            due = "" if waiting.next_due is None else f" · next due {waiting.next_due:%Y-%m-%d %H:%M:%S} UTC"
            self._show(f"{waiting.executions:,} open · {running:,} running · {waiting.schedules:,} schedules{due}")

    def end(self) -> None:
        """Take the status line away."""
        self._show("")

    def _line(self, text: str) -> None:
        shown = self._shown
        self._show("")
        self._stream.write(text + "\n")
        self._stream.flush()
        self._show(shown)

    def _show(self, text: str) -> None:
        if self._is_live and text != self._shown:
            self._stream.write(f"\r\x1b[2K{text}")
            self._stream.flush()
            self._shown = text
