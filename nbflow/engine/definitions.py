"""Where the engine finds code: among the definitions of this process, or rebuilt from the store."""

from __future__ import annotations

import json
from collections.abc import Mapping

from nbflow.core.definitions import REGISTRY, Definition, DefinitionKind
from nbflow.core.restore import restore_definition
from nbflow.engine.clock import Clock
from nbflow.engine.journal import Journal
from nbflow.exceptions import MissingDefinitionError
from nbflow.store import DefinitionRow, Reader

__all__ = ["Definitions"]


class Definitions:
    """Finds definitions: of this process, or rebuilt from the store.

    Parameters
    ----------
    reader
        Reads stored definitions.
    journal, clock
        Take down definitions that the store does not have yet.
    """

    def __init__(self, reader: Reader, journal: Journal, clock: Clock) -> None:
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._stored: dict[tuple[str, str], str] = {}
        """Hash of the latest stored definition, by kind and name; as far as known."""
        self._restored: dict[tuple[str, str], Definition] = {}
        self._this_turn: dict[str, Definition] = {}
        self.substitutes: Mapping[str, Definition] = {}
        """Activities that run in the place of others, by name, and are not stored; a test environment's mocks."""

    def activity(self, name: str) -> Definition | None:
        """Return an activity's current definition, or the stored one; None if there is neither."""
        definition = self.substitutes.get(name) or self._this_turn.get(name)
        if definition is None:
            definition = REGISTRY.current("activity", name)
            if definition is not None:
                self.store(definition)
            else:
                definition = self._latest("activity", name)
            if definition is not None:
                self._this_turn[name] = definition
        return definition

    def begin_turn(self) -> None:
        """Look anew for current definitions: they may have changed since the last turn."""
        self._this_turn.clear()

    def workflow(self, hash_: str, name: str) -> Definition:
        """Return the workflow definition that an execution is pinned to.

        Raises
        ------
        MissingDefinitionError
            When it is neither here nor can be rebuilt.
        """
        definition = REGISTRY.by_hash("workflow", hash_)
        if definition is None or definition is self._restored.get(("workflow", hash_)):
            # a rebuilt one may lack parts that the cell, when it has run, has
            current = REGISTRY.current("workflow", name)
            if current is not None and current.hash == hash_:
                return current
        if definition is None:
            row = self._reader.definition(hash_)
            if row is None:
                msg = f"the definition {hash_[:12]} of workflow {name!r} is neither in this process nor in the store"
                raise MissingDefinitionError(msg)
            definition = REGISTRY.remember(self._restore(row))
        return definition

    def current_workflow(self, name: str, hash_: str) -> Definition:
        """Return today's definition of a workflow; the version ``hash_`` if it has no other.

        Raises
        ------
        MissingDefinitionError
            When there is none.
        """
        return self._find("workflow", name) or self.workflow(hash_, name)

    def latest_workflow(self, name: str) -> Definition | None:
        """Return today's code of a workflow: of this process, or the stored one; None if there is neither."""
        definition = REGISTRY.current("workflow", name)
        if definition is None:
            return self._latest("workflow", name)
        self.store(definition)
        return definition

    def _latest(self, kind: DefinitionKind, name: str) -> Definition | None:
        row = self._reader.latest_definition(kind, name)
        return None if row is None else self._restore(row)

    def _find(self, kind: DefinitionKind, name: str) -> Definition | None:
        return REGISTRY.current(kind, name) or self._latest(kind, name)

    def _restore(self, row: DefinitionRow) -> Definition:
        key = (row.kind, row.hash)
        if key not in self._restored:
            kind: DefinitionKind = "workflow" if row.kind == "workflow" else "activity"
            self._restored[key] = restore_definition(kind, row.name, row.hash, row.source, row.manifest, self._find)
        return self._restored[key]

    def store(self, definition: Definition) -> None:
        """Take a definition down, unless it is the latest of its name in the store."""
        name = (definition.kind, definition.name)
        if self._stored.get(name) == definition.hash:
            return
        if name not in self._stored:
            row = self._reader.latest_definition(*name)
            if row is not None and row.hash == definition.hash:
                self._stored[name] = definition.hash
                self._store_used(definition)
                return
        self._stored[name] = definition.hash
        self._journal.batch.definitions.append(
            DefinitionRow(
                definition.hash,
                definition.kind,
                definition.name,
                definition.source,
                definition.manifest,
                self._clock.now(),
            )
        )
        self._store_used(definition)

    def _store_used(self, definition: Definition) -> None:
        """Take down what a definition calls too: a process without the cells will need it."""
        for entry in (json.loads(definition.manifest or "{}").get("globals") or {}).values():
            if "definition" in entry:
                used = REGISTRY.current(*entry["definition"])
                if used is not None:
                    self.store(used)

    def find_class(self, module: str, qualname: str) -> type | None:
        """Find a class of a notebook whose cells have not run, among rebuilt definitions."""
        for definition in list(self._restored.values()):  # called from activities' threads too
            found = definition.bindings.get(qualname)
            if isinstance(found, type) and found.__module__ == module:
                return found
        return None
