"""Laws that hold for every workflow of the corpus, whatever order the world answers in."""

from __future__ import annotations

import gc
import sys
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay_corpus import CORPUS
from replay_player import continue_with
from replay_schedules import Played, view

from nbflow.core.events import COMMAND_EVENTS, ActivityTaskStarted
from nbflow.core.replay import replay

schedules = st.lists(st.integers(0, 11), max_size=40)
EACH_BODY = pytest.mark.parametrize("body", CORPUS, ids=lambda body: body.name)
LAW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def test_the_corpus_covers_enough():
    """At least forty bodies, of both colours."""
    assert len(CORPUS) >= 40
    assert len({body.name for body in CORPUS}) == len(CORPUS)


@EACH_BODY
@LAW
@given(choices=schedules)
def test_replaying_a_history_is_a_fixed_point(body, choices):
    """The code asks for what is recorded, event by event, and for nothing else."""
    played = Played(body, choices)
    player, instance = played.player, played.player.fresh()
    assert continue_with(player, instance, 0) == player.history
    again = player.fresh()
    assert replay(again, player.history) == []
    assert view(again, body) == view(instance, body) == view(player.instance, body)
    for it in (player.instance, instance, again):
        it.evict()


@EACH_BODY
@LAW
@given(choices=schedules)
def test_replaying_a_prefix_gives_the_state_of_that_moment(body, choices):
    """A prefix cut before its commands has them outstanding; a whole one stands where the execution stood."""
    played = Played(body, choices)
    history = played.player.history
    for end in range(1, len(history) + 1):
        if type(history[end - 1]) in COMMAND_EVENTS or type(history[end - 1]) is ActivityTaskStarted:
            continue
        until = next(length for length in played.views if length >= end)
        instance = played.player.replayed(end)
        assert [it.event_type for it in instance.outstanding] == [type(it) for it in history[end:until]]
        whole = played.player.replayed(until)
        assert view(whole, body) == played.views[until]
        instance.evict()
        whole.evict()
    played.player.close()


@EACH_BODY
@LAW
@given(choices=schedules)
def test_going_on_after_any_cut_gives_the_same_history(body, choices):
    """A crash after any event, a replay, and the same answers of the world: the same history."""
    played = Played(body, choices)
    for cut in range(1, len(played.player.history)):
        instance = played.player.replayed(cut)
        assert continue_with(played.player, instance, cut) == played.player.history, f"cut after {cut}"
        instance.evict()
    played.player.close()


@pytest.fixture
def young_heap():
    """Let the garbage collector look only at what the test makes: everything else is a hundred times as much."""
    gc.freeze()
    yield
    gc.unfreeze()


@EACH_BODY
@LAW
@given(choices=schedules)
@pytest.mark.usefixtures("young_heap")
def test_an_execution_leaves_memory_without_a_trace(body, choices, capsys):
    """Evicting at any point prints nothing, records nothing, logs nothing, and leaves nothing to complain about."""
    complaints = []
    hook, sys.unraisablehook = sys.unraisablehook, complaints.append
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            played = Played(body, choices)
            capsys.readouterr()
            for cut in range(1, len(played.player.history) + 1):
                instance = played.player.replayed(cut)
                instance.logs.clear()
                instance.evict()
                assert (instance.outstanding, instance.logs) == ([], [])
                del instance
            played.player.close()
            del played
            gc.collect()
    finally:
        sys.unraisablehook = hook
    assert [str(it.exc_value) for it in complaints] == []
    assert capsys.readouterr() == ("", "")
