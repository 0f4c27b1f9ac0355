"""What workflow code calls to reach other executions, and to go on as a new one."""

from __future__ import annotations

from typing import Any, NoReturn

from nbflow.core.child_handles import ExternalWorkflowHandle
from nbflow.core.runtime import current_runtime

__all__ = ["continue_as_new", "get_handle"]


def get_handle(workflow_id: str, run_id: str | None = None) -> ExternalWorkflowHandle:
    """Return a handle of another execution, to signal or cancel it from workflow code.

    Parameters
    ----------
    workflow_id
        Its id.
    run_id
        Which run; default the newest when the request arrives.

    Returns
    -------
    ExternalWorkflowHandle
        With ``.signal(name, *args)`` and ``.cancel(reason)``; await them in an ``async def`` workflow.

    Raises
    ------
    NotInWorkflowError
        Outside of workflows, where ``nbflow.get`` gives a handle.
    """
    handle: ExternalWorkflowHandle = current_runtime("get_handle").relations.handle(workflow_id, run_id)
    return handle


def continue_as_new(*args: Any, **kwargs: Any) -> NoReturn:
    """Close this run and go on with a new one: same workflow id, an empty history, today's code.

    The workflow id, memo, search attributes, timeouts and retry policy stay. To change them, or to go on
    as another workflow, say ``report.options(memo=...).continue_as_new(...)``.

    Parameters
    ----------
    *args, **kwargs
        Arguments of the new run.

    Raises
    ------
    ContinueAsNew
        Always; it leaves the workflow's code as an exception does, and ``except Exception`` does not catch it.
    NotInWorkflowError
        Outside of workflows.
    """
    raise current_runtime("continue_as_new").continue_as_new(None, args, kwargs)
