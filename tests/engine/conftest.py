"""Fixtures of the engine's tests: an environment on a clock that skips."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nbflow.testing import WorkflowEnvironment


@pytest.fixture
def env() -> Iterator[WorkflowEnvironment]:
    """An engine over a store in memory, the default of the test."""
    with WorkflowEnvironment() as environment:
        yield environment
