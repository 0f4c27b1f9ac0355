"""What a schedule is told to be: when it acts, what it starts, and its policies. Stored whole at each change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbflow.core.payloads import Payload
from nbflow.core.schedule_spec import ScheduleSpec
from nbflow.core.schedule_state import Overlap

__all__ = ["CATCHUP_WINDOW", "SHORTEST_CATCHUP_WINDOW", "ScheduleBody"]

CATCHUP_WINDOW = 365 * 86400.0
SHORTEST_CATCHUP_WINDOW = 10.0


@dataclass(frozen=True, kw_only=True)
class ScheduleBody:
    """What a schedule is told to be.

    Parameters
    ----------
    spec
        When it acts.
    workflow_type, definition_hash
        What it starts, and the version of it if the process has no other.
    input, keyword_input, memo
        Encoded arguments and notes of each execution.
    options
        Options of each execution that differ from the defaults, as JSON-native values.
    overlap
        What happens when a run is due and the one before has not ended.
    catchup_window
        Seconds: times overdue by more are left out.
    pause_on_failure
        Whether it pauses when a run fails or times out.
    paused, note, remaining_actions
        How it is to begin; what the state says counts from then on.
    """

    spec: ScheduleSpec
    workflow_type: str
    definition_hash: str
    input: Payload
    keyword_input: Payload | None = None
    memo: Payload | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    overlap: Overlap = "skip"
    catchup_window: float = CATCHUP_WINDOW
    pause_on_failure: bool = False
    paused: bool = False
    note: str = ""
    remaining_actions: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON-native values."""
        return {
            "spec": self.spec.to_json(),
            "workflow_type": self.workflow_type,
            "definition_hash": self.definition_hash,
            "input": self.input.tree,
            "keyword_input": None if self.keyword_input is None else self.keyword_input.tree,
            "memo": None if self.memo is None else self.memo.tree,
            "options": dict(self.options),
            "overlap": self.overlap,
            "catchup_window": self.catchup_window,
            "pause_on_failure": self.pause_on_failure,
            "paused": self.paused,
            "note": self.note,
            "remaining_actions": self.remaining_actions,
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> ScheduleBody:
        """Read what :meth:`to_json` wrote."""
        return cls(**{
            **tree,
            "spec": ScheduleSpec.from_json(tree["spec"]),
            "input": Payload.of_tree(tree["input"]),
            "keyword_input": None if tree["keyword_input"] is None else Payload.of_tree(tree["keyword_input"]),
            "memo": None if tree["memo"] is None else Payload.of_tree(tree["memo"]),
        })  # fmt: skip

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """Its encoded values."""
        return tuple(it for it in (self.input, self.keyword_input, self.memo) if it is not None)
