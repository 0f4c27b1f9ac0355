"""Which code fits a history, for every workflow of the corpus."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay_corpus import CORPUS
from replay_schedules import Played

import nbflow
from nbflow.core.compatibility import misfit_of
from nbflow.core.definitions import Definition
from nbflow.core.instance import WorkflowInstance

schedules = st.lists(st.integers(0, 11), max_size=40)
EACH_BODY = pytest.mark.parametrize("body", CORPUS, ids=lambda body: body.name)
LAW = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@nbflow.activity
def intruder(x):
    return x


async def edited(*args):
    """Ask for what no history of the corpus has."""
    return await intruder(len(args))


def with_function(player, function):
    """Make an instance of the execution with other code."""
    old = player.definition
    definition = Definition(kind="workflow", name=old.name, function=function, hash="edited", bindings=old.bindings)
    return WorkflowInstance(player.run_id, definition, player.converter)


@EACH_BODY
@LAW
@given(choices=schedules)
def test_code_that_asks_for_the_same_fits_at_every_moment(body, choices):
    """Whatever its hash is; and then it stands where the history ends, with nothing outstanding."""
    played = Played(body, choices)
    for length, (snapshot, _) in played.views.items():
        instance = with_function(played.player, played.player.definition.function)
        assert misfit_of(instance, played.player.history[:length]) is None, f"at event {length}"
        assert (instance.outstanding, instance.is_closed) == ([], snapshot["closed"])
        instance.evict()
    played.player.close()


@EACH_BODY
@LAW
@given(choices=schedules)
def test_code_that_asks_for_something_else_fits_only_a_bare_start(body, choices):
    """It is told that the second event is where the two part, and what was asked for instead, at which line."""
    played = Played(body, choices)
    instance = with_function(played.player, edited)
    misfit = misfit_of(instance, played.player.history)
    if len(played.player.history) == 1:
        assert misfit is None
        assert len(instance.outstanding) == 1
        instance.evict()
    else:
        assert misfit is not None
        assert (misfit.event_id, misfit.command) == (2, "ScheduleActivityTask(intruder)")
        assert misfit.text == "return await intruder(len(args))"
        assert instance.loop.is_closed()
    played.player.close()
