"""Tools for testing workflows: an engine whose clock skips to the next deadline."""

from __future__ import annotations

from nbflow.testing.environment import WorkflowEnvironment

__all__ = ["WorkflowEnvironment"]
