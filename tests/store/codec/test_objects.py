"""Objects by their attributes: enums, dataclasses, named tuples, pydantic models, exceptions, and plain pickles."""

from __future__ import annotations

import importlib.util
import sys
from datetime import datetime
from pathlib import Path

import pytest

from nbflow import exceptions
from nbflow.core.payloads import Payload
from nbflow.exceptions import PayloadError


@pytest.fixture(scope="module")
def classes():
    """Load the classes as an importable module."""
    spec = importlib.util.spec_from_file_location("classes_to_store", Path(__file__).parent / "classes_to_store.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["classes_to_store"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["classes_to_store"]


def objects(c):
    """Return one object of each sort."""
    extended = c.City("Oslo", 700_000, {"capital"})
    extended.cached = [1]
    private = c.Order(number=1)
    private._secret = "t"
    return [
        c.Colour.RED,
        c.Colour.ALSO_BLUE,
        c.Level.HIGH,
        c.Access.READ | c.Access.WRITE,
        c.Access(0),
        c.Name.ADA,
        c.City("Oslo", 700_000, {"capital"}),
        extended,
        c.Point(1.5),
        c.Derived(name="Oslo", population=3, factor=5),
        c.Pair(1, c.Pair((2,))),
        c.Order(number=1, when=datetime(2024, 7, 1), lines=[{"a": 1.5}]),
        private,
        c.Open(inner=c.Order(number=1), more={"x": (1,)}),
        c.Numbers([1, 2]),
        c.Plain({1, 2}),
        c.a_function,
        len,
        c.City,
    ]


def test_objects_come_back_the_same(classes, round_trip):
    """Of the same class, equal, and with the same attributes."""
    for value in objects(classes):
        for found in round_trip([value]):
            assert type(found[0]) is type(value) and found[0] == value, value
            assert getattr(found[0], "__dict__", None) == getattr(value, "__dict__", None)


def test_enums_stay_single(classes, round_trip):
    """A member is the member itself."""
    assert all(found is classes.Colour.RED for found in round_trip(classes.Colour.RED))


def test_pydantic_models_keep_what_was_set_and_what_is_private(classes, round_trip):
    """The set of fields given, private attributes and extra ones survive."""
    order = classes.Order(number=1)
    order._secret = "t"
    for found in round_trip(order):
        assert (found.model_fields_set, found._secret) == ({"number"}, "t")
    for found in round_trip(classes.Open(inner=order, more=1)):
        assert found.model_extra == {"more": 1} and type(found.inner) is classes.Order


def test_sql_can_read_attributes(classes, tree_of):
    """Fields stand under their names, enums under name and value."""
    assert tree_of(classes.City("Oslo", 7))["fields"] == {"name": "Oslo", "population": 7, "tags": tree_of(set())}
    assert tree_of(classes.Level.HIGH) == {
        "$nbflow": "enum", "class": "classes_to_store:Level", "name": "HIGH", "value": 9,
    }  # fmt: skip


def test_a_dataclass_that_is_more_than_its_fields_is_pickled(classes, round_trip, tree_of):
    """A dataclass derived from dict has items besides; nothing of it gets lost."""
    table = classes.Table(name="t")
    table["a"] = 1
    assert tree_of(table)["$nbflow"] == "pickle"
    assert all((dict(found), found.name) == ({"a": 1}, "t") for found in round_trip(table))


def edited(tree, **changes):
    """Return a payload like one that an older version of the code wrote."""
    return Payload.of_tree({**tree, **changes})


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        ("City", {"name": "Oslo"}, ("Oslo", 0, set())),
        ("City", {"name": "Oslo", "population": 1, "mayor": "gone"}, ("Oslo", 1, set())),
        ("Point", {"x": 1.0}, (1.0, 0.0)),
        ("Pair", {"left": 1}, (1, None)),
        ("Pair", {"left": 1, "middle": 2, "right": 3}, (1, 3)),
    ],
)
def test_classes_may_gain_and_lose_fields(classes, codec, name, stored, expected):
    """New fields take their defaults, old ones are left out."""
    cls = getattr(classes, name)
    found = codec.decode(edited(codec.encode(cls("x")).tree, fields=stored))
    assert tuple(getattr(found, name) for name in getattr(cls, "__match_args__", None) or cls._fields) == expected


@pytest.mark.parametrize("name", ["City", "Pair", "Order"])
def test_a_new_field_without_a_default_is_told(classes, codec, tree_of, name):
    """What the class needs and the record lacks is named."""
    value = classes.Order(number=1) if name == "Order" else getattr(classes, name)("x")
    with pytest.raises(PayloadError, match=r"has no \w+, which the class now requires; give it a default"):
        codec.decode(edited(tree_of(value), fields={}))


