"""A survey in pages: each package a child workflow with a history of its own, each page a new run of the parent."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import nbflow
from nbflow import activity, workflow

LIBRARY = Path(sysconfig.get_path("stdlib"))
PAGE = 4

RUNS = """
    SELECT rank() OVER (ORDER BY start_time) AS run, status,
           (SELECT count(*) FROM children WHERE children.run_id = executions.run_id) AS children,
           history_length AS events
    FROM executions WHERE workflow_type = 'survey' ORDER BY run
"""


@activity
def list_packages() -> list[str]:
    """List the packages of the standard library that begin with an "e" to an "m"."""
    return sorted(path.parent.name for path in LIBRARY.glob("[e-m]*/__init__.py"))


@activity
def list_files(package: str) -> list[str]:
    """List the files of a package."""
    return sorted(str(path.relative_to(LIBRARY)) for path in (LIBRARY / package).glob("*.py"))


@activity
def count_lines(file: str) -> int:
    """Count the lines of one file."""
    return (LIBRARY / file).read_bytes().count(b"\n")


@workflow
def count_package(package: str) -> int:
    """Count a package's files; a child of the survey."""
    return sum(count_lines.map(list_files(package)))


@workflow
def survey(page: int, lines: int) -> int:
    """Count one page of packages, then go on as a new run: no history grows without end."""
    packages = list_packages()[page * PAGE : (page + 1) * PAGE]
    if packages:
        lines += sum(count_package.map(packages))
        nbflow.continue_as_new(page + 1, lines)
    return lines


def main() -> None:
    """Print the sum, and what the event log knows of the runs."""
    nbflow.open(":memory:")
    print(f"{survey.options(id='survey').start(0, 0).result():,} lines")
    print(nbflow.sql(RUNS).to_string(index=False))


if __name__ == "__main__":
    main()
