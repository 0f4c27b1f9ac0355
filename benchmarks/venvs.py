"""A virtual environment for each peer, made on first use below `benchmarks/.venvs` (which git ignores)."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.engines import Engine

FOLDER = Path(__file__).resolve().parent / ".venvs"


class NotInstallableError(Exception):
    """A peer cannot be installed here: no fitting Python, or pip could not get it."""


@functools.cache
def _installed(requirements: tuple[str, ...], python: tuple[int, int]) -> str:
    name = "_".join(it.replace("==", "-") for it in requirements)
    home = FOLDER / name
    interpreter, mark = home / "bin" / "python", home / "complete"
    if mark.exists():
        return str(interpreter)
    print(f"installing {', '.join(requirements)} ...", file=sys.stderr)
    for command in (
        [_interpreter(python), "-m", "venv", "--clear", str(home)],
        [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstallableError(f"{', '.join(requirements)}: {done.stderr.strip()[-300:]}")
    mark.touch()
    return str(interpreter)


def python_of(engine: Engine) -> str:
    """Return the interpreter that has an engine installed, installing it if need be.

    Raises
    ------
    NotInstallableError
        If no Python here is new enough for it, or pip fails; the series goes on without this engine.
    """
    return _installed(engine.requirements, engine.python) if engine.requirements else sys.executable


def _interpreter(least: tuple[int, int]) -> str:
    if sys.version_info[:2] >= least:
        return sys.executable
    for candidate in _candidates(least):
        code = f"import sys; sys.exit(sys.version_info[:2] < {least!r})"
        if subprocess.run([candidate, "-c", code], capture_output=True, check=False).returncode == 0:
            return candidate
    wanted = ".".join(map(str, least))
    raise NotInstallableError(f"it needs Python {wanted} or newer: none on PATH, set NBFLOW_BENCHMARK_PYTHON to one")


def _candidates(least: tuple[int, int]) -> Iterator[str]:
    """Look where newer Pythons usually are: as told, on PATH, under pyenv."""
    told = os.environ.get("NBFLOW_BENCHMARK_PYTHON")
    if told:
        yield told
    for minor in range(least[1], least[1] + 3):
        found = shutil.which(f"python{least[0]}.{minor}")
        if found:
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    if pyenv.is_dir():
        yield from (str(it) for it in sorted(pyenv.glob(f"{least[0]}.*/bin/python")))
