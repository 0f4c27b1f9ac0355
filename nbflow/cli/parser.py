"""The grammar of the command line, and errors in it that say what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from nbflow.cli import check, completions, interchange, operating, reads, requests, run, schedules, worker

_COMMANDS = (run, reads, requests, operating, completions, worker, schedules, interchange, check)


class UsageProblem(Exception):  # noqa: N818  it is what a person did, told to them; nothing else catches it
    """The arguments make no command."""


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, and guesses at typing errors."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs["allow_abbrev"] = False  # an abbreviation breaks when an option is added
        super().__init__(**kwargs)

    def error(self, message: str) -> NoReturn:
        raise UsageProblem(f"{self.prog}: {message}{self._guess(message)}\n{self.format_usage().rstrip()}")

    def _guess(self, message: str) -> str:
        choice = re.search(r"invalid choice: '([^']*)'", message)
        if choice:
            known = [name for action in self._actions if isinstance(action.choices, dict) for name in action.choices]
            return _did_you_mean(choice[1], known)
        return ""

    def unknown(self, extra: Sequence[str]) -> NoReturn:
        """Refuse arguments that nothing took."""
        known = [option for action in self._actions for option in action.option_strings]
        first = extra[0].split("=")[0]
        guess = _did_you_mean(first, known) if first.startswith("-") else ""
        self.error(f"unrecognized arguments: {' '.join(extra)}{guess}")


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return the command in ``args.command`` and its arguments.

    Raises
    ------
    UsageProblem
        If the arguments make no command.
    """
    parser, commands = _build()
    if not argv:
        parser.print_help(sys.stderr)
        raise UsageProblem("nbflow: say what to do, for example: nbflow run notebook.ipynb")
    args, extra = parser.parse_known_args(argv)
    if extra:
        commands[args.verb].unknown(extra)
    args.argv = list(argv)
    return args


def _build() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(prog="nbflow", description="Durable workflows for notebooks.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True, parser_class=Parser)
    for module in _COMMANDS:
        module.add_commands(verbs)
    return parser, dict(verbs.choices)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_unused: object) -> None:
        import nbflow

        sys.stdout.write(f"nbflow {nbflow.__version__}\n")
        parser.exit(0)
