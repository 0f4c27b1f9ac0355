"""Does today's code fit what is recorded? Tried in memory; nothing is run, moved or written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from nbflow.client.aside import aside
from nbflow.client.client import Client
from nbflow.client.code_check import CodeCheck
from nbflow.client.default import default_client, opened_client
from nbflow.core.compatibility import CheckedExecution, Misfit, misfit_of
from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.events import HistoryEvent, WorkflowExecutionStarted
from nbflow.core.instance import WorkflowInstance
from nbflow.exceptions import ConfigurationError, EngineClosedError, WorkflowNotFoundError
from nbflow.store import EventStore
from nbflow.store.codec import Codec

__all__ = ["check"]

OPEN = "status IN ('Running', 'Paused', 'Suspended')"
_AT_ONCE = 250

_Path: TypeAlias = "str | os.PathLike[str]"
_Recorded: TypeAlias = tuple[str, str, list[HistoryEvent]]
_LoadBlob: TypeAlias = Callable[[str], tuple[str, bytes]]


def check(
    workflow: Any = None,
    store: _Path | Client | None = None,
    histories: _Path | Sequence[_Path] | None = None,
    where: str | None = None,
) -> CodeCheck:
    """Try the workflows defined here on what is recorded, in memory: a gate before edited code goes anywhere.

    Parameters
    ----------
    workflow
        A workflow or its name, or several; default all that are defined in this process.
    store
        A store's file; default the store that is open.
    histories
        Files that ``nbflow export`` wrote, in place of a store.
    where
        Which executions of the store: an SQL condition over ``executions``. Default the open ones; ``"true"`` for all.

    Returns
    -------
    CodeCheck
        ``.ok`` is True if the code fits all of them; ``.misfits`` and ``.frame()`` say which not, and why.

    Raises
    ------
    ConfigurationError
        When a named workflow is not defined here, or a file is not there.
    """
    definitions = _definitions(workflow)
    skipped: Counter[str] = Counter()
    with _recorded(store, histories, where) as (recorded, load_blob):
        codec = Codec(load_blob)
        checked = aside(lambda: list(_try_all(recorded, definitions, codec, skipped)))
    only = next(iter(definitions)) if len(definitions) == 1 else ""
    if workflow is not None:
        skipped.clear()  # the others were not asked about
    return CodeCheck(checked, only, definitions[only].hash if only else "", skipped=skipped)


def _definitions(workflow: Any) -> dict[str, Definition]:
    if workflow is None:
        names = REGISTRY.names("workflow")
    else:
        several = [workflow] if isinstance(workflow, str) or hasattr(workflow, "kind") else list(workflow)
        names = [it if isinstance(it, str) else str(it.name) for it in several]
    found = {}
    for name in names:
        definition = REGISTRY.current("workflow", name)
        if definition is None:
            msg = f"no workflow {name!r} is defined here; run the cell or import the module that defines it"
            raise ConfigurationError(msg)
        found[name] = definition
    return found


def _try_all(
    recorded: Iterable[_Recorded], definitions: Mapping[str, Definition], codec: Codec, skipped: Counter[str]
) -> Iterator[CheckedExecution]:
    for workflow_id, run_id, history in recorded:
        started = history[0]
        name = started.workflow_type if isinstance(started, WorkflowExecutionStarted) else ""
        definition = definitions.get(name)
        if definition is None:
            skipped[name] += 1
        else:
            yield CheckedExecution(workflow_id, run_id, name, _misfit(definition, run_id, history, codec))


def _misfit(definition: Definition, run_id: str, history: list[HistoryEvent], codec: Codec) -> Misfit | None:
    instance = WorkflowInstance(run_id, definition, codec)
    misfit = misfit_of(instance, history)
    if misfit is None:
        instance.evict()
    return misfit


@contextmanager
def _recorded(
    store: _Path | Client | None, histories: _Path | Sequence[_Path] | None, where: str | None
) -> Iterator[tuple[Iterable[_Recorded], _LoadBlob]]:
    """Give what is recorded, a few hundred histories in memory at a time, and where large values are."""
    if histories is not None:
        if store is not None or where is not None:
            msg = "histories= takes files in place of a store: leave out store= and where="
            raise ConfigurationError(msg)
        files = [histories] if isinstance(histories, str | os.PathLike) else histories
        yield [_from_file(file) for file in files], _no_blob
        return
    opened, is_ours = _store_of(store)
    try:
        yield _from_store(opened, where or OPEN), opened.reader().blob
    finally:
        if is_ours:
            opened.close()


def _from_file(file: _Path) -> _Recorded:
    from nbflow.interchange.files import read_file

    found = read_file(file)
    return found.workflow_id, found.run_id, list(found.events)


def _no_blob(sha256: str) -> tuple[str, bytes]:
    msg = f"the file of the history lacks the value {sha256}"
    raise ConfigurationError(msg)


def _from_store(store: EventStore, where: str) -> Iterator[_Recorded]:
    rows = store.sql(f"SELECT workflow_id, run_id FROM executions WHERE {where} ORDER BY run_id").fetchall()  # noqa: S608  the user's own SQL
    reader = store.reader()
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        found = reader.histories([run_id for _, run_id in some])
        for workflow_id, run_id in some:
            if run_id not in found:
                raise WorkflowNotFoundError(workflow_id, run_id)
            yield workflow_id, run_id, found[run_id]


def _store_of(source: _Path | Client | None) -> tuple[EventStore, bool]:
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
        return EventStore.open(source, read_only=True), True
    if opened.path != ":memory:" and Path(opened.path).absolute() == Path(source).absolute():
        return opened.store, False
    return EventStore.open(source, read_only=True), True
