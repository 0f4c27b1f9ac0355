"""``nbflow signal``, ``query`` and ``update``: messages to an execution, from a shell.

The store is opened for the request only. Workflow code reacts to it at once; activities that it asks for run where
the notebook, or a worker, opens the store next.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from nbflow.cli.opening import open_execution, say
from nbflow.cli.reads import add_store
from nbflow.cli.tables import jsonable

_UNFINISHED = 75
"""Exit code: what was asked for goes on later."""


def add_commands(verbs: Any) -> None:
    """Add the commands that ask something of an execution."""
    signal = _add(verbs, "signal", run_signal, "send a signal to a workflow execution")
    _add_name_and_arguments(signal, "signal")
    query = _add(verbs, "query", run_query, "ask a workflow execution, and print its answer as JSON")
    _add_name_and_arguments(query, "query")
    update = _add(verbs, "update", run_update, "update a workflow execution, and print its answer as JSON")
    _add_name_and_arguments(update, "update")
    update.add_argument("--update-id", metavar="ID", help="asking again with the same id gives the same answer")
    update.add_argument(
        "--timeout", default="10s", metavar="DURATION", help="how long to wait for the answer (default: 10s)"
    )


def _add(verbs: Any, name: str, command: Any, help_: str) -> Any:
    parser = verbs.add_parser(name, help=help_, description=help_.capitalize() + ".")
    parser.set_defaults(command=command)
    parser.add_argument("id", metavar="ID", help="its workflow id")
    parser.add_argument("--run", metavar="RUN", help="which run (default: the newest)")
    add_store(parser)
    return parser


def _add_name_and_arguments(parser: Any, kind: str) -> None:
    parser.add_argument("name", metavar="NAME", help=f"name of the {kind}")
    parser.add_argument("values", metavar="VALUE", nargs="*", help="its arguments: JSON, or else text")


def run_signal(args: argparse.Namespace) -> int:
    """Send a signal."""
    with open_execution(args) as handle:
        handle.signal(args.name, *map(value_of, args.values))
        say(handle, f"signal {args.name!r} is recorded")
    return 0


def run_query(args: argparse.Namespace) -> int:
    """Print the answer of a query."""
    with open_execution(args) as handle:
        answer = handle.query(args.name, *map(value_of, args.values))
    sys.stdout.write(json.dumps(jsonable(answer), indent=2) + "\n")
    return 0


def run_update(args: argparse.Namespace) -> int:
    """Print the answer of an update; 75 if it is accepted and its end is not near."""
    from nbflow.exceptions import TimeoutError  # noqa: A004  Temporal's name for it

    with open_execution(args) as handle:
        update = handle.start_update(args.name, *map(value_of, args.values), id=args.update_id)
        try:
            answer = update.result(timeout=args.timeout)
        except TimeoutError:
            say(
                handle, f"update {args.name!r} is accepted (id {update.id}), and goes on where the store is opened next"
            )
            return _UNFINISHED
    sys.stdout.write(json.dumps(jsonable(answer), indent=2) + "\n")
    return 0


def value_of(text: str) -> Any:
    """Read an argument: JSON, or else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
