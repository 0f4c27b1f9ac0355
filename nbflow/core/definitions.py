"""Definitions: functions registered as workflows and activities, each at one version.

A version is what an execution is pinned to: the function, its source, the hash of that source and
of the helpers it calls, and the values it captured. The registry knows the current version of each
name, and every version of this process by hash.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

from nbflow.exceptions import ConfigurationError

__all__ = ["FACTORIES", "REGISTRY", "Definition", "DefinitionKind", "Registry", "bind_arguments"]

DefinitionKind: TypeAlias = Literal["workflow", "activity"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Definition:
    """A function at one version.

    Parameters
    ----------
    kind
        ``"workflow"`` or ``"activity"``.
    name
        The type name that history records.
    function
        The user's function.
    hash
        Of the source, the helpers' sources and the options; hex.
    source
        The function's source text, decorators included; empty if it can't be had.
    manifest
        JSON text that lets the function be rebuilt in another process (helpers, imports, values).
    bindings
        Values of the globals it uses, as they were when it was captured.
    options
        What the decorator was given.
    """

    kind: DefinitionKind
    name: str
    function: Callable[..., Any]
    hash: str
    source: str = ""
    manifest: str = ""
    bindings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def is_async(self) -> bool:
        """True for an ``async def``."""
        return inspect.iscoroutinefunction(self.function)


_Captured: TypeAlias = "dict[tuple[str, str], Callable[[], Definition]]"


class Registry:
    """Definitions by name and by hash."""

    def __init__(self) -> None:
        self._current: dict[tuple[str, str], Callable[[], Definition]] = {}
        self._by_hash: dict[str, Definition] = {}
        self._captured: ContextVar[_Captured | None] = ContextVar("nbflow_captured_definitions", default=None)
        self.listeners: list[Callable[[], None]] = []
        """Called when a name got a new current definition."""
        self.workflow_listeners: list[Callable[[str], None]] = []
        """Called with the name when a workflow got a new current definition, after the others."""
        self.kept_on_edit: set[str] = set()
        """Workflows whose open executions stay on the code they run when the code is edited."""

    def register(
        self, kind: DefinitionKind, name: str, current: Callable[[], Definition], *, on_edit: str = "move"
    ) -> None:
        """Make a function the current definition of its name.

        Parameters
        ----------
        kind, name
            What it is.
        current
            Returns its definition as of now (helpers may have changed since).
        on_edit
            ``"keep"`` leaves open executions of a workflow on the code they run, ``"move"`` moves those that the
            new code fits.
        """
        captured = self._captured.get()
        target = self._current if captured is None else captured
        target[kind, name] = current
        if target is self._current:
            (self.kept_on_edit.add if on_edit == "keep" else self.kept_on_edit.discard)(name)
            for listener in list(self.listeners):
                listener()
            for hear in list(self.workflow_listeners) if kind == "workflow" else ():
                hear(name)

    def current(self, kind: DefinitionKind, name: str) -> Definition | None:
        """Return the current definition of a name, or None."""
        found = self._current.get((kind, name))
        return None if found is None else self.remember(found())

    def remember(self, definition: Definition) -> Definition:
        """Keep a version, so that executions pinned to it find it by its hash; of equal ones the latest."""
        self._by_hash[f"{definition.kind}:{definition.hash}"] = definition
        return definition

    def by_hash(self, kind: DefinitionKind, hash_: str) -> Definition | None:
        """Return a version of this process, or None."""
        return self._by_hash.get(f"{kind}:{hash_}")

    def all(self) -> list[Definition]:
        """Return every version of this process."""
        return list(self._by_hash.values())

    def names(self, kind: DefinitionKind) -> list[str]:
        """Return the names registered for a kind, sorted."""
        return sorted(name for k, name in self._current if k == kind)

    @contextlib.contextmanager
    def capturing(self) -> Iterator[_Captured]:
        """Collect what the block registers, without making it current. For rebuilding stored definitions."""
        captured: _Captured = {}
        token = self._captured.set(captured)
        try:
            yield captured
        finally:
            self._captured.reset(token)

    @contextlib.contextmanager
    def preserved(self) -> Iterator[None]:
        """Forget, after the block, what was defined in it. For tests."""
        current, by_hash = dict(self._current), dict(self._by_hash)
        try:
            yield
        finally:
            self._current, self._by_hash = current, by_hash


REGISTRY = Registry()
"""The definitions of this process."""


FACTORIES: dict[str, Callable[[Definition, Mapping[str, Any]], Any]] = {}
"""Make what user code calls (``Workflow``, ``Activity``) of a definition, by kind; authoring fills it.

The second argument says what was changed for one use of it, as a manifest has it.
"""


def bind_arguments(
    signature: inspect.Signature, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Bind a call to a signature, so that history holds positional arguments wherever it can.

    Parameters
    ----------
    signature
        Of the function.
    name
        Of the function, for the error.
    args, kwargs
        The call.

    Returns
    -------
    tuple
        Positional arguments, and keyword-only ones.

    Raises
    ------
    ConfigurationError
        When the arguments don't fit.
    """
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        msg = f"{name}{signature}: {error}"
        raise ConfigurationError(msg) from None
    return bound.args, bound.kwargs
