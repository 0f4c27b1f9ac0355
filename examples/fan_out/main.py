"""Hundreds of activities at the same time: how many lines of Python does Python ship?"""

from __future__ import annotations

import sysconfig
from pathlib import Path

import nbflow
from nbflow import activity, workflow

LIBRARY = Path(sysconfig.get_path("stdlib"))

TOTALS = """
    SELECT count(*) AS packages, sum(result::BIGINT)::BIGINT AS lines,
           max(close_time) - min(scheduled_time) AS took
    FROM activities WHERE activity_type = 'count_lines'
"""


@activity
def list_packages() -> list[str]:
    """List the packages and modules of the standard library."""
    return sorted(path.name for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())


@activity
def count_lines(name: str) -> int:
    """Count the lines of one package or module."""
    path = LIBRARY / name
    files = path.rglob("*.py") if path.is_dir() else [path]
    return sum(file.read_bytes().count(b"\n") for file in files)


@workflow
def largest_packages(how_many: int) -> list[tuple[str, int]]:
    """Count all packages concurrently and keep the largest."""
    names = list_packages()
    lines = count_lines.map(names)
    return sorted(zip(names, lines, strict=True), key=lambda pair: -pair[1])[:how_many]


def main() -> None:
    """Print the five largest packages and what the event log knows of the run."""
    nbflow.open(":memory:")
    for name, lines in largest_packages(5):
        print(f"{lines:8,} {name}")
    print(nbflow.sql(TOTALS).to_string(index=False))


if __name__ == "__main__":
    main()
