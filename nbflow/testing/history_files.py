"""Histories in a file of JSON, to be kept beside the tests: text that a version control shows the changes of."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbflow.core.event_json import attributes_json, event_from_attributes
from nbflow.core.events import HistoryEvent, WorkflowExecutionStarted
from nbflow.exceptions import ConfigurationError
from nbflow.store.codec.kinds import TAG

__all__ = ["FORMAT", "Histories", "StoredHistory", "read_histories", "write_histories"]

FORMAT = "nbflow-histories-1"


@dataclass(frozen=True)
class StoredHistory:
    """One execution as it is recorded.

    Parameters
    ----------
    run_id
        Which run.
    events
        All of its events, in order.
    """

    run_id: str
    events: list[HistoryEvent]

    @property
    def started(self) -> WorkflowExecutionStarted:
        """Its first event."""
        first = self.events[0]
        assert isinstance(first, WorkflowExecutionStarted)
        return first


@dataclass(frozen=True)
class Histories:
    """Executions, and the large values that their events refer to by hash."""

    executions: Sequence[StoredHistory]
    blobs: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)


def write_histories(path: str | os.PathLike[str], histories: Histories) -> None:
    """Write histories to a file.

    Parameters
    ----------
    path
        The file; what was in it is replaced.
    histories
        Its blobs may be more than are needed; only those that are go into the file.
    """
    executions = [
        {"run_id": it.run_id, "workflow_type": it.started.workflow_type, "events": list(map(_tree, it.events))}
        for it in histories.executions
    ]
    blobs = {
        digest: {"encoding": (blob := histories.blobs[digest])[0], "base64": base64.b64encode(blob[1]).decode()}
        for digest in sorted(set(_digests(executions)))
    }
    tree = {"format": FORMAT, "executions": executions, "blobs": blobs}
    Path(path).write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _tree(event: HistoryEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "event_time": event.event_time,
        "event_type": type(event).__name__,
        "attributes": json.loads(attributes_json(event)),
    }


def _digests(tree: Any) -> Iterator[str]:
    """Find the hashes of large values in a tree of JSON."""
    if isinstance(tree, dict):
        if TAG in tree and isinstance(tree.get("sha256"), str):
            yield tree["sha256"]
        children: Iterable[Any] = tree.values()
    else:
        children = tree if isinstance(tree, list) else ()
    for child in children:
        yield from _digests(child)


def digests_of(events: Iterable[HistoryEvent]) -> set[str]:
    """Find the hashes of the large values that events refer to."""
    return {digest for event in events for digest in _digests(json.loads(attributes_json(event)))}


def read_histories(path: str | os.PathLike[str]) -> Histories:
    """Read what :func:`write_histories` wrote.

    Raises
    ------
    ConfigurationError
        When the file is something else.
    """
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(tree, dict) or tree.get("format") != FORMAT:
            msg = f"{path} holds no histories of nbflow; nbflow.testing.save_histories writes such files"
            raise ConfigurationError(msg)
        executions = [
            StoredHistory(
                it["run_id"],
                [
                    event_from_attributes(e["event_type"], e["event_id"], e["event_time"], e["attributes"])
                    for e in it["events"]
                ],
            )
            for it in tree["executions"]
        ]
        blobs = {
            digest: (blob["encoding"], base64.b64decode(blob["base64"]))
            for digest, blob in tree.get("blobs", {}).items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"can't read histories from {path}: {type(error).__name__}: {error}"
        raise ConfigurationError(msg) from error
    return Histories(executions, blobs)
