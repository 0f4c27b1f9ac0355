"""Tables on standard output: aligned text for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TextIO

_WIDEST = 60


@dataclass(frozen=True)
class Table:
    """Rows with named columns.

    Parameters
    ----------
    columns
        Their names.
    types
        Their types, as DuckDB names them.
    rows
        The values.
    """

    columns: Sequence[str]
    types: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as JSON values."""
        return [
            {name: jsonable(value, type_) for name, type_, value in zip(self.columns, self.types, row, strict=True)}
            for row in self.rows
        ]


def jsonable(value: Any, type_: str = "") -> Any:
    """Return a value as JSON can hold it; a JSON column as what it holds."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return json.loads(value) if type_ == "JSON" else value
        case float():
            return value if math.isfinite(value) else str(value)
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case Decimal():
            return float(value)
        case bytes():
            return value.hex()
        case list() | tuple():
            return [jsonable(item) for item in value]
        case dict():
            return {str(key): jsonable(item) for key, item in value.items()}
        case _:
            return str(value)


def write_json(table: Table, stream: TextIO) -> None:
    """Write an array with one object a row."""
    stream.write(json.dumps(table.records(), indent=2) + "\n")


def write_csv(table: Table, stream: TextIO) -> None:
    """Write a header and one line a row."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_csv_cell(value) for value in row] for row in table.rows)


def _csv_cell(value: Any) -> Any:
    plain = jsonable(value)
    return json.dumps(plain) if isinstance(plain, list | dict) else plain


def write_text(table: Table, stream: TextIO) -> None:
    """Write aligned columns; long values are cut, numbers stand right."""
    if not table.columns:
        return
    cells = [[_text(value) for value in row] for row in table.rows]
    columns = list(zip(*cells, strict=True)) if cells else [() for _ in table.columns]
    widths = [max([len(name), *map(len, column)]) for name, column in zip(table.columns, columns, strict=True)]
    right = [any(isinstance(row[place], int | float | Decimal) for row in table.rows) for place in range(len(widths))]
    for line in ([*table.columns], ["-" * width for width in widths], *cells):
        padded = [
            text.rjust(width) if on_right else text.ljust(width)
            for text, width, on_right in zip(line, widths, right, strict=True)
        ]
        stream.write("  ".join(padded).rstrip() + "\n")


def on_one_line(value: Any) -> str:
    """Return a value as text without line breaks and control characters, whatever a name or a message holds."""
    return "".join(char if char.isprintable() else " " for char in str(value))


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            text = f"{value:.3f}" if abs(value) >= 0.001 or value == 0 else f"{value:g}"
        case dt.datetime():
            text = value.isoformat(sep=" ", timespec="milliseconds")
        case _:
            text = str(value)
    text = on_one_line(text)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
