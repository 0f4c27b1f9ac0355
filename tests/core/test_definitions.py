"""The registry: the current version of each name, and every version by hash."""

from __future__ import annotations

import inspect
import threading

import pytest

from nbflow.core.definitions import Definition, Registry, bind_arguments
from nbflow.exceptions import ConfigurationError


def version(hash_: str, name: str = "flow") -> Definition:
    return Definition(kind="workflow", name=name, function=lambda: hash_, hash=hash_)


def test_the_latest_registration_is_current():
    """Running a cell again replaces the current version; the old one is still found by its hash."""
    registry = Registry()
    registry.register("workflow", "flow", lambda: version("one"))
    one = registry.current("workflow", "flow")
    registry.register("workflow", "flow", lambda: version("two"))
    assert registry.current("workflow", "flow").hash == "two"
    assert registry.by_hash("workflow", "one") is one
    assert registry.by_hash("activity", "one") is None
    assert registry.current("workflow", "other") is None


def test_of_equal_versions_the_latest_is_kept():
    """The cells have run again: their objects are the ones to use."""
    registry = Registry()
    registry.remember(version("one"))
    latest = registry.remember(version("one"))
    assert registry.by_hash("workflow", "one") is latest
    assert registry.all() == [latest]


def test_kinds_do_not_meet():
    """A workflow and an activity may have one name."""
    registry = Registry()
    registry.register("workflow", "b", lambda: version("one"))
    registry.register("workflow", "a", lambda: version("one"))
    registry.register("activity", "a", lambda: version("two"))
    assert (registry.names("workflow"), registry.names("activity")) == (["a", "b"], ["a"])


def test_listeners_hear_of_new_current_versions():
    """An engine that waits for a definition goes on."""
    registry, heard = Registry(), []
    registry.listeners.append(lambda: heard.append(1))
    registry.register("workflow", "flow", lambda: version("one"))
    assert heard == [1]


def test_what_is_captured_is_not_current():
    """Importing a module to rebuild a stored definition changes nothing for the notebook, in this thread only."""
    registry, heard, other = Registry(), [], []
    registry.listeners.append(lambda: heard.append(1))
    with registry.capturing() as captured:
        registry.register("workflow", "flow", lambda: version("one"))
        thread = threading.Thread(target=lambda: registry.register("workflow", "other", lambda: version("two")))
        thread.start()
        thread.join()
        other.append(registry.current("workflow", "other").hash)
    assert registry.current("workflow", "flow") is None
    assert captured["workflow", "flow"]().hash == "one"
    assert (other, heard) == (["two"], [1])


def test_binding_makes_arguments_positional():
    """History holds positional arguments wherever it can, so that a renamed parameter does no harm."""

    def function(a, b=2, *rest, c, d=4, **more): ...

    signature = inspect.signature(function)
    assert bind_arguments(signature, "f", (1,), {"c": 3}) == ((1,), {"c": 3})
    assert bind_arguments(signature, "f", (), {"b": 5, "a": 1, "c": 3, "x": 9}) == ((1, 5), {"c": 3, "x": 9})
    assert bind_arguments(signature, "f", (1, 2, 3), {"c": 3}) == ((1, 2, 3), {"c": 3})


def test_arguments_that_do_not_fit_are_told_with_the_signature():
    """At the call, not when it runs."""
    with pytest.raises(ConfigurationError, match=r"fetch\(a\): missing a required argument: 'a'"):
        bind_arguments(inspect.signature(lambda a: a), "fetch", (), {})


def test_a_definition_knows_its_colour():
    """async def or def."""

    async def flow(): ...

    assert Definition(kind="workflow", name="f", function=flow, hash="x").is_async
    assert not version("one").is_async
