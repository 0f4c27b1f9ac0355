"""What an execution says of itself: search attributes, memo, details."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from replay_corpus import double
from replay_player import Player

import nbflow
from nbflow.core.search_attributes import checked_search_attributes
from nbflow.exceptions import ConfigurationError


async def travels():
    nbflow.upsert_search_attributes({"city": "Oslo", "stops": 1})
    nbflow.upsert_memo({"note": {"x": [1]}, "by": "train"})
    first = nbflow.info()
    await double(1)
    nbflow.upsert_search_attributes({"city": None, "stops": 2})
    nbflow.upsert_memo({"by": None})
    then = nbflow.info()
    return [first.search_attributes, first.memo, then.search_attributes, then.memo]


def test_upserts_change_what_info_says():
    """What is not named stays, None takes away; the order of events is that of the calls."""
    player = Player(travels)
    player.start(memo=player.encode({"who": "Ada"}), search_attributes={"team": "data"}).run()
    assert player.result == [
        {"team": "data", "city": "Oslo", "stops": 1},
        {"who": "Ada", "note": {"x": [1]}, "by": "train"},
        {"team": "data", "stops": 2},
        {"who": "Ada", "note": {"x": [1]}},
    ]
    assert player.types[1:3] == ["UpsertWorkflowSearchAttributes", "WorkflowPropertiesModified"]
    assert player.history[1].search_attributes == {"city": "Oslo", "stops": 1}
    assert player.history[2].upserted_memo.tree == {"note": {"x": [1]}, "by": "train"}
    player.close()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("text", "text"),
        (3, 3),
        (1.5, 1.5),
        (True, True),
        (("a", "b"), ["a", "b"]),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=1))), "2026-01-02T02:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
    ],
)
def test_values_to_search_by(value, kept):
    """Each kind is written so that SQL can compare it."""
    assert checked_search_attributes({"x": value}) == {"x": kept}


@pytest.mark.parametrize(
    "given",
    [
        {"x": float("inf")},
        {"x": [1]},
        {"x": {}},
        {"x": datetime(2026, 1, 1)},
        {1: "x"},
        {"": "x"},
        ["x"],
        {"x": None},
    ],
)
def test_values_that_nobody_can_search_by(given):
    """They are refused by name, before there is an event."""
    with pytest.raises(ConfigurationError, match="search_attributes"):
        checked_search_attributes(given)


async def says_nonsense(what):
    try:
        if what == "memo":
            nbflow.upsert_memo(["no dict"])
        else:
            nbflow.upsert_search_attributes({"x": object()})
    except ConfigurationError as error:
        return str(error).split()[0]


@pytest.mark.parametrize(("what", "first"), [("memo", "a"), ("attributes", "search_attributes['x']")])
def test_a_refused_upsert_leaves_no_event(what, first):
    """The code may catch the error and go on."""
    player = Player(says_nonsense, what).start()
    assert player.types == ["Started", "Completed"]
    assert player.result == first
    player.close()


async def says_how_it_is():
    nbflow.set_details("**beginning**")
    await double(1)
    nbflow.set_details("half way")
    await double(2)


def test_details_are_rebuilt_by_replay_and_leave_no_event():
    """They are what the code said last, at any point of the history."""
    player = Player(says_how_it_is).start()
    for expected, length in (("**beginning**", 2), ("half way", 5)):
        again = player.replayed()
        metadata = again.query("__temporal_workflow_metadata", [])
        assert (metadata["current_details"], len(player.history)) == (expected, length)
        again.evict()
        player.run()
    assert player.types.count("ActivityTaskScheduled") == 2
    assert len(player.types) == 8
    player.close()


async def takes_messages():
    @nbflow.signal
    def go():
        """Go on."""

    @nbflow.update(name="set")
    def on_set(x):
        pass

    @nbflow.query
    def state():
        pass

    await nbflow.sleep(1)


def test_an_execution_lists_what_it_takes():
    """Handlers by name, with what their docstrings say."""
    player = Player(takes_messages).start()
    definition = player.instance.query("__temporal_workflow_metadata", [])["definition"]
    assert definition == {
        "type": "takes_messages",
        "signal_definitions": [{"name": "go", "description": "Go on."}],
        "query_definitions": [{"name": "state", "description": ""}],
        "update_definitions": [{"name": "set", "description": ""}],
    }
    player.close()


def test_the_time_of_an_attribute_is_utc():
    """A datetime of any zone is told in UTC, so that text sorts as time does."""
    told = checked_search_attributes({"x": datetime(2026, 1, 1, tzinfo=UTC)})
    assert told == {"x": "2026-01-01T00:00:00+00:00"}
