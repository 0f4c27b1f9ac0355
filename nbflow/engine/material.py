"""What it takes to rebuild an execution elsewhere: its history, and the code it is pinned to."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.events import HistoryEvent
from nbflow.engine.execution import RunState
from nbflow.engine.parts import Parts
from nbflow.engine.requests import Requests
from nbflow.exceptions import MissingDefinitionError, WorkflowNotFoundError

__all__ = ["Material", "MaterialRequests"]


@dataclass(frozen=True, slots=True)
class Material:
    """One execution's history and code."""

    workflow_id: str
    run_id: str
    workflow_type: str
    history: list[HistoryEvent]
    definition: Definition


class MaterialRequests:
    """Hands out what it takes to rebuild executions, on the engine's thread.

    Parameters
    ----------
    parts
        The engine's parts.
    requests
        Finds executions.
    """

    def __init__(self, parts: Parts, requests: Requests) -> None:
        self._reader = parts.reader
        self._journal = parts.journal
        self._definitions = parts.definitions
        self._requests = requests

    def material(
        self, workflow_id: str, run_id: str | None, definition: Definition | None, answer: Future[Any]
    ) -> None:
        """Answer with an execution's material, once all that happened is durable.

        Parameters
        ----------
        workflow_id, run_id
            Which execution.
        definition
            Its code; default that to which it is pinned.
        answer
            Gets the Material.
        """
        run = self._requests.find(workflow_id, run_id)
        self._journal.answer_later(answer, lambda: self._find(run, definition))

    def _find(self, run: RunState, definition: Definition | None) -> Material:
        history = self._reader.histories([run.run_id]).get(run.run_id)
        if not history:
            raise WorkflowNotFoundError(run.workflow_id, run.run_id)
        return Material(run.workflow_id, run.run_id, run.workflow_type, history, definition or self._code_of(run))

    def _code_of(self, run: RunState) -> Definition:
        try:
            return self._definitions.workflow(run.definition_hash, run.workflow_type)
        except MissingDefinitionError:
            current = REGISTRY.current("workflow", run.workflow_type)
            if run.definition_hash or current is None:
                raise
            return current  # it was recorded elsewhere, where code has no hash
