"""``nbflow export`` and ``import``: histories to files and back. No engine runs meanwhile."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from nbflow.cli.reads import add_store, find_log
from nbflow.exceptions import WorkflowNotFoundError

_FORMATS = ("temporal", "json")


def add_commands(verbs: Any) -> None:
    """Add the commands that exchange histories."""
    export = verbs.add_parser("export", help="write the history of a workflow execution as JSON")
    export.set_defaults(command=run_export)
    export.add_argument("id", metavar="ID", help="its workflow id")
    export.add_argument("--run", metavar="RUN", help="which run (default: the newest)")
    export.add_argument(
        "--format",
        choices=_FORMATS,
        default="temporal",
        help="temporal: as 'temporal workflow show --output json' (default); json: as the log has it, nothing left out",
    )
    export.add_argument("-o", "--output", metavar="FILE", help="write there (default: standard output)")
    add_store(export)
    import_ = verbs.add_parser("import", help="take histories of Temporal, or of nbflow, into the store")
    import_.set_defaults(command=run_import)
    import_.add_argument("files", metavar="FILE", nargs="+", help="JSON files, one history each")
    import_.add_argument("--id", metavar="ID", help="the workflow id, where the file does not say it")
    import_.add_argument("--run", metavar="RUN", help="the run id, where the file does not say it")
    add_store(import_)


def run_export(args: argparse.Namespace) -> int:
    """Write a history."""
    from nbflow.interchange.native import native_history
    from nbflow.interchange.temporal_export import temporal_history
    from nbflow.store import EventStore

    with EventStore.open(find_log(args.store), read_only=True) as store:
        reader = store.reader()
        run = reader.run(args.run) if args.run else reader.latest_runs([args.id]).get(args.id)
        if run is None or run.workflow_id != args.id:
            raise WorkflowNotFoundError(args.id, args.run)
        history = reader.histories([run.run_id])[run.run_id]
        if args.format == "temporal":
            tree = temporal_history(history, run.run_id, reader.blob)
        else:
            backend = store.sql("SELECT backend FROM executions WHERE run_id = $run", {"run": run.run_id}).fetchall()
            tree = native_history(history, run.workflow_id, run.run_id, reader.blob, backend[0][0])
    text = json.dumps(tree, ensure_ascii=False, indent=1) + "\n"
    if args.output:
        Path(args.output).write_text(text, encoding="utf-8")
        sys.stderr.write(f"{run.workflow_id} (run {run.run_id}): {len(tree['events'])} events in {args.output}\n")
    else:
        sys.stdout.write(text)
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Take histories in."""
    from nbflow.interchange.files import read_file
    from nbflow.interchange.importing import batch_of_import
    from nbflow.runner.settings import find_store
    from nbflow.store import EventStore

    histories = [read_file(file, args.id, args.run) for file in args.files]
    path = find_store(args.store, None) if args.store else _store_or_default()
    with EventStore.open(path, holder="nbflow import") as store:
        batch, counts = batch_of_import(store.reader(), histories)
        if batch:
            store.commit(batch)
    for file, history, count in zip(args.files, histories, counts, strict=True):
        what = f"{count} events" if count else "nothing new"
        sys.stderr.write(f"{file}: {history.workflow_id} (run {history.run_id}): {what}\n")
    return 0


def _store_or_default() -> str:
    """Return the store that is here, or the path where the default one will be made."""
    from nbflow.exceptions import ConfigurationError
    from nbflow.runner.settings import find_store

    try:
        return find_log(None)
    except ConfigurationError:
        if sorted(Path.cwd().glob("*.nbflow.duckdb")):
            raise  # several: which one is meant must be said
        return str(find_store(None, None))
