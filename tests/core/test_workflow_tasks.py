"""Histories with workflow tasks: which events reached the code together, in which order, and at what time."""

from __future__ import annotations

import asyncio

import pytest

import nbflow
from nbflow.core.definitions import Definition
from nbflow.core.events import (
    ActivityTaskCompleted,
    ActivityTaskScheduled,
    ActivityTaskStarted,
    ExternalWorkflowExecutionCancelRequested,
    ExternalWorkflowExecutionSignaled,
    MarkerRecorded,
    OtherEvent,
    RequestCancelExternalWorkflowExecutionFailed,
    RequestCancelExternalWorkflowExecutionInitiated,
    SignalExternalWorkflowExecutionFailed,
    SignalExternalWorkflowExecutionInitiated,
    TimerFired,
    TimerStarted,
    UpsertWorkflowSearchAttributes,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowExecutionUpdateAccepted,
    WorkflowTaskCompleted,
    WorkflowTaskFailed,
    WorkflowTaskScheduled,
    WorkflowTaskStarted,
    WorkflowTaskTimedOut,
)
from nbflow.core.instance import WorkflowInstance
from nbflow.core.payloads import JsonConverter, Payload
from nbflow.core.replay import replay
from nbflow.core.workflow_tasks import OWN_FLAG, SINGLE_BATCH, commands_of, has_workflow_tasks, task_activations
from nbflow.exceptions import ApplicationError

NOTHING = Payload("[]")
_ARRIVED = ExternalWorkflowExecutionSignaled, ExternalWorkflowExecutionCancelRequested
_FAILED = SignalExternalWorkflowExecutionFailed, RequestCancelExternalWorkflowExecutionFailed


class Told:
    """A history, written one event after the other, a second apart."""

    def __init__(self) -> None:
        self.events = []

    def add(self, cls, **attributes):
        event_id = len(self.events) + 1
        event = cls(event_id=event_id, event_time=event_id * 1_000_000, **attributes)
        self.events.append(event)
        return event

    def start(self, **attributes):
        return self.add(WorkflowExecutionStarted, workflow_type="w", workflow_id="w", input=NOTHING, **attributes)

    def task(self, end=WorkflowTaskCompleted, **attributes):
        scheduled = self.add(WorkflowTaskScheduled)
        started = self.add(WorkflowTaskStarted, scheduled_event_id=scheduled.event_id)
        if end is not None:
            ids = {"scheduled_event_id": scheduled.event_id, "started_event_id": started.event_id}
            self.add(end, **ids, **attributes)

    def signal(self):
        return self.add(WorkflowExecutionSignaled, signal_name="s", input=NOTHING)

    def activity(self):
        attributes = {"activity_id": "1", "activity_type": "work", "input": NOTHING}
        return self.add(ActivityTaskScheduled, **attributes)

    def done(self, scheduled):
        started = self.add(ActivityTaskStarted, scheduled_event_id=scheduled.event_id)
        ids = {"scheduled_event_id": scheduled.event_id, "started_event_id": started.event_id}
        return self.add(ActivityTaskCompleted, **ids, result=Payload("1"))

    def timer(self):
        return self.add(TimerStarted, timer_id="1", start_to_fire_timeout=1.0)

    @property
    def activations(self):
        return [[event.event_id for event in group] for group in task_activations(self.events)]


def test_a_task_takes_what_came_since_the_last_one():
    """Commands come first, the task itself last: it brings the time."""
    told = Told()
    told.start()  # 1
    told.task()  # 2, 3, 4
    scheduled = told.activity()  # 5
    told.done(scheduled)  # 6, 7
    told.task()  # 8, 9, 10
    assert told.activations == [[1, 3], [5, 6, 7, 9]]
    assert has_workflow_tasks(told.events)
    assert not has_workflow_tasks(told.events[:1])


def test_failed_and_timed_out_tasks_leave_their_events_to_the_next():
    """The code saw them once, in the task whose worker answered."""
    told = Told()
    told.start()  # 1
    told.task(WorkflowTaskFailed)  # 2, 3, 4
    told.signal()  # 5
    told.task(WorkflowTaskTimedOut)  # 6, 7, 8
    told.task()  # 9, 10, 11
    assert told.activations == [[1, 5, 10]]


def test_messages_run_before_the_rest_of_their_task():
    """Temporal's SDK runs the code twice, unless its flag says once."""
    for flags, expected in (((), [[5, 8, 10], [6, 7, 10]]), ((SINGLE_BATCH,), [[5, 8, 6, 7, 10]])):
        told = Told()
        told.start()  # 1
        told.task(lang_used_flags=flags)  # 2, 3, 4
        scheduled = told.activity()  # 5
        told.done(scheduled)  # 6, 7
        told.signal()  # 8
        told.task()  # 9, 10, 11
        assert told.activations == [[1, 3], *expected]


