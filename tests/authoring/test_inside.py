"""What workflow code calls: the same names in both colours, and a clear word outside."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from replay_corpus import double
from replay_player import START, Player

import nbflow
from nbflow.exceptions import ConfigurationError, NotInWorkflowError


def started(function) -> Player:
    player = Player(function).start()
    player.close()
    return player


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("sleep", (1,)),
        ("now", ()),
        ("random", ()),
        ("uuid4", ()),
        ("gather", ()),
        ("wait_condition", (lambda: True,)),
        ("wait_for_signal", ("x",)),
        ("side_effect", (lambda: 1,)),
        ("info", ()),
        ("signal", (lambda: 1,)),
        ("query", (lambda: 1,)),
    ],
)
def test_outside_of_workflows_it_says_where_it_works(name, args):
    """The function's public name, and what to do."""
    with pytest.raises(NotInWorkflowError, match=rf"nbflow\.{name}\(\) works only inside a running workflow"):
        getattr(nbflow, name)(*args)


@pytest.mark.parametrize(
    ("written", "seconds"), [(5, 5.0), ("2 min", 120.0), (timedelta(hours=1), 3600.0), ("PT0.5S", 0.5), (0, 0.0)]
)
def test_sleep_takes_any_duration(written, seconds):
    """The timer is in seconds, with its summary."""

    async def flow():
        await nbflow.sleep(written, summary="why")

    timer = started(flow).history[1]
    assert (timer.start_to_fire_timeout, timer.summary) == (seconds, "why")


def test_a_senseless_duration_is_an_error_of_the_call():
    """Not of the engine."""

    def flow():
        try:
            nbflow.sleep("soon")
        except ConfigurationError as error:
            return str(error)

    assert "not a duration: 'soon'" in started(flow).result


def test_now_is_utc_and_stands_still():
    """It moves with the events only."""

    def flow():
        first = nbflow.now()
        return [first.isoformat(), nbflow.now() == first, first.tzinfo is UTC]

    moment = datetime.fromtimestamp((START + 1000) / 1e6, UTC).isoformat()
    assert started(flow).result == [moment, True, True]


def test_uuids_are_versioned_and_differ():
    """Random ones, as uuid.uuid4 makes them."""

    def flow():
        return [str(nbflow.uuid4()), str(nbflow.uuid4())]

    first, second = started(flow).result
    assert uuid.UUID(first).version == 4
    assert first != second


@pytest.mark.parametrize("colour", ["async", "def"])
def test_timeouts_of_waits_are_pythons_timeouts(colour):
    """`except TimeoutError` catches them."""

    async def flow():
        caught = []
        try:
            await nbflow.wait_condition(lambda: False, timeout="1 min", summary="approval")
        except TimeoutError:
            caught.append("condition")
        try:
            await nbflow.wait_for_signal("x", timeout=60)
        except TimeoutError:
            caught.append("signal")
        return caught

    def flow_def():
        caught = []
        try:
            nbflow.wait_condition(lambda: False, timeout="1 min", summary="approval")
        except TimeoutError:
            caught.append("condition")
        try:
            nbflow.wait_for_signal("x", timeout=60)
        except TimeoutError:
            caught.append("signal")
        return caught

    player = Player(flow if colour == "async" else flow_def).start()
    assert player.history[1].summary == "approval"
    assert player.fire().fire().result == ["condition", "signal"]
    player.close()


def test_a_condition_that_holds_waits_for_nothing():
    """No timer is started for its timeout."""

    def flow():
        nbflow.wait_condition(lambda: 5, timeout=60)

    assert started(flow).types == ["Started", "Completed"]


def test_gather_stops_at_the_first_failure_or_collects_them():
    """As asyncio.gather."""

    def flow():
        found = nbflow.gather(double.start(1), double.start(2), return_exceptions=True)
        return [type(it).__name__ for it in found]

    def strict():
        nbflow.gather(double.start(1), double.start(2))

    player = Player(flow).start().fail(0, ValueError("x")).complete(0, 4)
    assert player.result == ["ActivityError", "int"]
    player.close()
    player = Player(strict).start().fail(1, ValueError("x"))
    assert player.failure.cause.headline() == "ValueError: x"
    player.close()


def test_handlers_keep_their_function():
    """The decorator gives back what it was put on; names may be given."""

    def flow():
        @nbflow.signal(name="go")
        def on_go():
            return 1

        @nbflow.query
        def state():
            return on_go()

        nbflow.wait_for_signal("end")
        return state()

    player = Player(flow).start()
    assert player.instance.query("state", []) == 1
    assert player.signal("go").signal("end").result == 1
    player.close()


def test_a_side_effect_runs_once_however_often_it_is_replayed():
    """Replay takes the record; two of them do not mix."""
    ran = []

    def flow():
        first = nbflow.side_effect(lambda: ran.append(1) or len(ran))
        double(1)
        return [first, nbflow.side_effect(lambda: ran.append(2) or "two")]

    player = Player(flow).start().run()
    assert player.result == [1, "two"]
    for length in range(1, len(player.history) + 1):
        player.replayed(length).evict()
    assert ran[:2] == [1, 2]
    again = player.replayed()
    assert ran.count(1) == 2  # once for the history's first event alone, where no record was there yet
    again.evict()
    player.close()


def test_a_side_effect_that_fails_leaves_no_record():
    """Its error is the code's to handle."""

    def flow():
        try:
            nbflow.side_effect(lambda: 1 / 0)
        except ZeroDivisionError:
            return "handled"

    assert started(flow).types == ["Started", "Completed"]
