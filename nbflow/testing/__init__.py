"""Tools for testing workflows: a clock that skips, mocked activities, replay over stored histories, a pytest plugin.

What is here loads when it is asked for: pytest imports this package for its plugin in every run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.testing.activity_environment import ActivityEnvironment
    from nbflow.testing.environment import WorkflowEnvironment
    from nbflow.testing.mocks import ActivityMock, MockCall
    from nbflow.testing.replays import Mismatch, ReplayReport, replay_check, save_histories

__all__ = [
    "ActivityEnvironment",
    "ActivityMock",
    "Mismatch",
    "MockCall",
    "ReplayReport",
    "WorkflowEnvironment",
    "replay_check",
    "save_histories",
]

_HOMES = {
    "ActivityEnvironment": "activity_environment",
    "ActivityMock": "mocks",
    "Mismatch": "replays",
    "MockCall": "mocks",
    "ReplayReport": "replays",
    "WorkflowEnvironment": "environment",
    "replay_check": "replays",
    "save_histories": "replays",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module 'nbflow.testing' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"nbflow.testing.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
