"""The runner's one door to the wall clock: stamps in the notebook and the name of a run."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def now() -> datetime:
    """Return the present time, in UTC."""
    return datetime.now(UTC)  # noqa: TID251  the runner lives outside the engine and its Clock


def iso(moment: datetime) -> str:
    """Return a time as nbclient writes it to ``execution`` metadata."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def microseconds(moment: datetime) -> int:
    """Return a time in microseconds since the epoch, as the store counts."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def new_run_id(stem: str) -> str:
    """Make up a run id that sorts by time and says which notebook it belongs to."""
    return f"{stem}-{now():%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
