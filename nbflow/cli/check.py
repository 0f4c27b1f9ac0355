"""``nbflow check``: does the code of a notebook fit what is recorded? A gate for CI."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from nbflow.exceptions import ConfigurationError

_DESCRIPTION = """\
Replay the workflows of a notebook, in memory, over the executions of a store or over exported histories. Only the
statements of the notebook that define its workflows and what they use are run; nothing is started or written.

  nbflow check report.ipynb                            # open executions of report.nbflow.duckdb
  nbflow check report.ipynb --all --store prod.duckdb
  nbflow check report.ipynb --history tests/histories/*.json

Exit code 0: all fit. 1: some do not, or the code can't be run. 2: wrong usage."""


def add_commands(verbs: Any) -> None:
    """Add the command to the command line."""
    check = verbs.add_parser(
        "check", help="tell whether edited code fits recorded executions", description=_DESCRIPTION
    )
    check.set_defaults(command=run_check)
    check.add_argument("notebook", metavar="NB", help="a notebook, or a Python file")
    check.add_argument("--store", metavar="FILE", help="the event log (default: as for 'nbflow run')")
    check.add_argument("--workflow", metavar="TYPE", action="append", help="only this workflow; may be repeated")
    which = check.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="closed executions too")
    which.add_argument("--where", metavar="SQL", help="a condition over the relation executions (default: open ones)")
    which.add_argument("--history", metavar="FILE", nargs="+", help="files of 'nbflow export' in place of a store")
    check.add_argument("--json", action="store_true", help="print a JSON object")


def run_check(args: argparse.Namespace) -> int:
    """Try the notebook's code."""
    if args.history and args.store:
        raise ConfigurationError("--history takes the place of a store: leave out --store")
    from nbflow.authoring.launcher import use_launcher
    from nbflow.client.checking import check
    from nbflow.notebook.definition_cells import run_definitions
    from nbflow.runner.settings import find_store

    cells = _cells(args.notebook)
    use_launcher(_refuse_to_start)
    run_definitions(cells, Path(args.notebook).name)
    if args.history:
        found = check(args.workflow, histories=args.history)
    else:
        store = find_store(args.store, args.notebook)
        found = check(args.workflow, store, where="true" if args.all else args.where)
    if args.json:
        tree = {"ok": found.ok, "fits": len(found.fits), "misfits": len(found.misfits), "skipped": found.skipped}
        sys.stdout.write(json.dumps({**tree, "executions": found.rows()}, indent=1, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(f"{found!r}\n")
    return 0 if found.ok else 1


def _cells(path: str) -> list[tuple[int, str]]:
    """Read the code cells of a notebook; a Python file is one cell."""
    if not path.endswith(".ipynb"):
        try:
            return [(1, Path(path).read_text(encoding="utf-8"))]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} can't be read: {error}") from None
    from nbflow.runner.notebook_file import read_notebook

    cells = read_notebook(path)["cells"]
    return [(number, str(it["source"])) for number, it in enumerate(cells, start=1) if it["cell_type"] == "code"]


def _refuse_to_start() -> Any:
    raise ConfigurationError("code that defines workflows starts none while it is checked")
