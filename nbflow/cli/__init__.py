"""The command line: parse, call the runner, the client or the store, print. Data to stdout, the rest to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from nbflow.cli.parser import UsageProblem, parse
from nbflow.exceptions import ConfigurationError, NbflowError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        The arguments; those of the process unless given.

    Returns
    -------
    int
        What the process should exit with: 0, 2 for wrong usage, 1 for what went wrong else, and the codes of
        ``nbflow run``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = parse(arguments)
        code: int = args.command(args)
        sys.stdout.flush()
    except UsageProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except ConfigurationError as error:
        sys.stderr.write(f"nbflow: {error}\n")
        return 2
    except NbflowError as error:
        sys.stderr.write(f"nbflow: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code
