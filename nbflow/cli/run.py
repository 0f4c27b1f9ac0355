"""``nbflow run``: a notebook, headless."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import Any

from nbflow.exceptions import ConfigurationError

_DESCRIPTION = """\
Run a notebook top to bottom in a fresh kernel and save it after every cell.

The same --run-id continues an earlier run: cells run again, and activities that had completed answer from the event
log instead of running. People read stderr; stdout carries data only (--json, or the notebook when OUT is -).

exit codes: 0 ok, 1 a cell failed, 2 wrong usage, 75 suspended, 124 run timeout, 137 kernel killed, 138 kernel died,
130 SIGINT, 143 SIGTERM"""


def add_commands(verbs: Any) -> None:
    """Add ``run`` to the command line."""
    parser = verbs.add_parser("run", help="run a notebook headless", description=_DESCRIPTION)
    parser.set_defaults(command=run)
    parser.add_argument("notebook", metavar="NB", help="the notebook, or - for standard input")
    parser.add_argument(
        "output",
        metavar="OUT",
        nargs="?",
        help="the executed notebook, {name} standing for a parameter, - for stdout (default: <NB>.out.ipynb)",
    )
    _add_parameters(parser.add_argument_group("parameters"))
    _add_durability(parser.add_argument_group("durability"))
    _add_limits(parser.add_argument_group("limits, in seconds or like 90s, 10m, 1h30m"))
    _add_kernel(parser.add_argument_group("kernel"))
    _add_telling(parser.add_argument_group("what is told"))


def _add_parameters(group: Any) -> None:
    group.add_argument(
        *("-p", "--param"), dest="pairs", action="append", default=[], metavar="KEY=VALUE", help="give a parameter"
    )
    group.add_argument(
        *("-f", "--params-file"), dest="files", action="append", default=[], metavar="FILE", help="a JSON or YAML file"
    )
    group.add_argument(
        *("-y", "--params-inline"), dest="texts", action="append", default=[], metavar="TEXT", help="JSON or YAML text"
    )
    group.add_argument(
        "--no-strict-params", dest="strict", action="store_false", help="accept names the notebook does not declare"
    )


def _add_durability(group: Any) -> None:
    group.add_argument("--run-id", metavar="ID", help="name this run, or continue the run of this name")
    group.add_argument("--store", metavar="FILE", help="the event log (default: <NB>.nbflow.duckdb beside NB)")


def _add_limits(group: Any) -> None:
    group.add_argument("--timeout", metavar="TIME", help="for each cell")
    group.add_argument("--run-timeout", metavar="TIME", help="for the whole run")
    group.add_argument("--startup-timeout", metavar="TIME", default="60", help="for the kernel to answer (default: 60)")


def _add_kernel(group: Any) -> None:
    group.add_argument("-k", "--kernel", metavar="NAME", help="kernel to use (default: the notebook's own)")
    group.add_argument("--cwd", metavar="DIR", help="the kernel's working directory (default: the notebook's folder)")


def _add_telling(group: Any) -> None:
    group.add_argument("--log-output", action="store_true", help="pass on what cells print, to stderr")
    group.add_argument("--json", action="store_true", help="print the result as JSON to stdout")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress; errors only")


def run(args: argparse.Namespace) -> int:
    """Run the notebook and return the exit code."""
    from nbflow.core.durations import parse_duration
    from nbflow.runner import ConsoleReporter, RunOptions, run_notebook
    from nbflow.runner.given import gather

    if args.json and (args.output == "-" or (args.notebook == "-" and args.output is None)):
        raise ConfigurationError("--json and a notebook on standard output don't go together; give OUT a path")
    options = RunOptions(
        notebook=args.notebook,
        output=args.output,
        parameters=gather(args.pairs, args.texts, args.files),
        strict_parameters=args.strict,
        run_id=args.run_id,
        store=args.store,
        cell_timeout=None if args.timeout is None else parse_duration(args.timeout),
        run_timeout=None if args.run_timeout is None else parse_duration(args.run_timeout),
        startup_timeout=parse_duration(args.startup_timeout),
        kernel=args.kernel,
        cwd=args.cwd,
    )
    reporter = ConsoleReporter(
        log_output=args.log_output, quiet=args.quiet, continue_command=_without_run_id(args.argv)
    )
    result = run_notebook(options, reporter)
    if args.json:
        sys.stdout.write(json.dumps(result.as_json(), indent=2) + "\n")
    return result.exit_code


def _without_run_id(argv: list[str]) -> str:
    """Return the command that was given, for a continuation to add the run id to."""
    kept: list[str] = []
    skip = False
    for word in argv:
        if not skip and word != "--run-id" and not word.startswith("--run-id="):
            kept.append(word)
        skip = word == "--run-id"
    return "nbflow " + shlex.join(kept)
