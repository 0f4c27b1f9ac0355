"""Exported histories through temporalio's own Replayer: does Temporal accept them with this function?"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from temporalio.client import WorkflowHistory
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker import Replayer

from nbflow.core.commands import Command
from nbflow.core.definitions import Definition
from nbflow.core.payloads import Converter
from nbflow.temporal.host import NbflowRunner, NbflowWorkflow, current_definition

__all__ = ["replay_histories"]

_runtime: Runtime | None = None


def _quiet_runtime() -> Runtime:
    """Return a runtime whose Core doesn't write to standard error what the caller is told anyway."""
    global _runtime  # noqa: PLW0603  temporalio wants one of them a process
    if _runtime is None:
        quiet = LoggingConfig(filter=TelemetryFilter(core_level="OFF", other_level="OFF"))
        _runtime = Runtime(telemetry=TelemetryConfig(logging=quiet))
        logging.getLogger("temporalio.worker").addFilter(lambda record: "Evicting" not in record.getMessage())
    return _runtime


async def replay_histories(
    histories: Iterable[Mapping[str, Any]],
    converter: Converter,
    find_definition: Callable[[str, str], Definition] = current_definition,
    on_command: Callable[[str, Command], None] | None = None,
) -> list[Exception | None]:
    """Replay histories with Temporal's Replayer, one after the other.

    Parameters
    ----------
    histories
        As :func:`~nbflow.interchange.temporal_export.temporal_history` writes them.
    converter
        Encodes and decodes values.
    find_definition
        Finds a function by workflow type and definition hash.
    on_command
        Hears of every command that the code gives, with the run id: the Replayer itself compares no values.

    Returns
    -------
    list of Exception or None
        For each history why it was not accepted, or None. A history that is malformed, rather than of other code,
        may make Core hang: replay those in a process of their own.
    """
    runner = NbflowRunner(converter, find_definition)
    runner.on_command = on_command
    replayer = Replayer(
        workflows=[NbflowWorkflow],
        workflow_runner=runner,
        unsandboxed_workflow_runner=runner,
        build_id="nbflow",
        runtime=_quiet_runtime(),
    )

    async def all_histories() -> Any:
        for tree in histories:
            started = tree["events"][0]["workflowExecutionStartedEventAttributes"]
            yield WorkflowHistory.from_json(started["workflowId"], json.dumps(tree))

    try:
        async with replayer.workflow_replay_iterator(all_histories()) as results:
            return [result.replay_failure async for result in results]
    finally:
        runner.close()
