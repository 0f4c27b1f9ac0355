"""Records: frozen, compared and copied by their fields, whichever instance came first."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, field, fields, replace

import pytest

from nbflow.core.events import TimerFired
from nbflow.core.records import Record, record_type


@record_type
class Base(Record):
    """One field."""

    one: int


@record_type
class Derived(Base):
    """Two more, with defaults."""

    two: str = "two"
    three: list[int] = field(default_factory=list)


def test_a_base_made_first_leaves_its_heirs_alone():
    """Each class gets an __init__ of its own, compiled at its first instance."""
    assert Base(one=1).one == 1
    derived = Derived(one=2, three=[4])
    assert (derived.one, derived.two, derived.three) == (2, "two", [4])
    assert Derived(one=1).three is not Derived(one=1).three


def test_parameters_are_checked_by_name():
    """A missing or unknown field is told as for any function."""
    for _ in range(2):
        with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'one'"):
            Derived(two="x")
        with pytest.raises(TypeError, match="unexpected keyword argument 'four'"):
            Derived(one=1, four=4)


def test_a_record_can_not_be_changed():
    """Assigning and deleting raise; there is no place for another attribute."""
    record = Base(one=1)
    with pytest.raises(FrozenInstanceError, match="one"):
        record.one = 2
    with pytest.raises(FrozenInstanceError, match="one"):
        del record.one
    assert not hasattr(record, "__dict__")


def test_records_are_compared_copied_and_shown_by_their_fields():
    """The tools of dataclasses, copies and pickles work on them."""
    fired = TimerFired(event_id=2, event_time=3, timer_id="1", started_event_id=1)
    assert copy.copy(fired) == pickle.loads(pickle.dumps(fired)) == replace(fired) == fired
    assert hash(copy.deepcopy(fired)) == hash(fired)
    assert fired != replace(fired, event_id=5)
    assert [f.name for f in fields(fired)][:2] == ["event_id", "event_time"]
    assert repr(Base(one=1)) == "Base(one=1)"
