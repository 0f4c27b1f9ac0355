"""The store opened for one request from a shell, with no room for attempts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbflow.cli.reads import find_log


@contextmanager
def open_client(args: argparse.Namespace) -> Iterator[Any]:
    """Open the store that a command is about, and close it after the request."""
    from nbflow.client import Client
    from nbflow.engine.engine import EngineOptions

    # no room for attempts: a shell command that ends at once must not begin work that takes long
    client = Client(find_log(args.store), options=EngineOptions(threads=0, loop_tasks=0, processes=0, schedules=False))
    try:
        yield client
    finally:
        client.close()


@contextmanager
def open_execution(args: argparse.Namespace) -> Iterator[Any]:
    """Hand out the execution that a command is about."""
    with open_client(args) as client:
        yield client.get(args.id, args.run)


def say(handle: Any, what: str) -> None:
    """Tell what was done to an execution."""
    sys.stderr.write(f"{handle.workflow_id} (run {handle.run_id}): {what}; status {handle.status}\n")
