"""Where a run's things are: the store of a notebook, the output's path, the kernel's environment."""

from __future__ import annotations

import difflib
import os
import string
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbflow.exceptions import ConfigurationError
from nbflow.runner.notebook_file import STDIO

STORE_VARIABLE = "NBFLOW_STORE"


def find_store(given: str | None, notebook: str | None) -> str:
    """Return the absolute path of the event log.

    It is the one given, else NBFLOW_STORE, else ``[tool.nbflow] store`` of the next pyproject.toml upwards from the
    notebook's folder, else ``<notebook>.nbflow.duckdb`` beside the notebook, else ``nbflow.duckdb`` here.

    Parameters
    ----------
    given
        Path from the command line.
    notebook
        Path of the notebook; None where there is none.

    Raises
    ------
    ConfigurationError
        If a pyproject.toml can't be read, or names no path.
    """
    named = given or os.environ.get(STORE_VARIABLE)
    if named:
        return str(Path(named).expanduser().absolute())
    folder = Path(notebook).absolute().parent if notebook else Path.cwd()
    configured = _configured_store(folder)
    if configured is not None:
        return str(configured)
    if notebook:
        return str(folder / f"{Path(notebook).stem}.nbflow.duckdb")
    return str(folder / "nbflow.duckdb")


def _configured_store(folder: Path) -> Path | None:
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        if not file.is_file():
            continue
        store = (_tool_table(file) or {}).get("store")
        if store is None:
            return None
        if not isinstance(store, str) or not store:
            raise ConfigurationError(f"{file}: [tool.nbflow] store must be a path, got {store!r}")
        return (place / Path(store).expanduser()).absolute()
    return None


def _tool_table(file: Path) -> dict[str, Any] | None:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("nbflow")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"can't read {file}: {error}") from None
    if table is not None and not isinstance(table, dict):
        raise ConfigurationError(f"{file}: [tool.nbflow] must be a table")
    return table


def output_path(given: str | None, notebook: str, fields: Mapping[str, Any]) -> str:
    """Return the output's path, with ``{name}`` replaced by parameters.

    Parameters
    ----------
    given
        The path asked for; None for ``<notebook>.out.ipynb`` beside the notebook, or standard output after ``-``.
    notebook
        Path of the notebook.
    fields
        Parameters by name, and ``run_id``.

    Raises
    ------
    ConfigurationError
        If the path names a parameter that has no value.
    """
    if given is None:
        if notebook == STDIO:
            return STDIO
        path = Path(notebook)
        return str(path.with_name(f"{path.stem}.out.ipynb"))
    if given == STDIO:
        return STDIO
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(given) if name is not None]
        for name in names:
            _check_field(name, given, fields)
        return given.format_map(dict(fields))
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise ConfigurationError(f"output path {given}: {error}; a literal brace is written twice") from None


def _check_field(name: str, path: str, fields: Mapping[str, Any]) -> None:
    bare = name.split(".", maxsplit=1)[0].split("[", maxsplit=1)[0]
    if bare in fields:
        return
    close = difflib.get_close_matches(bare, fields, n=1)
    hint = f"did you mean {{{close[0]}}}?" if close else f"there is {', '.join(sorted(fields))}"
    raise ConfigurationError(f"output path {path}: {{{bare}}} is no parameter with a value; {hint}")


def kernel_environment(*, run_id: str, store: str, notebook: str | None) -> dict[str, str]:
    """Return the environment that tells a kernel it runs headless, under which id, and with which store."""
    environment = dict(os.environ)
    environment |= {"NBFLOW_HEADLESS": "1", "NBFLOW_RUN_ID": run_id, STORE_VARIABLE: store}
    if notebook is None:
        environment.pop("NBFLOW_NOTEBOOK", None)
    else:
        environment["NBFLOW_NOTEBOOK"] = str(Path(notebook).absolute())
    return environment
