"""Where the store is when nobody says, and which notebook this kernel belongs to."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

from nbflow.exceptions import ConfigurationError

__all__ = ["default_store_path", "notebook_path"]


def notebook_path() -> str | None:
    """Name the notebook this kernel belongs to, where the front end tells; else None."""
    session = os.environ.get("JPY_SESSION_NAME", "")
    if session.endswith(".ipynb"):
        return session
    main = sys.modules.get("__main__")
    return getattr(main, "__vsc_ipynb_file__", None)


def default_store_path() -> str:
    """Say where the store is when nobody says.

    Returns
    -------
    str
        NBFLOW_STORE, else ``[tool.nbflow] store`` of the next pyproject.toml upwards, else
        ``<notebook>.nbflow.duckdb`` beside the notebook, else ``nbflow.duckdb`` here.
    """
    if chosen := os.environ.get("NBFLOW_STORE"):
        return chosen
    if configured := _configured_store():
        return configured
    notebook = os.environ.get("NBFLOW_NOTEBOOK") or notebook_path()
    if notebook:
        return str(Path(notebook).with_suffix(".nbflow.duckdb"))
    return "nbflow.duckdb"


def _configured_store() -> str | None:
    here = Path.cwd()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            try:
                settings = tomllib.loads(file.read_text(encoding="utf-8"))
            except (OSError, tomllib.TOMLDecodeError) as error:
                msg = f"{file} can't be read: {error}"
                raise ConfigurationError(msg) from error
            store = settings.get("tool", {}).get("nbflow", {}).get("store")
            return None if store is None else str(folder / str(store))
    return None
