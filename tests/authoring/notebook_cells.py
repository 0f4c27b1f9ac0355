"""Cells of a notebook, as a kernel runs them: one namespace, source known to linecache."""

from __future__ import annotations

import itertools
import linecache
import textwrap
from typing import Any

from nbflow.core.definitions import Definition
from nbflow.core.restore import restore_definition

_numbers = itertools.count(1)


class Notebook:
    """A namespace that cells run in, one after the other."""

    def __init__(self, *cells: str) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        for source in ("import nbflow\nfrom nbflow import activity, workflow", *cells):
            self.run(source)

    def run(self, source: str) -> Notebook:
        """Run a cell."""
        source = textwrap.dedent(source)
        filename = f"/tmp/ipykernel_1/{next(_numbers)}.py"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        exec(compile(source, filename, "exec"), self.namespace)
        return self

    def __getitem__(self, name: str) -> Any:
        return self.namespace[name]

    def find(self, kind: str, name: str) -> Definition | None:
        """Find a definition, as the engine does."""
        marked = self.namespace.get(name)
        return marked.definition() if getattr(marked, "kind", None) == kind else None


def rebuilt(definition: Definition, lookup=lambda kind, name: None) -> Definition:
    """Rebuild a definition from what is stored of it, as another process does."""
    d = definition
    return restore_definition(d.kind, d.name, d.hash, d.source, d.manifest, lookup)
