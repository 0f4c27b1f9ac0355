"""Values of parameters: read by their annotation, refused with the expected type, written as code."""

from __future__ import annotations

import ast
import datetime as dt
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from nbflow.runner.parameter_types import ANYTHING, of_annotation, of_default
from nbflow.runner.parameter_values import Given, MismatchError, fit

NAMES = {"dt": dt, "date": dt.date, "Decimal": Decimal, "Path": Path, "UUID": UUID}


def expected(annotation):
    return of_annotation(ast.parse(annotation, mode="eval").body)


def value_of(annotation, given, *, is_text):
    """Return the value that the notebook would see."""
    return eval(fit(expected(annotation), Given(given, is_text=is_text)).code, dict(NAMES))


FROM_TEXT = [
    ("int", "12", 12),
    ("int", "-3", -3),
    ("float", "2", 2.0),
    ("float", "1e-3", 0.001),
    ("float", "inf", float("inf")),
    ("bool", "yes", True),
    ("bool", "0", False),
    ("str", "007", "007"),
    ("str", "None", "None"),
    ("str", 'it\'s "so"\n', 'it\'s "so"\n'),
    ("'int'", "5", 5),
    ("Optional[int]", "null", None),
    ("int | None", "5", 5),
    ("str | None", "none", None),
    ("int | str", "5", 5),
    ("int | str", "x", "x"),
    ("Annotated[int, 'rows']", "5", 5),
    ("list", '[1, "a"]', [1, "a"]),
    ("list[str]", "['a', 'b']", ["a", "b"]),
    ("Sequence[int]", "[1, 2]", [1, 2]),
    ("tuple[int, str]", '[1, "a"]', (1, "a")),
    ("tuple[int, ...]", "[1, 2, 3]", (1, 2, 3)),
    ("tuple[int]", "[1]", (1,)),
    ("set[int]", "[1, 1]", {1}),
    ("dict[str, float]", '{"a": 1}', {"a": 1.0}),
    ("dict[int, str]", '{"1": "a"}', {1: "a"}),
    ("dict[str, list[int]]", '{"a": [1]}', {"a": [1]}),
    ("Literal['fast', 'slow', 3]", "slow", "slow"),
    ("Literal['fast', 'slow', 3]", "3", 3),
    ("dt.date", "2026-11-01", dt.date(2026, 11, 1)),
    ("date", "2026-11-01", dt.date(2026, 11, 1)),
    ("dt.datetime", "2026-11-01T10:30", dt.datetime(2026, 11, 1, 10, 30)),
    ("dt.timedelta", "90", dt.timedelta(seconds=90)),
    ("list[date]", '["2026-11-01"]', [dt.date(2026, 11, 1)]),
    ("Decimal", "1.10", Decimal("1.10")),
    ("Path", "data/a.csv", Path("data/a.csv")),
    ("UUID", "12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
    ("np.ndarray", "[1]", [1]),
]

TYPED = [
    ("float", 2, 2.0),
    ("int", 2.0, 2),
    ("int", "2", 2),
    ("list[float]", [1, 2.5], [1.0, 2.5]),
    ("int | str", "5", "5"),
    ("float | None", None, None),
    ("dt.date", dt.date(2026, 11, 1), dt.date(2026, 11, 1)),
    ("dt.datetime", dt.date(2026, 11, 1), dt.datetime(2026, 11, 1)),
    ("Any", {"a": [None, True]}, {"a": [None, True]}),
]

REFUSED = [
    ("int", "abc", True),
    ("int", "2.5", True),
    ("int", True, False),
    ("int", None, False),
    ("float", "many", True),
    ("float", True, False),
    ("bool", "maybe", True),
    ("bool", 1, False),
    ("str", 1.1, False),
    ("str", None, False),
    ("list[int]", '["a"]', True),
    ("list[int]", "5", True),
    ("list", "[1,", True),
    ("tuple[int, int]", "[1]", True),
    ("dict", "[1]", True),
    ("dict[str, int]", '{"a": "b"}', True),
    ("Literal['fast', 'slow']", "medium", True),
    ("Literal[1]", True, False),
    ("int | None", "x", True),
    ("dt.date", "yesterday", True),
    ("dt.date", 20261101, False),
    ("dt.timedelta", "inf", True),
    ("Decimal", "x", True),
    ("UUID", "x", True),
    ("Path", True, False),
]


@pytest.mark.parametrize(("annotation", "text", "value"), FROM_TEXT)
def test_text_is_read_by_the_annotation(annotation, text, value):
    """A value of the command line becomes what the parameters cell says it is."""
    got = value_of(annotation, text, is_text=True)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(("annotation", "given", "value"), TYPED)
def test_a_typed_value_is_converted_where_nothing_is_lost(annotation, given, value):
    """A value of a JSON or YAML file keeps its meaning and takes the annotated type."""
    got = value_of(annotation, given, is_text=False)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(("annotation", "given", "is_text"), REFUSED)
def test_what_does_not_fit_is_refused(annotation, given, is_text):
    """A value of another type never reaches the notebook."""
    with pytest.raises(MismatchError):
        fit(expected(annotation), Given(given, is_text=is_text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("2.5", 2.5),
        ("1e3", 1000.0),
        ("007", "007"),
        ("true", True),
        ("False", False),
        ("None", None),
        ('{"a": 1}', {"a": 1}),
        ("[unclosed", "[unclosed"),
        ("nan", "nan"),
        ("2026-11-01", "2026-11-01"),
        ("", ""),
    ],
)
def test_text_without_a_type_is_guessed(text, value):
    """Where nothing says what a value is, numbers, truth values, None and JSON are recognised."""
    got = eval(fit(ANYTHING, Given(text, is_text=True)).code)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [(5, "6", 6), (5, "2.5", 2.5), ("a", "007", "007"), (True, "no", False), ([1], "[2]", [2]), (None, "7", 7)],
)
def test_a_default_stands_in_for_a_missing_annotation(default, text, value):
    """An unannotated parameter takes values like its default."""
    assert eval(fit(of_default(default), Given(text, is_text=True)).code) == value


def test_numbers_that_python_cannot_write_become_calls():
    """Infinity and nan have no literal; the injected cell must still be valid Python."""
    bound = fit(ANYTHING, Given({"limits": [float("-inf")]}))
    assert eval(bound.code) == {"limits": [float("-inf")]}
