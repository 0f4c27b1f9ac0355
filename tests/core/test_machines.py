"""The state machines: every table is whole, and nothing leaves a final state."""

from __future__ import annotations

import pytest

from nbflow.core.effects import APPLICATIONS, CONFIRMATIONS
from nbflow.core.events import CLOSING_EVENTS, COMMAND_EVENTS, EVENT_TYPES
from nbflow.core.machines import (
    ACTIVITY,
    CHILD,
    EXECUTION,
    EXTERNAL_CANCEL,
    EXTERNAL_SIGNAL,
    TIMER,
    UPDATE,
    advance,
    draw,
)
from nbflow.exceptions import HistoryCorruptedError

MACHINES = pytest.mark.parametrize(
    "machine",
    [EXECUTION, ACTIVITY, TIMER, CHILD, EXTERNAL_CANCEL, EXTERNAL_SIGNAL, UPDATE],
    ids=["execution", "activity", "timer", "child", "external cancel", "external signal", "update"],
)


@MACHINES
def test_every_state_has_a_row_and_can_be_reached(machine):
    """Each target is a row, each row is reached from New, each event is one that exists."""
    reached, waiting = set(), {"New"}
    while waiting:
        state = waiting.pop()
        reached.add(state)
        waiting |= set(machine[state].values()) - reached
    assert reached == set(machine)
    assert {event for row in machine.values() for event in row} <= set(EVENT_TYPES)


def test_an_open_execution_takes_every_event_but_another_start():
    """The open row names every event type, so a new type can't be forgotten."""
    assert set(EXECUTION["Running"]) == set(EVENT_TYPES) - {"WorkflowExecutionStarted", "WorkflowExecutionUnpaused"}
    closing = {cls.__name__ for cls in CLOSING_EVENTS}
    leaving = {event for event, state in EXECUTION["Running"].items() if state != "Running"}
    assert leaving == closing | {"WorkflowExecutionPaused"}
    assert all(EXECUTION[EXECUTION["Running"][event]] == {} for event in closing)


def test_every_event_type_has_an_effect():
    """Each event either records a command or is applied; the tables leave none out."""
    applied = {cls.__name__ for cls in set(APPLICATIONS) | COMMAND_EVENTS}
    assert applied | STILL_TO_COME == set(EVENT_TYPES)
    assert not applied & STILL_TO_COME
    assert not set(APPLICATIONS) & COMMAND_EVENTS
    assert set(CONFIRMATIONS) <= COMMAND_EVENTS


STILL_TO_COME: set[str] = set()
"""Event types that nothing writes yet."""


@MACHINES
def test_advancing_follows_the_table_and_nothing_else(machine):
    """A step in the table is taken; any other is a contradiction that names the subject."""
    for state, steps in machine.items():
        for event in EVENT_TYPES:
            if event in steps:
                assert advance(machine, state, event, "it") == steps[event]
            else:
                with pytest.raises(
                    HistoryCorruptedError, match=f"run r activity 5 is {state} and can't take a {event}"
                ):
                    advance(machine, state, event, "run", "r", "activity", 5)


@MACHINES
def test_drawing_shows_every_step(machine):
    """The Mermaid text has a line for each pair of states that a step joins."""
    lines = draw(machine).splitlines()
    assert lines[0] == "stateDiagram-v2"
    pairs = {(state, target) for state, steps in machine.items() for target in steps.values()}
    assert len(lines) == 1 + len(pairs)
    assert all(f"{'[*]' if state == 'New' else state} --> {target}: " in draw(machine) for state, target in pairs)
