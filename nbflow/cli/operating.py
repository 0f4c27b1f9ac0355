"""``nbflow pause``, ``resume``, ``reset`` …: what operators do to one execution, or to all that a condition chooses.

The store is opened for the request only. Workflow code reacts to it at once; activities that it asks for run where
the notebook, or a worker, opens the store next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from nbflow.cli.opening import open_client, open_execution, say
from nbflow.cli.reads import add_store
from nbflow.exceptions import ConfigurationError

_REASON = ("--reason", {"default": "", "metavar": "TEXT", "help": "why, for the history"})


def add_commands(verbs: Any) -> None:
    """Add the operators' commands."""
    for name, help_, act, words in (
        ("cancel", "ask a workflow execution to cancel; it may clean up", _cancel, "asked to cancel"),
        ("terminate", "end a workflow execution at once, without cleaning up", _terminate, "terminated"),
        ("pause", "let a workflow execution rest: events are recorded, its code does not run", _pause, "paused"),
        ("unpause", "let a paused workflow execution go on", _unpause, "unpaused"),
        ("rewind", "run a failed workflow execution again from what failed", _rewind, "rewound"),
    ):
        parser = _add(verbs, name, help_, act, words)
        parser.add_argument(_REASON[0], **_REASON[1])
    _add(verbs, "resume", "let a suspended workflow execution try again", _resume, "resumed")
    retry = _add(verbs, "retry", "begin the next attempt of activities that wait for it", _retry, "retried")
    retry.add_argument("--activity", metavar="NAME", help="only this activity: its type, or its id (default: all)")
    reset = _add(verbs, "reset", "run a workflow execution again from one of its events", _reset, "reset")
    reset.add_argument(_REASON[0], **_REASON[1])
    _add_point(reset, "--event")
    reset.add_argument("--no-signals", action="store_true", help="do not send it again the signals that came later")
    _add_single(verbs)


def _add_single(verbs: Any) -> None:
    fire = _add(verbs, "fire", "fire a pending timer before its time", _fire, "fired", many=False)
    fire.add_argument("--timer", metavar="TIMER", help="its id (default: the next one due)")
    fork = _add(verbs, "fork", "start another execution with the first events of this one", _fork, "forked", many=False)
    _add_point(fork, "--at")
    fork.add_argument("--as", dest="new_id", metavar="ID", help="workflow id of the new one (default: made up)")


def _add(verbs: Any, name: str, help_: str, act: Callable[..., Any], words: str, *, many: bool = True) -> Any:
    parser = verbs.add_parser(name, help=help_, description=help_.capitalize() + ".")
    parser.set_defaults(command=run_verb, act=act, words=words, where=None)
    parser.add_argument("id", metavar="ID", nargs="?" if many else None, help="its workflow id")
    parser.add_argument("--run", metavar="RUN", help="which run (default: the newest)")
    if many:
        condition = "all that this SQL condition over the view executions chooses"
        parser.add_argument("--where", metavar="SQL", help=condition)
        parser.add_argument("--dry-run", action="store_true", help="with --where: only say how many they are")
        parser.add_argument("--yes", action="store_true", help="with --where: do not ask first")
    add_store(parser)
    return parser


def _add_point(parser: Any, option: str) -> None:
    parser.add_argument(
        option, dest="point", default="last", metavar="EVENT", type=_point,
        help="the last event to keep: its id, first, last (that the code reacted to; default) or last_failure",
    )  # fmt: skip


def _point(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def run_verb(args: argparse.Namespace) -> int:
    """Do it to one execution, or to many."""
    if (args.id is None) == (args.where is None):
        raise ConfigurationError(f"nbflow {args.verb} takes either the ID of an execution, or --where with a condition")
    if args.where is not None:
        return _run_batch(args)
    with open_execution(args) as handle:
        new = args.act(handle, args)
        say(new or handle, args.words)
    return 0


def _run_batch(args: argparse.Namespace) -> int:
    from nbflow.client.batches import choose

    with open_client(args) as client:
        batch = choose(client, args.where)
        count = f"{len(batch):,} workflow execution{'' if len(batch) == 1 else 's'}"
        if args.dry_run or not len(batch):
            sys.stderr.write(f"{count} would be {args.words}\n")
            return 0
        if not args.yes and not _confirmed(f"{args.verb} {count}?"):
            sys.stderr.write("nothing done\n")
            return 1
        table = args.act(batch, args)
    failed = table[table["outcome"] == "failed"]
    for row in failed.itertuples():
        sys.stderr.write(f"{row.workflow_id} (run {row.run_id}): {row.error}\n")
    counts = ", ".join(f"{number:,} {outcome}" for outcome, number in table["outcome"].value_counts().items())
    sys.stderr.write(f"{args.verb}: {counts}\n")
    return 1 if len(failed) else 0


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} There is nobody to ask; add --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


# What is done, to a handle or a batch alike.


def _cancel(target: Any, args: argparse.Namespace) -> Any:
    return target.cancel(args.reason)


def _terminate(target: Any, args: argparse.Namespace) -> Any:
    return target.terminate(args.reason)


def _pause(target: Any, args: argparse.Namespace) -> Any:
    return target.pause(args.reason)


def _unpause(target: Any, args: argparse.Namespace) -> Any:
    return target.unpause(args.reason)


def _resume(target: Any, args: argparse.Namespace) -> Any:  # noqa: ARG001  as all of them
    return target.resume()


def _retry(target: Any, args: argparse.Namespace) -> Any:
    return target.retry_now(args.activity)


def _reset(target: Any, args: argparse.Namespace) -> Any:
    return target.reset(args.point, reason=args.reason, reapply="none" if args.no_signals else "signals")


def _rewind(target: Any, args: argparse.Namespace) -> Any:
    return target.rewind(args.reason)


def _fire(target: Any, args: argparse.Namespace) -> Any:
    return target.fire(args.timer)


def _fork(target: Any, args: argparse.Namespace) -> Any:
    return target.fork(args.point, id=args.new_id)
