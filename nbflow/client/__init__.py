"""The client: opens a store and its engine, starts executions, hands out handles, answers SQL."""

from __future__ import annotations

from nbflow.client.activity_handle import AsyncActivityHandle, get_activity
from nbflow.client.checking import check
from nbflow.client.client import Client
from nbflow.client.code_check import CodeCheck
from nbflow.client.default import (
    close,
    code_check,
    default_client,
    executions,
    export_history,
    failures,
    get,
    import_history,
    open,  # noqa: A004  the public name
    opened_client,
    replay,
    sql,
    timers,
    use_client,
)
from nbflow.client.handle import WorkflowHandle, watch_waiting
from nbflow.client.live_code import show_code_checks
from nbflow.client.places import default_store_path
from nbflow.client.schedules import ScheduleHandle, get_schedule, schedule, schedules
from nbflow.client.updates import UpdateHandle

__all__ = [
    "AsyncActivityHandle",
    "Client",
    "CodeCheck",
    "ScheduleHandle",
    "UpdateHandle",
    "WorkflowHandle",
    "check",
    "close",
    "code_check",
    "default_client",
    "default_store_path",
    "executions",
    "export_history",
    "failures",
    "get",
    "get_activity",
    "get_schedule",
    "import_history",
    "open",
    "opened_client",
    "replay",
    "schedule",
    "schedules",
    "show_code_checks",
    "sql",
    "timers",
    "use_client",
    "watch_waiting",
]
