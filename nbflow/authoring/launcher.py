"""How a workflow that is called outside of workflows gets started: by whoever is registered here.

``authoring`` knows no engine. The package registers a factory for the default client; tests and
other backends may register another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nbflow.core.definitions import Definition
from nbflow.core.options import WorkflowOptions
from nbflow.exceptions import ConfigurationError

__all__ = ["Launcher", "StartRequest", "UpdateRequest", "current_launcher", "use_launcher"]

StartRequest = tuple[tuple[Any, ...], dict[str, Any], WorkflowOptions]
"""Positional arguments, keyword-only arguments, options."""


class UpdateRequest(NamedTuple):
    """One update to send.

    Parameters
    ----------
    name, args
        Its name and arguments.
    update_id
        Names it within the run; None to have an id made up.
    wait_for
        ``"accepted"`` or ``"completed"``.
    """

    name: str
    args: tuple[Any, ...]
    update_id: str | None = None
    wait_for: str = "accepted"


class Launcher(Protocol):
    """Starts executions."""

    def start(self, definition: Definition, requests: Sequence[StartRequest]) -> list[Any]:
        """Start executions of one definition, durably, and return their handles in order."""
        ...

    def transact(self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a function with a DuckDB cursor as its first argument, in a transaction of its own."""
        ...

    def signal_with_start(self, definition: Definition, request: StartRequest, name: str, args: Sequence[Any]) -> Any:
        """Start an execution with a signal, or signal the one that runs; returns its handle."""
        ...

    def update_with_start(self, definition: Definition, request: StartRequest, update: UpdateRequest) -> Any:
        """Start an execution, or take the one that runs, and update it; returns the update's handle."""
        ...


_factory: Callable[[], Launcher] | None = None


def use_launcher(factory: Callable[[], Launcher]) -> None:
    """Register what starts executions.

    Parameters
    ----------
    factory
        Returns the launcher; called at every start, so that the default store may change.
    """
    global _factory  # noqa: PLW0603  the one registration of the process
    _factory = factory


def current_launcher() -> Launcher:
    """Return what starts executions.

    Raises
    ------
    ConfigurationError
        When nothing is registered.
    """
    if _factory is None:
        msg = "no engine is registered; import nbflow before you start a workflow"
        raise ConfigurationError(msg)
    return _factory()
