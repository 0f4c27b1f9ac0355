"""Make the player of tests/replay importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "replay"))

from replay_fixtures import play  # noqa: F401  a fixture
