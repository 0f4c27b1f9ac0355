"""Does today's code still fit what is recorded? Replays histories of a store or a file, and tells which don't fit."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbflow.client import Client, default_client
from nbflow.client.default import opened_client
from nbflow.core.compatibility import misfit_of
from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.instance import WorkflowInstance
from nbflow.exceptions import (
    ConfigurationError,
    EngineClosedError,
    ReplayMismatchError,
)
from nbflow.store import EventStore
from nbflow.store.codec import Codec
from nbflow.testing.history_files import Histories, StoredHistory, digests_of, read_histories, write_histories

__all__ = ["Mismatch", "ReplayReport", "replay_check", "save_histories"]

_Source = str | os.PathLike[str] | Client | None
_AT_ONCE = 250
_SHOWN = 20


@dataclass(frozen=True)
class Mismatch:
    """One execution that today's code does not fit.

    Parameters
    ----------
    workflow_type, workflow_id, run_id
        Which one.
    reason
        What is wrong.
    event
        The recorded event, as text, where the two part; None if something else went wrong.
    command
        What the code asked for in its place; None if nothing.
    line
        ``file:line`` of the code that asked.
    """

    workflow_type: str
    workflow_id: str
    run_id: str
    reason: str
    event: str | None = None
    command: str | None = None
    line: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.workflow_type} {self.workflow_id} (run {self.run_id})"]
        if self.event is None:
            lines.append(self.reason)
        else:
            lines.append(f"recorded: {self.event}")
            lines.append(f"the code: asks for {self.command or 'nothing'}")
            if self.line:
                lines.append(f"at:       {self.line}")
        return "\n    ".join(lines)


@dataclass(frozen=True)
class ReplayReport:
    """What a replay check has seen.

    Parameters
    ----------
    replayed
        How many executions of each workflow fit.
    mismatches
        Those that don't.
    skipped
        How many executions there are of workflows that are not defined here.
    """

    replayed: Counter[str]
    mismatches: tuple[Mismatch, ...]
    skipped: Counter[str]

    def __str__(self) -> str:
        total = self.replayed.total() + len(self.mismatches)
        head = f"{len(self.mismatches)} of {total} executions don't fit today's code"
        shown = [f"  {mismatch}" for mismatch in self.mismatches[:_SHOWN]]
        if len(self.mismatches) > _SHOWN:
            shown.append(f"  … and {len(self.mismatches) - _SHOWN} more")
        return "\n".join([head, *shown])


def replay_check(store: _Source = None, workflow: Any = None, where: str | None = None) -> ReplayReport:
    """Replay today's code over recorded histories, in memory; nothing is run and nothing is written.

    Parameters
    ----------
    store
        A store's file, or a file that :func:`save_histories` wrote; default the store that is open.
    workflow
        A workflow or its name, or several, to check only those; default all that are defined in this process.
    where
        An SQL condition over ``executions``, such as ``"status = 'Running'"``; for stores only.

    Returns
    -------
    ReplayReport
        How many executions fit.

    Raises
    ------
    ReplayMismatchError
        An ``AssertionError`` too: when some don't fit; lists each with event, command and line. Its ``report``
        has the same as data.
    ConfigurationError
        When there is nothing to check, so that a test can't pass by mistake.
    """
    names = None if workflow is None else _names(workflow)
    replayed: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    mismatches: list[Mismatch] = []
    with _opened(store, where) as (histories, load_blob):
        codec = Codec(load_blob)
        for history in histories:
            name = history.started.workflow_type
            definition = REGISTRY.current("workflow", name)
            if names is not None and name not in names:
                continue
            if definition is None:
                skipped[name] += 1
                continue
            mismatch = _mismatch(history, definition, codec)
            if mismatch is None:
                replayed[name] += 1
            else:
                mismatches.append(mismatch)
    report = ReplayReport(replayed, tuple(mismatches), skipped)
    if mismatches:
        raise ReplayMismatchError(str(report), report)
    if not replayed:
        raise ConfigurationError(_nothing_replayed(names, skipped))
    return report


def _nothing_replayed(names: set[str] | None, skipped: Counter[str]) -> str:
    which = "" if names is None else f" of {', '.join(sorted(names))}"
    hint = f"; there are executions of {', '.join(sorted(skipped))}, which are not defined here" if skipped else ""
    return f"there is no execution{which} to replay{hint}"


def _names(workflow: Any) -> set[str]:
    several = [workflow] if isinstance(workflow, str) or hasattr(workflow, "kind") else list(workflow)
    names = {it if isinstance(it, str) else str(it.name) for it in several}
    for name in sorted(names):
        if REGISTRY.current("workflow", name) is None:
            msg = f"no workflow {name!r} is defined here; import the module that defines it"
            raise ConfigurationError(msg)
    return names


def _mismatch(history: StoredHistory, definition: Definition, codec: Codec) -> Mismatch | None:
    started = history.started
    instance = WorkflowInstance(history.run_id, definition, codec)
    misfit = misfit_of(instance, history.events)
    if misfit is None:
        instance.evict()
        return None
    return Mismatch(
        started.workflow_type,
        started.workflow_id,
        history.run_id,
        misfit.why,
        None if misfit.event is None else f"event {misfit.event_id} {misfit.event}",
        misfit.command,
        misfit.line,
    )


_Opened = tuple[Iterable[StoredHistory], Callable[[str], tuple[str, bytes]]]


@contextmanager
def _opened(source: _Source, where: str | None) -> Iterator[_Opened]:
    """Give the histories of a source, a few hundred in memory at a time, and where their large values are."""
    if source is not None and not isinstance(source, Client) and Path(source).suffix in {".json", ".jsonl"}:
        if where is not None:
            msg = f"where= needs a store to ask; {source} is a file of histories"
            raise ConfigurationError(msg)
        saved = read_histories(source)
        yield saved.executions, saved.blobs.__getitem__
        return
    store, is_ours = _store_of(source)
    try:
        yield _histories(store, where), store.reader().blob
    finally:
        if is_ours:
            store.close()


def _store_of(source: _Source) -> tuple[EventStore, bool]:
    """Find an open store, or open one; and tell whether it must be closed."""
    if source is None:
        return default_client().store, False
    if isinstance(source, Client):
        return source.store, False
    if not Path(source).exists():
        msg = f"there is no store {source}"
        raise ConfigurationError(msg)
    try:
        opened = opened_client()
    except EngineClosedError:
        pass
    else:
        if opened.path != ":memory:" and Path(opened.path).absolute() == Path(source).absolute():
            return opened.store, False
    return EventStore.open(source, read_only=True), True


def _histories(store: EventStore, where: str | None) -> Iterator[StoredHistory]:
    condition = f"WHERE {where}" if where else ""
    rows = store.sql(f"SELECT run_id FROM executions {condition} ORDER BY run_id").fetchall()  # noqa: S608  the user's
    reader = store.reader()
    for first in range(0, len(rows), _AT_ONCE):
        for run_id, events in reader.histories([run_id for (run_id,) in rows[first : first + _AT_ONCE]]).items():
            yield StoredHistory(run_id, events)


def save_histories(path: str | os.PathLike[str], store: _Source = None, where: str | None = None) -> int:
    """Write executions to a file of JSON, to be kept with the tests and given to :func:`replay_check`.

    Parameters
    ----------
    path
        The file; what was in it is replaced.
    store
        As :func:`replay_check` takes it.
    where
        An SQL condition over ``executions``; default all of them.

    Returns
    -------
    int
        How many executions were written.
    """
    with _opened(store, where) as (histories, load_blob):
        executions = list(histories)
        blobs = {digest: load_blob(digest) for it in executions for digest in digests_of(it.events)}
    write_histories(path, Histories(executions, blobs))
    return len(executions)
