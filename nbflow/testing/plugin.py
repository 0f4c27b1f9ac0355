"""The pytest plugin: the fixture ``nbflow_env``, and ``--nbflow``, which makes a test of each notebook.

pytest loads this file in every run of everybody who has nbflow installed, so it imports nothing but pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nbflow.testing.environment import WorkflowEnvironment
    from nbflow.testing.notebook_items import NotebookFile

_MARKER = "nbflow_notebook: a notebook that nbflow runs from top to bottom (collected by --nbflow)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("nbflow", "nbflow: durable notebooks")
    group.addoption("--nbflow", action="store_true", help="collect notebooks (*.ipynb) and run each as a test")
    group.addoption(
        "--nbflow-param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a parameter of the notebooks; may be given again",
    )
    group.addoption(
        "--nbflow-params", action="append", default=[], metavar="FILE", help="a JSON or YAML file of parameters"
    )
    group.addoption("--nbflow-cell-timeout", type=float, metavar="SECONDS", help="that one cell may take")


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the marker."""
    config.addinivalue_line("markers", _MARKER)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> NotebookFile | None:
    """Collect a notebook, if that was asked for; not those that a run wrote, and no checkpoints."""
    if file_path.suffix != ".ipynb" or not parent.config.getoption("--nbflow"):
        return None
    if ".ipynb_checkpoints" in file_path.parts or file_path.name.endswith(".out.ipynb"):
        return None
    from nbflow.testing.notebook_items import NotebookFile

    return NotebookFile.from_parent(parent, path=file_path)


@pytest.fixture
def nbflow_env() -> Iterator[WorkflowEnvironment]:
    """Return a :class:`~nbflow.testing.WorkflowEnvironment`: a store in memory, the default of this test.

    Its clock skips. What the test defines with ``@workflow`` and ``@activity`` is forgotten afterwards.
    """
    from nbflow.core.definitions import REGISTRY
    from nbflow.testing.environment import WorkflowEnvironment

    with REGISTRY.preserved(), WorkflowEnvironment() as environment:
        yield environment
