"""Lets ``python -m nbflow`` be the command line."""

from __future__ import annotations

import sys

from nbflow.cli import main

sys.exit(main())
