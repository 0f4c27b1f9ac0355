"""Notebooks as tests: each runs headless, in a fresh kernel and store; a failure shows its cell and traceback."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from nbflow.exceptions import ConfigurationError
from nbflow.runner import CellResult, CellStatus, RunOptions, RunResult, run_notebook
from nbflow.runner.given import gather
from nbflow.runner.notebook_file import read_notebook

__all__ = ["NotebookFailedError", "NotebookFile", "NotebookItem"]

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class NotebookFailedError(Exception):
    """A notebook did not run to its end; its text shows where and why."""


class NotebookFile(pytest.File):
    """A notebook: one test."""

    def collect(self) -> Iterable[NotebookItem]:
        """Make its test."""
        yield NotebookItem.from_parent(self, name=self.path.stem)


class NotebookItem(pytest.Item):
    """Runs a notebook from top to bottom."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_marker("nbflow_notebook")

    def runtest(self) -> None:
        """Run it; the notebook itself is not changed, and nothing is left behind.

        Raises
        ------
        NotebookFailedError
            When it did not come to its end.
        """
        with tempfile.TemporaryDirectory(prefix="nbflow-test-", ignore_cleanup_errors=True) as folder:
            result = run_notebook(self._options(Path(folder)))
            if result.exit_code != 0:
                raise NotebookFailedError(self._explain(result))

    def _options(self, folder: Path) -> RunOptions:
        option = self.config.getoption
        return RunOptions(
            notebook=str(self.path),
            output=str(folder / "out.ipynb"),
            store=str(folder / "test.nbflow.duckdb"),
            parameters=gather(option("--nbflow-param"), (), option("--nbflow-params")),
            strict_parameters=False,
            cell_timeout=option("--nbflow-cell-timeout"),
        )

    def _explain(self, result: RunResult) -> str:
        lines = [f"{self.path.name}: {result.reason or result.status}"]
        executed = read_notebook(result.output)["cells"]
        for cell in result.cells:
            if cell.status not in (CellStatus.SUCCEEDED, CellStatus.NOT_RUN):
                lines += self._explain_cell(cell, str(executed[cell.index]["source"]))
        return "\n".join(lines)

    @staticmethod
    def _explain_cell(cell: CellResult, source: str) -> list[str]:
        lines = [f"cell {cell.number} ({cell.status}):", *(f"    {line}" for line in source.splitlines())]
        if cell.error is not None:
            shown = "\n".join(cell.error.traceback) or f"{cell.error.ename}: {cell.error.evalue}"
            lines += ["", _ESCAPES.sub("", shown)]
        return lines

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the cell and its own traceback, not ours."""
        if isinstance(excinfo.value, (NotebookFailedError, ConfigurationError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Tell where the test is."""
        return self.path, None, f"notebook: {self.path.name}"
