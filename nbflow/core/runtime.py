"""The Runtime protocol: what workflow code may ask of whoever runs it.

``authoring`` speaks to this protocol only, so that the embedded interpreter and a Temporal
cluster can each stand behind it. The current runtime hangs on the running event loop, not on a
context variable, because wait conditions run outside any task.
"""

from __future__ import annotations

import random
from asyncio import events as asyncio_events
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from nbflow.core.commands import ActivityOptions
from nbflow.core.options import WorkflowOptions
from nbflow.core.retry import RetryPolicy
from nbflow.exceptions import ContinueAsNew, FailureError, NotInWorkflowError

__all__ = ["RelatedExecution", "Runtime", "WorkflowInfo", "current_runtime", "runtime_or_none"]


class RelatedExecution(NamedTuple):
    """Another execution: a parent, or the root of a tree of them."""

    workflow_id: str
    run_id: str


@dataclass(frozen=True, kw_only=True)
class WorkflowInfo:
    """What an execution knows of itself.

    Parameters
    ----------
    workflow_id, run_id, workflow_type
        Its identity.
    attempt
        1, or more when a workflow RetryPolicy started it again.
    start_time
        When it started, UTC.
    definition_hash
        Version of its code.
    run_key
        The headless run it belongs to, if any.
    memo
        Its notes, as they are now.
    search_attributes
        Its values to search by, as they are now.
    last_completion_result
        Started by a schedule: what the last run that completed returned.
    last_failure
        How the run before failed, if it did: of a workflow RetryPolicy, or of a schedule.
    first_execution_run_id, continued_run_id
        The first of the runs that follow one another, and the one before this, if there was one.
    parent, root
        Of a child: who started it, and the top of the tree.
    retry_policy
        Of the workflow, if it has one.
    execution_timeout, run_timeout
        Deadlines over all runs and of this one, in seconds.
    history_length, history_size
        Events so far, and about how many bytes.
    """

    workflow_id: str
    run_id: str
    workflow_type: str
    attempt: int
    start_time: datetime
    definition_hash: str = ""
    run_key: str | None = None
    memo: Mapping[str, Any] = field(default_factory=dict)
    search_attributes: Mapping[str, Any] = field(default_factory=dict)
    last_completion_result: Any = None
    first_execution_run_id: str = ""
    continued_run_id: str | None = None
    last_failure: FailureError | None = None
    parent: RelatedExecution | None = None
    root: RelatedExecution | None = None
    retry_policy: RetryPolicy | None = None
    execution_timeout: float | None = None
    run_timeout: float | None = None
    history_length: int = 0
    history_size: int = 0

    @property
    def is_continue_as_new_suggested(self) -> bool:
        """True from 4,096 events or 4 MiB on: time to ``continue_as_new``."""
        return self.history_length >= _MANY_EVENTS or self.history_size >= _MANY_BYTES


_MANY_EVENTS = 4096
_MANY_BYTES = 4 * 1024 * 1024


class Runtime(Protocol):
    """What workflow code may ask for."""

    @property
    def is_replaying(self) -> bool:
        """True while history is fed to the code again."""
        ...

    @property
    def info(self) -> WorkflowInfo:
        """The execution's identity."""
        ...

    def now(self) -> datetime:
        """The time of the current activation, UTC."""
        ...

    def random(self) -> random.Random:
        """The execution's own generator, seeded from history."""
        ...

    def start_activity(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None, options: ActivityOptions
    ) -> Any:
        """Schedule an activity; returns a handle that is awaitable."""
        ...

    @property
    def relations(self) -> Any:
        """Starts children; signals and cancels other executions: :class:`nbflow.core.relations.Relations`."""
        ...

    def continue_as_new(
        self,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
        options: WorkflowOptions | None = None,
    ) -> ContinueAsNew:
        """Make what the code raises to go on as a new run; ``name`` None for the same workflow."""
        ...

    def sleep(self, seconds: float, summary: str | None = None) -> Any:
        """Start a timer; returns an awaitable."""
        ...

    def wait_condition(
        self, predicate: Callable[[], object], timeout: float | None = None, summary: str | None = None
    ) -> Any:
        """Wait until the predicate is true; returns an awaitable."""
        ...

    def wait_for_signal(self, name: str, timeout: float | None = None, summary: str | None = None) -> Any:
        """Wait for the next signal of this name; returns an awaitable of its value."""
        ...

    def set_handler(self, kind: str, name: str, handler: Callable[..., Any], unfinished_policy: str = "warn") -> None:
        """Let ``handler`` answer signals, queries or updates of this name, or (``"validator"``) look at updates."""
        ...

    def all_handlers_finished(self) -> bool:
        """Say whether no handler of a signal or an update is under way."""
        ...

    def upsert_search_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Change the execution's search attributes."""
        ...

    def upsert_memo(self, memo: Mapping[str, Any]) -> None:
        """Change the execution's memo."""
        ...

    def set_details(self, details: str) -> None:
        """Say how things stand, for people."""
        ...

    def patched(self, patch_id: str, *, deprecated: bool = False) -> bool:
        """Say whether the execution takes a patch's code path."""
        ...

    def side_effect(self, function: Callable[[], Any]) -> Any:
        """Run a function once and record what it returned."""
        ...

    def log(self, level: int, message: str) -> None:
        """Write a log line, once however often history is replayed."""
        ...


def runtime_or_none() -> Runtime | None:
    """Return the runtime of the workflow code that calls this, or None outside of workflows."""
    loop = asyncio_events._get_running_loop()  # noqa: SLF001  get_running_loop raises, this does not
    return getattr(loop, "nbflow_runtime", None)


def current_runtime(caller: str) -> Runtime:
    """Return the runtime of the workflow code that calls this.

    Parameters
    ----------
    caller
        Name of the public function, for the error.

    Returns
    -------
    Runtime
        The runtime.

    Raises
    ------
    NotInWorkflowError
        Outside of workflow code.
    """
    runtime = runtime_or_none()
    if runtime is None:
        raise NotInWorkflowError(caller)
    return runtime
