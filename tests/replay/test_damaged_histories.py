"""Histories that no execution wrote: replay says what is wrong with them, in its own words."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay_corpus import CORPUS, double, flaky
from replay_player import Player, short_types
from replay_schedules import Played

import nbflow
from nbflow.core.events import EVENT_TYPES, HistoryEvent
from nbflow.core.failures import Failure
from nbflow.core.payloads import Payload
from nbflow.core.replay import replay
from nbflow.exceptions import HistoryCorruptedError, NondeterminismError

REFERENCES = ("scheduled_event_id", "started_event_id", "timer_id", "activity_id", "activity_type", "marker_name")
PLAIN = {
    "str": "1",
    "int": 5,
    "float": 1.0,
    "Payload": Payload("[1]"),
    "Failure": Failure(message="no"),
    "Mapping[str,": {},
}

damage = st.lists(
    st.tuples(
        st.sampled_from(["drop", "swap", "repeat", "retype", "refer", "cut"]),
        st.integers(0, 60),
        st.integers(0, 60),
        st.sampled_from(sorted(EVENT_TYPES)),
    ),
    min_size=1,
    max_size=3,
)


def retyped(event: HistoryEvent, name: str) -> HistoryEvent:
    """Make an event of another type, with the attributes of the old one where it has them."""
    values = {}
    for field in dataclasses.fields(EVENT_TYPES[name]):
        if hasattr(event, field.name):
            values[field.name] = getattr(event, field.name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            values[field.name] = PLAIN[str(field.type).partition(" ")[0]]
    return EVENT_TYPES[name](**values)


def referring(event: HistoryEvent, shift: int) -> HistoryEvent:
    """Let an event refer to something else."""
    for name in REFERENCES:
        value = getattr(event, name, None)
        if value is not None:
            return dataclasses.replace(event, **{name: value + shift if isinstance(value, int) else f"{value}{shift}"})
    return event


def damaged(history: list[HistoryEvent], how: list[tuple[str, int, int, str]]) -> list[HistoryEvent]:
    events = list(history)
    for kind, first, second, name in how:
        if not events:
            break
        i, j = first % len(events), second % len(events)
        if kind == "drop":
            del events[i]
        elif kind == "swap":
            events[i], events[j] = events[j], events[i]
        elif kind == "repeat":
            events.insert(j, events[i])
        elif kind == "retype":
            events[i] = retyped(events[i], name)
        elif kind == "refer":
            events[i] = referring(events[i], second - 30)
        else:
            del events[i:]
    return events


@pytest.mark.parametrize("body", CORPUS, ids=lambda body: body.name)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(choices=st.lists(st.integers(0, 11), max_size=20), how=damage)
def test_a_damaged_history_is_named_as_such(body, choices, how):
    """Whatever happened to a history, replay ends, or says that code and history or the history itself disagree."""
    played = Played(body, choices)
    events = damaged(played.player.history, how)
    events = [dataclasses.replace(event, event_id=at) for at, event in enumerate(events, start=1)]
    instance = played.player.fresh()
    try:
        replay(instance, events)
    except (NondeterminismError, HistoryCorruptedError) as error:
        assert "run-1" in str(error) or "the history has a gap" in str(error)  # noqa: PT017
    finally:
        instance.evict()
        played.player.close()


def test_a_gap_in_the_numbers_is_told():
    """Event ids are dense from 1; a history with a hole is corrupted, whatever its events are."""
    player = Player(CORPUS[0].function, *CORPUS[0].args).start().complete(0, 0)
    with pytest.raises(HistoryCorruptedError, match=r"event 3 .* stands where 2 should"):
        replay(player.fresh(), [player.history[0], *player.history[2:]])
    player.close()


def test_events_after_the_end_are_told():
    """Nothing follows a closing event."""
    player = Player(_returns).start()
    assert player.types == ["Started", "Completed"]
    late = EVENT_TYPES["WorkflowExecutionSignaled"](
        event_id=3, event_time=player.now, signal_name="late", input=Payload("[]")
    )
    with pytest.raises(HistoryCorruptedError, match="is Completed and can't take a WorkflowExecutionSignaled"):
        replay(player.fresh(), [*player.history, late])
    player.close()


async def _returns():
    return 1


def test_a_misfit_names_event_command_line_and_versions():
    """The error says what is recorded, what the code asked for and where, and which versions these are."""
    player = Player(_asks_for_one).start()
    changed = Player(_asks_for_another)
    changed.definition = dataclasses.replace(changed.definition, hash="two" * 20)
    instance = changed.fresh()
    with pytest.raises(NondeterminismError) as caught:
        replay(instance, player.history)
    error = caught.value
    assert error.event == "event 2 ActivityTaskScheduled(double)"
    assert error.command == "ScheduleActivityTask(flaky)"
    assert error.line == f"{__file__}:{_asks_for_another.__code__.co_firstlineno + 1}"
    assert error.definition_hash == ("one", "two" * 20)
    assert all(part in str(error) for part in (error.event, error.command, error.line, "run-1", "definition one then"))
    player.close()


async def _asks_for_one():
    return await double(1)


async def _asks_for_another():
    await flaky(1)


def test_a_command_that_history_does_not_have_is_told():
    """Code that asks for more than was recorded before the next event is told so."""
    player = Player(_asks_for_one).start().complete(0, 2)
    with pytest.raises(NondeterminismError, match=r"recorded is event 3 ActivityTaskStarted.*asked for .*flaky"):
        replay(Player(_asks_for_two).fresh(), player.history)
    player.close()


async def _asks_for_two():
    first = double(1)
    await flaky(1)
    await first


def test_a_command_that_the_code_no_longer_makes_is_told():
    """Code that asks for nothing where something was recorded is told so."""
    player = Player(_asks_for_one).start()
    with pytest.raises(NondeterminismError, match=r"ActivityTaskScheduled\(double\), the code asked for Complete"):
        replay(Player(_returns).fresh(), player.history)
    with pytest.raises(NondeterminismError, match=r"ActivityTaskScheduled\(double\), the code asked for nothing"):
        replay(Player(_waits).fresh(), player.history)
    assert short_types(player.history) == ["Started", "ActivityTaskScheduled"]
    player.close()


async def _waits():
    await nbflow.wait_for_signal("never")
