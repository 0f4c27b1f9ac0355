"""What every test needs: no setting of the caller's environment reaches the code under test."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _without_outer_settings(monkeypatch):
    """Remove NBFLOW_* variables, so that a test opens no store that its caller works with."""
    for name in [name for name in os.environ if name.startswith("NBFLOW_")]:
        monkeypatch.delenv(name)
