"""Continue-as-new in workflow code: what is thrown, and what it asks for when it arrives at the top."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbflow.core.commands import ContinueAsNewWorkflowExecution
from nbflow.core.definitions import bind_arguments
from nbflow.core.durations import seconds_or_none
from nbflow.core.options import WorkflowOptions
from nbflow.exceptions import ContinueAsNew, WorkflowError

if TYPE_CHECKING:
    from nbflow.core.embedded_runtime import EmbeddedRuntime

__all__ = ["CHANGEABLE", "command_of", "continue_as_new"]

CHANGEABLE = ("memo", "retry", "run_timeout", "search_attributes", "start_delay")
"""Options that the new run may have otherwise than the one before; all others stay."""


def continue_as_new(
    owner: EmbeddedRuntime,
    name: str | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    options: WorkflowOptions | None,
) -> ContinueAsNew:
    """Make what leaves the code for the new run to begin.

    Parameters
    ----------
    owner
        The execution.
    name
        Workflow type of the new run; None for the same, whose arguments are still to be bound.
    args, kwargs
        Its arguments.
    options
        What changes; None for nothing.

    Returns
    -------
    ContinueAsNew
        To be raised.

    Raises
    ------
    WorkflowError
        In the handler of an update, whose caller waits for an answer from this run.
    """
    owner.refuses("continue as new")
    task = asyncio.current_task(owner.loop)
    if task is not None and task.get_name().startswith("update: "):
        msg = (
            f"the handler of {task.get_name()} can't continue as new: its caller waits for an answer of this run; "
            f"set a variable, and let the workflow itself continue"
        )
        raise WorkflowError(msg)
    if name is None:
        definition = owner.definition
        args, kwargs = bind_arguments(inspect.signature(definition.function), definition.name, args, kwargs or {})
        name = definition.name
    options = options or WorkflowOptions()
    encode = owner.converter.encode
    command = ContinueAsNewWorkflowExecution(
        new_execution_run_id="",  # whoever records it knows
        workflow_type=name,
        input=encode(list(args)),
        keyword_input=encode(dict(kwargs)) if kwargs else None,
        workflow_run_timeout=seconds_or_none(options.run_timeout),
        backoff_start_interval=seconds_or_none(options.start_delay) or None,
        memo=None if options.memo is None else encode(dict(options.memo)),
        search_attributes=None if options.search_attributes is None else dict(options.search_attributes),
        retry_policy=options.retry.to_json() if options.retry else None,
    )
    return ContinueAsNew(owner.noting_line(command))


def command_of(error: BaseException) -> ContinueAsNewWorkflowExecution | None:
    """Return what an exception at the top asks for, if it is a continue-as-new, or a group of nothing else."""
    if isinstance(error, ContinueAsNew):
        command: ContinueAsNewWorkflowExecution = error.command
        return command
    if isinstance(error, BaseExceptionGroup):  # it came out of an asyncio.TaskGroup
        found = [command_of(member) for member in error.exceptions]
        return found[0] if all(found) else None
    return None