def test_pydantic_models_may_gain_fields(classes, codec, tree_of):
    """A field that was not there yet has its default."""
    found = codec.decode(edited(tree_of(classes.Order(number=1)), fields={"number": 5}))
    assert found == classes.Order.model_construct({"number"}, number=5, when=None, lines=[])


def test_an_enum_member_that_is_gone_is_told(classes, codec, tree_of):
    """The missing member is named."""
    with pytest.raises(PayloadError, match=r"Colour\.GREEN, which that enum no longer has"):
        codec.decode(edited(tree_of(classes.Colour.RED), name="GREEN"))


def test_a_store_names_only_classes_of_the_right_sort(codec):
    """A record can't make us build something else, say a process."""
    for kind in ("dataclass", "enum", "namedtuple", "exception", "pydantic"):
        tree = {"$nbflow": kind, "class": "subprocess:Popen", "fields": {}, "args": ["true"], "set": [], "name": "x"}
        with pytest.raises(PayloadError, match="is something else now"):
            codec.decode(Payload.of_tree({**tree, "value": 1}))


def exceptions_to_store(c):
    """Return exceptions of many sorts."""
    return [
        ValueError("x", 1),
        KeyError("k"),
        OSError(2, "no such file", "f.csv"),
        FileNotFoundError(2, "no such file", "f.csv", None, "g.csv"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ImportError("no", name="n", path="p"),
        StopIteration(3),
        SystemExit(4),
        c.CityError("Oslo", code=5),
        exceptions.ApplicationError("m", {"a": (1,)}, type="T", non_retryable=True),
        exceptions.ActivityError("m", "fetch", "1", 2, "TIMEOUT"),
        exceptions.TimeoutError("late", "HEARTBEAT", [1]),
    ]


def test_exceptions_come_back_with_args_and_attributes(classes, round_trip):
    """Whatever their constructors take."""
    for error in exceptions_to_store(classes):
        for found in round_trip(error):
            assert (type(found), found.args, str(found)) == (type(error), error.args, str(error))
            assert vars(found) == vars(error)
            assert getattr(found, "filename", None) == getattr(error, "filename", None)
            assert getattr(found, "value", None) == getattr(error, "value", None)


def test_exceptions_keep_their_causes_and_notes(round_trip):
    """The chain is part of the value; a group keeps its members."""
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    error.add_note("look there")
    for found in round_trip(ExceptionGroup("both", [error, TypeError("t")])):
        first, second = found.exceptions
        assert (str(first), first.__notes__, first.__suppress_context__) == ("outer", ["look there"], True)
        assert first.__cause__.args == ("inner",) and type(second) is TypeError


def test_a_class_inside_a_function_can_not_be_found_again(codec):
    """The class is named at once, not when the value is read."""
    from dataclasses import make_dataclass

    local = make_dataclass("Local", ["a"])
    local.__qualname__ = "f.<locals>.Local"
    with pytest.raises(PayloadError, match=r"result\[0\] is a f\.<locals>\.Local, a class defined inside a function"):
        codec.encode([local(1)], "result")


NOTEBOOK = """
from dataclasses import dataclass

@dataclass
class Notebook:
    a: int

class Picked:
    def __init__(self, a):
        self.a = a
"""


@pytest.mark.parametrize("name", ["Notebook", "Picked"])
def test_classes_of_the_notebook_are_found_where_they_are_defined(codec, round_trip, monkeypatch, name):
    """In __main__ first; in the engine's restored definitions when the cell has not run again yet."""
    main = sys.modules["__main__"]
    namespace = {"__name__": "__main__"}
    exec(NOTEBOOK, namespace)
    cls = namespace[name]
    monkeypatch.setattr(main, name, cls, raising=False)
    payload = codec.encode(cls(1))
    assert codec.decode(payload).a == 1
    monkeypatch.delattr(main, name)
    with pytest.raises(
        PayloadError, match=f"class {name} of __main__, which is not here; run the cell that defines it"
    ):
        codec.decode(payload)
    codec.resolve_class = lambda module, qualname: cls if (module, qualname) == ("__main__", name) else None
    assert type(codec.decode(payload)) is cls


def test_a_class_of_a_module_that_is_gone_is_told(codec, classes, tree_of):
    """The module and the class are named."""
    tree = {**tree_of(classes.City("x")), "class": "no_such_module:City"}
    with pytest.raises(PayloadError, match=r"class City of no_such_module, which is not here; make it importable"):
        codec.decode(Payload.of_tree(tree))


def test_a_kind_of_a_newer_nbflow_is_told(codec):
    """What we do not know is not guessed."""
    with pytest.raises(PayloadError, match="unknown kind 'hologram'"):
        codec.decode(Payload('{"$nbflow":"hologram"}'))


def test_pickles_say_what_they_hold(classes, tree_of):
    """In SQL one sees at least the class of a pickle."""
    tree = tree_of(classes.Plain(1))
    assert tree["class"] == "classes_to_store:Plain" and len(tree["signature"]) == 64
