"""What the tests of worker and tick serve: written into a store by a process of its own, run by another.

Each activity leaves a line in a file, so that a test sees from outside what ran, and how often.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbflow


@nbflow.activity
def served_note(folder: str, text: str, seconds: float = 0.0) -> str:
    """Say when it begins and when it ends."""
    with (Path(folder) / "notes.txt").open("a") as notes:
        notes.write(f"begin {text}\n")
    time.sleep(seconds)
    with (Path(folder) / "notes.txt").open("a") as notes:
        notes.write(f"end {text}\n")
    return text


@nbflow.workflow
def served_once(folder: str, text: str, seconds: float = 0.0) -> str:
    """One activity, then another."""
    first = served_note(folder, text, seconds)
    return first + served_note(folder, f"{text} again")


@nbflow.workflow
def served_later(folder: str, seconds: float) -> str:
    """Sleep, then note."""
    nbflow.sleep(seconds)
    return served_note(folder, "later")


@nbflow.workflow
def served_often(folder: str) -> int:
    """Count runs: each adds one to what the one before returned."""
    count = (nbflow.info().last_completion_result or 0) + 1
    served_note(folder, f"run {count}")
    return count


def main(folder: str, what: str) -> None:
    """Write the store: start or schedule, and close before anything runs."""
    from nbflow.client import Client, use_client
    from nbflow.engine.engine import EngineOptions

    client = Client(Path(folder) / "s.duckdb", options=EngineOptions(threads=0, schedules=False))
    use_client(client)
    match what:
        case "once":
            served_once.options(id="once").start(folder, "note")
        case "slow":
            served_once.options(id="slow").start(folder, "slow", 2.0)
        case "later":
            served_later.options(id="later").start(folder, 86400.0)
        case "often":
            handle = nbflow.schedule("often", served_often, folder, every="1s", paused=True)
            now = datetime.now(UTC)
            handle.backfill(now - timedelta(seconds=30), now - timedelta(seconds=1), overlap="buffer_all")
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
