"""Time travel shows, at each event of every workflow of the corpus, what was live there."""

from __future__ import annotations

import ast
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay_corpus import CORPUS
from replay_schedules import Played

from nbflow.core.frames import user_frames
from nbflow.core.time_travel import ask_past, moments

schedules = st.lists(st.integers(0, 11), max_size=40)
EACH_BODY = pytest.mark.parametrize("body", CORPUS, ids=lambda body: body.name)
LAW = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def plain(values):
    """Keep the values that look the same in every process."""
    shown = {name: repr(value) for name, value in values.items() if isinstance(value, (int, str, float, list, dict))}
    return {name: text for name, text in shown.items() if " at 0x" not in text and "<" not in text}


class Watched(Played):
    """Takes down where the live code stands after each activation, with its local variables."""

    def __init__(self, body, choices):
        self.stacks = {}
        super().__init__(body, choices)

    def look(self):
        """Take down the frames of every task."""
        super().look()
        found = [
            [(frame.f_code.co_name, frame.f_lineno, plain(dict(frame.f_locals))) for frame in frames]
            for task in self.player.instance.loop.tasks
            if (frames := user_frames(task))
        ]
        self.stacks[len(self.player.history)] = found


def look(played, stops):
    """Travel to some events of a history."""
    player = played.player
    return moments(player.run_id, player.definition, player.converter, player.history, stops)


@EACH_BODY
@LAW
@given(choices=schedules)
def test_lines_and_variables_are_those_of_the_live_execution(body, choices):
    """Of each task, frame by frame, after each activation; and every event can be travelled to."""
    played = Watched(body, choices)
    seen = look(played, range(1, len(played.player.history) + 1))
    assert list(seen) == list(range(1, len(played.player.history) + 1))
    for event_id, live in played.stacks.items():
        found = [
            [(it.function, it.place.line, plain(it.locals)) for it in frames]
            for frames in seen[event_id].tasks.values()
        ]
        assert found == live, f"at event {event_id}"
    played.player.close()


@EACH_BODY
@LAW
@given(choices=schedules)
def test_one_pass_shows_what_a_journey_to_each_event_shows(body, choices):
    """So going through a history with a slider shows no other things than looking at one event."""
    played = Played(body, choices)
    together = look(played, range(1, len(played.player.history) + 1))
    for event_id, moment in together.items():
        alone = look(played, [event_id])[event_id]
        assert (alone.status, alone.pending, alone.command_count) == (
            moment.status,
            moment.pending,
            moment.command_count,
        )
        assert [it.command for it in alone.commands] == [it.command for it in moment.commands[: moment.command_count]]
        assert {name: frames[-1].place for name, frames in alone.tasks.items()} == {
            name: frames[-1].place for name, frames in moment.tasks.items()
        }
    played.player.close()


@pytest.mark.parametrize("body", [body for body in CORPUS if body.has_query], ids=lambda body: body.name)
@LAW
@given(choices=schedules)
def test_a_query_about_the_past_gives_the_answer_of_then(body, choices):
    """After each activation, the answer of the replay is that of the live execution."""
    played = Played(body, choices)
    player = played.player
    for length, (snapshot, answer) in played.views.items():
        if not snapshot["closed"]:
            past = ask_past(player.run_id, player.definition, player.converter, player.history, length, ("state", ()))
            # it has gone through JSON
            assert past == json.loads(json.dumps(ast.literal_eval(answer))), f"at event {length}"
    player.close()
