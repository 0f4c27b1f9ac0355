"""Values that can't be stored: the error names the part, its type, and what to do."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from nbflow.exceptions import PayloadError


@dataclass
class Job:
    rows: dict = field(default_factory=dict)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (threading.Lock(), "argument is a _thread.lock"),
        ((number for number in []), "argument is a builtins.generator"),
        ([1, {"a": threading.Lock()}], "argument[1]['a'] is a _thread.lock"),
        ([Job({"x": threading.Lock()})], "argument[0].rows['x'] is a _thread.lock"),
        ((1, (threading.Lock(),)), "argument[1][0] is a _thread.lock"),
        ({(1, 2): threading.Lock()}, "argument[(1, 2)] is a _thread.lock"),
    ],
)
def test_the_part_that_can_not_be_stored_is_named(codec, value, said):
    """However deep it is."""
    with pytest.raises(PayloadError) as caught:
        codec.encode(value, "argument")
    assert said in str(caught.value)
    assert "pass plain data" in str(caught.value) and "inside the activity" in str(caught.value)


def test_functions_and_classes_of_the_notebook_are_refused(codec):
    """After a restart they would not be there."""
    namespace = {"__name__": "__main__"}
    exec("def helper(): ...\nclass Thing: ...\nnameless = lambda: 1", namespace)
    for name in ("helper", "Thing", "nameless"):
        with pytest.raises(
            PayloadError, match=r"value\[0\] is .*, a function or class of this notebook.*move it to a module"
        ):
            codec.encode([namespace[name]])


def test_a_value_that_contains_itself_is_refused(codec):
    """A cycle can't be written down."""
    cycle = []
    cycle.append(cycle)
    with pytest.raises(PayloadError, match="contains itself, or is nested too deeply"):
        codec.encode(cycle)


def test_a_deep_value_is_refused_not_crashed_on(codec):
    """Ten thousand brackets are an error, not the end of the kernel."""
    deep = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(PayloadError, match="nested too deeply"):
        codec.encode(deep)


class Breaks:
    """An object whose pickling fails in its own way."""

    def __reduce__(self):
        raise RuntimeError("not today")


def test_what_an_object_says_of_its_pickling_is_told(codec):
    """The reason is in the message, the original error behind it."""
    with pytest.raises(PayloadError, match=r"can't be stored \(not today\)") as caught:
        codec.encode(Breaks())
    assert isinstance(caught.value.__cause__, RuntimeError)
