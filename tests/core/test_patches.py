"""Patches: old executions keep the old path, new ones take the new one, and both replay."""

from __future__ import annotations

import dataclasses

import pytest
from replay_corpus import add, double
from replay_player import Player

import nbflow
from nbflow.core.replay import replay
from nbflow.core.search_attributes import CHANGE_VERSION
from nbflow.exceptions import NondeterminismError, QueryError, ReadOnlyContextError

MARKER, UPSERT = "MarkerRecorded", "UpsertWorkflowSearchAttributes"
DONE = ["ActivityTaskScheduled", "ActivityTaskStarted", "ActivityTaskCompleted"]


def old():
    first = double(1)
    return first, double(first)


def new():
    first = add(1, 1) if nbflow.patched("sums") else double(1)
    return first, double(first)


def deprecated():
    nbflow.deprecate_patch("sums")
    first = add(1, 1)
    return first, double(first)


def without():
    first = add(1, 1)
    return first, double(first)


def played(function, runs=2):
    """Play an execution that runs so many of its activities."""
    player = Player(function).start()
    for _ in range(runs):
        player.run()
    return player


def replayed_with(function, history, converter):
    """Replay a history with other code; returns what it asks for beyond it."""
    instance = Player(function, converter=converter).instance
    try:
        return [command.name or type(command).__name__ for command in replay(instance, history)]
    finally:
        instance.evict()


def test_a_new_execution_takes_the_new_path_and_leaves_a_marker():
    """First the marker, then what lists the patches for searching, as Temporal records them."""
    player = played(new)
    assert player.types == ["Started", MARKER, UPSERT, *DONE, *DONE, "Completed"]
    assert player.history[1].marker_name == "core_patch"
    assert player.history[1].details["patch-data"].tree == {"id": "sums", "deprecated": False}
    assert player.history[2].search_attributes == {CHANGE_VERSION: ["sums"]}
    assert player.result == [2, 4]
    player.close()


@pytest.mark.parametrize("length", [1, 2, 4, 5, 7, 8])
def test_an_old_history_keeps_the_old_path(length):
    """Cut anywhere, it replays with the new code, and goes on without the patch."""
    history = played(old).history
    player = Player(new)
    replay(player.instance, history[:length])
    player.close()


@pytest.mark.parametrize("function", [new, deprecated])
def test_a_history_with_the_marker_replays(function):
    """The patch may be deprecated while executions that have it are open."""
    player = played(new)
    assert replayed_with(function, player.history, player.converter) == []
    player.close()


@pytest.mark.parametrize("function", [new, deprecated, without])
def test_a_deprecated_marker_may_be_gone_from_the_code(function):
    """Once the patch is deprecated, the call can be taken out: its events are passed over."""
    player = played(deprecated)
    assert player.types[:3] == ["Started", MARKER, UPSERT]
    assert replayed_with(function, player.history, player.converter) == []
    player.close()


def test_a_marker_that_is_not_deprecated_must_be_asked_for():
    """Taking the call out too early is nondeterminism, which names the marker."""
    player = played(new)
    with pytest.raises(NondeterminismError, match=r"MarkerRecorded\(core_patch\)"):
        replayed_with(without, player.history, player.converter)
    player.close()


async def asks_late():
    await nbflow.sleep(60)
    return nbflow.patched("late"), nbflow.patched("late"), nbflow.info().search_attributes


def test_an_open_execution_takes_a_patch_that_it_comes_to_later():
    """Behind the end of its history an execution is a new one; the second call leaves no marker."""
    player = Player(asks_late).start()
    again = player.replayed()
    player.instance.evict()
    player.instance = again
    player.fire()
    assert player.result == [True, True, {CHANGE_VERSION: ["late"]}]
    assert player.types.count(MARKER) == 1
    player.close()


def test_code_that_begins_anew_behind_a_cut_takes_the_patch():
    """A history cut off behind an event that the code never answered ends live."""
    history = played(old).history[:1]
    for ends_live, expected in ((True, ["core_patch", "UpsertSearchAttributes", "add"]), (False, ["double"])):
        player = Player(new)
        replay(player.instance, history, ends_live=ends_live)
        assert [it.name or type(it).__name__ for it in player.instance.outstanding] == expected
        player.close()


async def asks_in_a_query():
    known = nbflow.patched("known")

    @nbflow.query
    def ask(which):
        return nbflow.patched(which)

    await nbflow.wait_for_signal("never")
    return known


def test_a_query_may_ask_for_what_is_known_only():
    """Finding the answer would leave a marker."""
    player = Player(asks_in_a_query).start()
    assert player.instance.query("ask", ["known"]) is True
    with pytest.raises((ReadOnlyContextError, QueryError), match="may only read"):
        player.instance.query("ask", ["unknown"])
    player.close()


def test_a_damaged_list_of_patches_is_nondeterminism():
    """An upsert without attributes, which nothing writes, is told as what does not fit."""
    player = played(new)
    history = list(player.history)
    history[2] = dataclasses.replace(history[2], search_attributes=None)
    with pytest.raises(NondeterminismError, match="event 3 UpsertWorkflowSearchAttributes"):
        replayed_with(new, history, player.converter)
    player.close()


def test_a_patch_after_something_that_is_withdrawn():
    """What is asked for and withdrawn within one activation does not shift what the patch finds recorded."""

    async def flow():
        handle = double.start(1)
        if nbflow.patched("sums"):
            handle.cancel()
        return await add(1, 1)

    player = Player(flow).start().run()
    assert player.types == ["Started", MARKER, UPSERT, *DONE, "Completed"]
    assert replayed_with(flow, player.history, player.converter) == []
    player.close()
