"""nbflow: durable execution for Jupyter notebooks.

A function marked ``@workflow`` runs as if failure did not exist; its history is an append-only
event log in DuckDB.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nbflow.authoring.activity import Activity, activity
from nbflow.authoring.describing import (
    deprecate_patch,
    patched,
    set_details,
    upsert_memo,
    upsert_search_attributes,
)
from nbflow.authoring.in_activity import activity_info, complete_later, heartbeat, track
from nbflow.authoring.inside import (
    gather,
    info,
    now,
    query,
    random,
    side_effect,
    signal,
    sleep,
    uuid4,
    wait_condition,
    wait_for_signal,
)
from nbflow.authoring.launcher import use_launcher
from nbflow.authoring.log import logger
from nbflow.authoring.other_executions import continue_as_new, get_handle
from nbflow.authoring.transaction import transaction
from nbflow.authoring.updates import UnfinishedHandlersWarning, all_handlers_finished, update
from nbflow.authoring.workflow import DeterminismWarning, Workflow, workflow
from nbflow.core.retry import RetryPolicy
from nbflow.exceptions import ApplicationError

if TYPE_CHECKING:
    from nbflow.client import (
        UpdateHandle,
        WorkflowHandle,
        close,
        executions,
        export_history,
        failures,
        get,
        get_activity,
        import_history,
        open,  # noqa: A004
        sql,
        timers,
    )
    from nbflow.client.batches import Batch, batch
    from nbflow.client.checking import check
    from nbflow.client.code_check import CodeCheck
    from nbflow.client.default import code_check, replay
    from nbflow.client.schedules import ScheduleHandle, get_schedule, schedule, schedules
    from nbflow.notebook import load_ipython_extension, unload_ipython_extension

__version__ = "0.1.0"

__all__ = [
    "Activity",
    "ApplicationError",
    "Batch",
    "CodeCheck",
    "DeterminismWarning",
    "RetryPolicy",
    "ScheduleHandle",
    "UnfinishedHandlersWarning",
    "UpdateHandle",
    "Workflow",
    "WorkflowHandle",
    "activity",
    "activity_info",
    "all_handlers_finished",
    "batch",
    "check",
    "close",
    "code_check",
    "complete_later",
    "continue_as_new",
    "deprecate_patch",
    "executions",
    "export_history",
    "failures",
    "gather",
    "get",
    "get_activity",
    "get_handle",
    "get_schedule",
    "heartbeat",
    "import_history",
    "info",
    "load_ipython_extension",
    "logger",
    "now",
    "open",
    "patched",
    "query",
    "random",
    "replay",
    "schedule",
    "schedules",
    "set_details",
    "side_effect",
    "signal",
    "sleep",
    "sql",
    "timers",
    "track",
    "transaction",
    "unload_ipython_extension",
    "update",
    "upsert_memo",
    "upsert_search_attributes",
    "use_launcher",
    "uuid4",
    "wait_condition",
    "wait_for_signal",
    "workflow",
]

_LATE = {
    **dict.fromkeys(
        ("UpdateHandle", "WorkflowHandle", "close", "executions", "failures", "get", "open", "sql"), "nbflow.client"
    ),
    **dict.fromkeys(("export_history", "get_activity", "import_history", "timers"), "nbflow.client"),
    **dict.fromkeys(("CodeCheck", "check", "code_check", "replay"), "nbflow.client"),
    **dict.fromkeys(("ScheduleHandle", "get_schedule", "schedule", "schedules"), "nbflow.client"),
    **dict.fromkeys(("Batch", "batch"), "nbflow.client.batches"),
    **dict.fromkeys(("load_ipython_extension", "unload_ipython_extension"), "nbflow.notebook"),
}
"""Names whose modules pull in DuckDB or IPython, by module: imported on first use."""


def __getattr__(name: str) -> Any:
    module = _LATE.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATE])


def _default_client() -> Any:
    importlib.import_module("nbflow.notebook.progress").watch_terminal()
    return importlib.import_module("nbflow.client").default_client()


use_launcher(_default_client)
