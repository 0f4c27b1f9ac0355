"""Make the player and the corpus importable: they stand beside the tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from replay_fixtures import play  # noqa: F401  a fixture
