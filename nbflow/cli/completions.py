"""``nbflow complete`` and ``nbflow fail``: the outcome of an activity that waits for it, from a shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbflow.cli.opening import open_client
from nbflow.cli.reads import add_store
from nbflow.cli.requests import value_of


def add_commands(verbs: Any) -> None:
    """Add both commands."""
    complete = _add(verbs, "complete", run_complete, "complete an activity that waits for it")
    complete.add_argument("value", metavar="VALUE", nargs="?", help="its result: JSON, or else text (default: none)")
    fail = _add(verbs, "fail", run_fail, "let an attempt of an activity that waits for its outcome fail")
    fail.add_argument("message", metavar="MESSAGE", help="why")


def _add(verbs: Any, name: str, command: Any, help_: str) -> Any:
    parser = verbs.add_parser(name, help=help_, description=help_.capitalize() + ".")
    parser.set_defaults(command=command)
    parser.add_argument("token", metavar="TOKEN", help="its task token: activity_info().task_token")
    add_store(parser)
    return parser


def run_complete(args: argparse.Namespace) -> int:
    """Complete."""
    with _handle(args) as handle:
        handle.complete(None if args.value is None else value_of(args.value))
    sys.stderr.write("completed\n")
    return 0


def run_fail(args: argparse.Namespace) -> int:
    """Fail."""
    with _handle(args) as handle:
        handle.fail(args.message)
    sys.stderr.write("the attempt has failed; another one follows if the activity's retry policy says so\n")
    return 0


@contextmanager
def _handle(args: argparse.Namespace) -> Iterator[Any]:
    from nbflow.client import get_activity

    with open_client(args) as client:
        yield get_activity(args.token, client=client)
