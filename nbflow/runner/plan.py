"""A run made ready: everything that can be wrong before a kernel starts is found here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbflow.exceptions import ConfigurationError
from nbflow.runner import settings, wall_time
from nbflow.runner.kernel import check_kernel
from nbflow.runner.notebook_file import STDIO, NotebookFile, read_notebook
from nbflow.runner.options import RunOptions
from nbflow.runner.parameter_values import Given
from nbflow.runner.parameters import parameterize, tags_of

SKIP_TAG = "skip-execution"


@dataclass(frozen=True)
class Step:
    """One code cell to go through.

    Parameters
    ----------
    number
        Position among the code cells, from 1.
    index
        Position among all cells, from 0.
    cell
        The cell, in the notebook that is being filled.
    skipped
        Why it is not sent to the kernel; None if it is.
    """

    number: int
    index: int
    cell: Any
    skipped: str | None

    @property
    def headline(self) -> str:
        """The first line of the cell that says something."""
        lines = [line.strip() for line in self.cell["source"].splitlines()]
        telling = [line for line in lines if line and not line.startswith("#")]
        first: str = (telling or [line for line in lines if line] or [""])[0]
        return first


@dataclass(frozen=True)
class Plan:
    """A run that can start.

    Parameters
    ----------
    options
        What was asked for.
    nb
        The notebook with its parameters, to be filled with outputs.
    steps
        Its code cells.
    notebook_path
        Path of the notebook; None if it came from standard input.
    output
        Where the executed notebook goes.
    run_id
        Id of the run.
    made_up_run_id
        True if nobody chose the id.
    store
        Absolute path of the event log.
    parameters
        All parameters with a known value.
    kernel_name
        The kernel's specification; empty for the default one.
    cwd
        Working directory of the kernel.
    """

    options: RunOptions
    nb: Any
    steps: tuple[Step, ...]
    notebook_path: str | None
    output: NotebookFile
    run_id: str
    made_up_run_id: bool
    store: str
    parameters: dict[str, Any]
    kernel_name: str
    cwd: str


def make_plan(options: RunOptions) -> Plan:
    """Read the notebook and settle everything a run needs.

    Raises
    ------
    ConfigurationError
        If an option, a parameter or the notebook makes a run impossible.
    """
    path = None if options.notebook == STDIO else options.notebook
    nb = read_notebook(options.notebook)
    given = {name: it if isinstance(it, Given) else Given(it) for name, it in options.parameters.items()}
    parameters = parameterize(nb, given, strict=options.strict_parameters)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(path).stem) if path else "notebook"
    run_id = options.run_id or wall_time.new_run_id(stem)
    fields = {"run_id": run_id, **parameters}
    output = NotebookFile(settings.output_path(options.output, options.notebook, fields))
    cwd = Path(options.cwd or (Path(path).parent if path else Path.cwd())).absolute()
    if not cwd.is_dir():
        raise ConfigurationError(f"the kernel's working directory {cwd} is no folder")
    kernel_name = options.kernel or nb["metadata"].get("kernelspec", {}).get("name", "")
    check_kernel(kernel_name)
    output.prepare()
    return Plan(
        options=options,
        nb=nb,
        steps=tuple(_steps(nb)),
        notebook_path=path,
        output=output,
        run_id=run_id,
        made_up_run_id=options.run_id is None,
        store=settings.find_store(options.store, path),
        parameters=parameters,
        kernel_name=kernel_name,
        cwd=str(cwd),
    )


def _steps(nb: Any) -> list[Step]:
    code = [(index, cell) for index, cell in enumerate(nb["cells"]) if cell["cell_type"] == "code"]
    return [Step(number, index, cell, _skipped(cell)) for number, (index, cell) in enumerate(code, start=1)]


def _skipped(cell: Any) -> str | None:
    if SKIP_TAG in tags_of(cell):
        return f"tagged {SKIP_TAG}"
    return None if cell["source"].strip() else "the cell is empty"
