"""What nbflow writes into a notebook about its run: under the metadata key ``nbflow`` only, of cells and notebook."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from nbflow.runner.outcomes import SCHEMA_VERSION, CellResult, CellStatus
from nbflow.runner.wall_time import iso

# written here; other keys under `nbflow` are the user's settings and stay
_CELL_KEYS = ("schema_version", "status", "start_time", "end_time", "duration", "reason", "error")
_RUN_KEYS = (
    "schema_version",
    *("run_id", "status", "exit_code", "reason", "start_time", "end_time", "duration", "parameters", "activities"),
)


def mark_pending(cell: Any) -> None:
    """Forget a code cell's earlier execution."""
    cell["outputs"] = []
    cell["execution_count"] = None
    cell["metadata"].pop("execution", None)
    _write(cell, _CELL_KEYS, {"status": str(CellStatus.PENDING)})


def mark_running(cell: Any, started: datetime) -> None:
    """Say that a cell was sent to the kernel."""
    cell["metadata"]["execution"] = {}
    _write(cell, _CELL_KEYS, {"status": str(CellStatus.RUNNING), "start_time": iso(started)})


def mark_ended(cell: Any, result: CellResult, started: datetime | None, ended: datetime | None) -> None:
    """Say how a cell ended."""
    error = result.error and {"ename": result.error.ename, "evalue": result.error.evalue}
    values = {
        "status": str(result.status),
        "start_time": started and iso(started),
        "end_time": ended and iso(ended),
        "duration": None if result.duration is None else round(result.duration, 6),
        "reason": result.reason,
        "error": error,
    }
    _write(cell, _CELL_KEYS, values)


def mark_notebook(nb: Any, **values: Any) -> None:
    """Say how the run stands; None leaves a key out."""
    _write(nb, _RUN_KEYS, values)


def _write(owner: Any, keys: tuple[str, ...], values: dict[str, Any]) -> None:
    kept = owner["metadata"].get("nbflow", {})
    mine = dict(kept) if isinstance(kept, dict) else {}
    for key in keys:
        mine.pop(key, None)
    mine |= {"schema_version": SCHEMA_VERSION, **{key: value for key, value in values.items() if value is not None}}
    owner["metadata"]["nbflow"] = mine