def test_accepted_updates_belong_to_the_task_that_accepted_them():
    """Their events stand behind the task's completion, among the commands."""
    told = Told()
    told.start()  # 1
    told.task()  # 2, 3, 4
    told.task()  # 5, 6, 7
    told.add(WorkflowExecutionUpdateAccepted, update_id="u", update_name="u", input=NOTHING)  # 8
    told.timer()  # 9
    assert told.activations == [[1, 3], [8, 6], [9]]


def test_an_update_that_comes_with_the_start_finds_the_codes_handlers():
    """The code runs first, then the update."""
    told = Told()
    told.start()  # 1
    told.task()  # 2, 3, 4
    told.add(WorkflowExecutionUpdateAccepted, update_id="u", update_name="u", input=NOTHING)  # 5
    assert told.activations == [[1, 3], [5, 3]]


def test_what_is_not_for_the_code_is_left_out():
    """Unknown events, and the list that Core makes of a side effect's marker; an end from outside is applied."""
    told = Told()
    told.start()  # 1
    told.task()  # 2, 3, 4
    told.add(MarkerRecorded, marker_name="side_effect", details={"id": Payload('"1"'), "data": Payload("1")})  # 5
    told.add(UpsertWorkflowSearchAttributes, search_attributes={"TemporalChangeVersion": ["x"]})  # 6
    told.add(OtherEvent, event_type="NexusOperationScheduled")  # 7
    told.add(WorkflowExecutionTerminated)  # 8
    assert told.activations == [[1, 3], [5, 8]]
    assert [event.event_id for event in commands_of(told.events)] == [5]


def test_an_open_history_may_end_with_a_task_under_way():
    """The code gets its events; what it asks for is not recorded yet."""
    told = Told()
    told.start()
    told.task(end=None)
    assert told.activations == [[1, 3]]


async def _race():
    handle = nbflow.sleep(1)
    heard = []

    @nbflow.signal
    def s():
        heard.append(nbflow.now().timestamp())

    await handle
    await nbflow.wait_condition(lambda: heard)
    await asyncio.sleep(heard[0])


def test_the_code_sees_the_time_of_the_task():
    """Not of the events: a handler that ran in the task of second 9 says 9."""
    told = Told()
    told.start()  # 1
    told.task(lang_used_flags=(OWN_FLAG, SINGLE_BATCH))  # 2, 3, 4
    timer = told.timer()  # 5
    told.add(TimerFired, timer_id="1", started_event_id=timer.event_id)  # 6
    told.signal()  # 7
    told.task()  # 8, 9, 10
    definition = Definition(kind="workflow", name="w", function=_race, hash="h")
    instance = WorkflowInstance("r", definition, JsonConverter())
    (command,) = replay(instance, told.events)
    assert command.start_to_fire_timeout == 9
    instance.evict()


async def _asks_others():
    order = []

    async def tell(what, awaitable):
        try:
            await awaitable
        except ApplicationError:
            what += " in vain"
        order.append(what)

    other = nbflow.get_handle("other")
    waiting = [tell("slept", nbflow.sleep(1)), tell("told", other.signal("s")), tell("cancelled", other.cancel())]
    await asyncio.gather(*waiting)
    return order


@pytest.mark.parametrize("is_there", [True, False])
def test_an_answer_takes_as_many_turns_as_in_temporals_sdk(is_there):
    """A signal's as many as a timer, a cancellation's one fewer, whether or not the other execution was there."""
    told = Told()
    told.start()
    told.task(lang_used_flags=(SINGLE_BATCH,))
    timer = told.timer()
    to = {"workflow_id": "other"}
    signal = told.add(SignalExternalWorkflowExecutionInitiated, signal_name="s", input=NOTHING, **to)
    cancel = told.add(RequestCancelExternalWorkflowExecutionInitiated, **to)
    answers = _ARRIVED if is_there else _FAILED
    told.add(TimerFired, timer_id="1", started_event_id=timer.event_id)
    told.add(answers[0], initiated_event_id=signal.event_id, **to)
    told.add(answers[1], initiated_event_id=cancel.event_id, **to)
    told.task(end=None)
    instance = WorkflowInstance(
        "r", Definition(kind="workflow", name="w", function=_asks_others, hash="h"), JsonConverter()
    )
    (command,) = replay(instance, told.events)
    in_vain = "" if is_there else " in vain"
    assert command.result.tree == [f"cancelled{in_vain}", "slept", f"told{in_vain}"]
    instance.evict()
