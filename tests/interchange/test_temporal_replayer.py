"""Temporal's own Replayer judges what is exported."""

from __future__ import annotations

import copy
import random

import pytest

pytest.importorskip("temporalio")

from replay_corpus import CORPUS
from replay_schedules import Played
from replayer_process import replayed, signal_after_others

from nbflow.core.events import CLOSING_EVENTS, RequestCancelExternalWorkflowExecutionFailed
from nbflow.interchange.temporal_export import temporal_history

SCHEDULES = 5


@pytest.fixture(scope="module")
def played():
    """Histories of every body, each by several schedules, whole ones and some that are cut off."""
    histories = []
    for body in CORPUS:
        for seed in range(SCHEDULES):
            chosen = random.Random(f"{body.name} {seed}")
            # from "what was asked for first comes first, nobody cancels" to anything at any time
            one = Played(body, [chosen.randrange(2 * seed + 1) for _ in range(40)])
            history = one.player.history
            ends = sorted(one.views)
            if seed == 1:  # as if asked for while it was open: up to where it waited, half-way
                history = history[: ends[len(ends) // 2]]
            if not _is_told_otherwise(body.name, history):
                histories.append((body.name, history))
            one.player.close()
    return histories


def _is_told_otherwise(name, history):
    """Say whether Temporal would have gone on in another way: there, a failed request wakes nobody who waits for it."""
    failed = any(type(event) is RequestCancelExternalWorkflowExecutionFailed for event in history)
    return signal_after_others(history) or (failed and name.endswith("wait_cancellation_requested"))


@pytest.fixture(scope="module")
def judged(played):
    exported = [temporal_history(history, "run-1") for _, history in played]
    return list(zip(played, exported, replayed(exported), strict=True))


def test_the_replayer_accepts_the_history_of_every_body(judged):
    """Whatever order the world answered in, Core's state machines find the commands that they expect."""
    assert [(name, answer["error"]) for (name, _), _, answer in judged if answer["error"]] == []


def test_the_replayed_code_ends_with_the_recorded_result(judged):
    """The Replayer compares no values, so they are compared here."""
    wrong = []
    for (name, history), _, answer in judged:
        closing = history[-1]
        if name == "looks_at_its_size":  # a history with workflow tasks is longer, and the code sees it
            continue
        if hasattr(closing, "result") and type(closing) in CLOSING_EVENTS and closing.result.tree != answer["result"]:
            wrong.append((name, closing.result.tree, answer["result"]))
    assert wrong == []


def _events(tree, suffix):
    return [event for event in tree["events"] if event["eventType"].endswith(suffix)]


def _first_activity(tree):
    return _events(tree, "ACTIVITY_TASK_SCHEDULED")[0]["activityTaskScheduledEventAttributes"]


def _other_activity(tree):
    _first_activity(tree)["activityType"]["name"] = "other"


def _other_activity_id(tree):
    _first_activity(tree)["activityId"] = "77"


def _timer_for_activity(tree):
    event = _events(tree, "ACTIVITY_TASK_SCHEDULED")[-1]
    event["eventType"] = "EVENT_TYPE_TIMER_STARTED"
    del event["activityTaskScheduledEventAttributes"]
    event["timerStartedEventAttributes"] = {"timerId": "1", "startToFireTimeout": "1s"}


def _failure_for_completion(tree):
    event = tree["events"][-1]
    event["eventType"] = "EVENT_TYPE_WORKFLOW_EXECUTION_FAILED"
    del event["workflowExecutionCompletedEventAttributes"]
    event["workflowExecutionFailedEventAttributes"] = {"failure": {"message": "x"}}


def _early_end(tree):
    end = tree["events"][-1]
    tree["events"] = [*tree["events"][:4], {**end, "eventId": "5"}]


@pytest.fixture(scope="module")
def damaged(judged):
    whole = next(tree for (name, _), tree, answer in judged if name == "sequential" and answer["result"] is not None)
    damages = [_other_activity, _other_activity_id, _timer_for_activity, _failure_for_completion, _early_end]
    trees = []
    for damage in damages:
        tree = copy.deepcopy(whole)
        damage(tree)
        trees.append(tree)
    answers = [answer["error"] for answer in replayed([whole, *trees])]
    return dict(zip(["whole", *(it.__name__ for it in damages)], answers, strict=True))


@pytest.mark.parametrize(
    "damage", ["_other_activity", "_other_activity_id", "_timer_for_activity", "_failure_for_completion", "_early_end"]
)
def test_the_replayer_refuses_a_history_of_other_code(damaged, damage):
    """Acceptance means something: histories that differ in one command are refused."""
    assert damaged["whole"] is None
    assert damaged[damage] is not None
