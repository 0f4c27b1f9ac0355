"""One execution's code, where several things meet: what the laws of the corpus do not reach."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from replay_corpus import broken, double, flaky
from replay_player import START, Player

import nbflow
from nbflow.core.events import (
    ActivityTaskCompleted,
    ActivityTaskStarted,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
)
from nbflow.core.payloads import JsonConverter
from nbflow.core.replay import activations, replay
from nbflow.exceptions import MissingDefinitionError, NondeterminismError, PayloadError


def completed(player: Player, which: int, result) -> list:
    """The pair of events that completes a pending activity, to be delivered with others."""
    scheduled, at = player.pending(which), len(player.history) + 1
    return [
        (ActivityTaskStarted, {"scheduled_event_id": scheduled.event_id, "attempt": 1}),
        (
            ActivityTaskCompleted,
            {"scheduled_event_id": scheduled.event_id, "started_event_id": at, "result": player.encode(result)},
        ),
    ]


# Batches: several events in one activation, as a history recorded by Temporal has them.


async def goes_on():
    first = await double(1)
    return first, await double(2)


def test_completion_and_cancellation_in_one_activation():
    """The code takes the result first and is cancelled at its next wait, or the other way round, by their order."""
    cancel = (WorkflowExecutionCancelRequested, {})
    player = Player(goes_on).start()
    player.deliver(*completed(player, 0, 2), cancel)
    assert player.types[4:] == ["CancelRequested", "Canceled"]
    player.close()
    player = Player(goes_on).start()
    cancelled = completed(player, 0, 2)
    cancelled[1][1]["started_event_id"] = 4
    player.deliver(cancel, *cancelled)
    assert player.types[2:] == ["CancelRequested", "ActivityTaskStarted", "ActivityTaskCompleted", "Canceled"]
    player.close()


def test_a_batch_is_one_activation():
    """All events are applied, then the code runs: both results are there when it looks."""

    async def flow():
        first, second = double(1), double(2)
        done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
        return len(done)

    player = Player(flow).start()
    pair = completed(player, 1, 4)
    pair[1][1]["started_event_id"] = 6
    player.deliver(*completed(player, 0, 2), *pair)
    assert player.result == 2
    player.close()


def test_a_workflow_cancelled_before_its_first_line_still_begins():
    """Its cleanup code runs."""

    async def flow():
        try:
            await nbflow.sleep(60)
        finally:
            await double(1)

    player = Player(flow)
    started = {"workflow_type": "flow", "workflow_id": "wf", "input": player.encode([])}
    player.deliver((WorkflowExecutionStarted, started), (WorkflowExecutionCancelRequested, {}))
    assert player.types == ["Started", "CancelRequested", "ActivityTaskScheduled"]
    assert player.complete(0).types[-1] == "Canceled"
    player.close()


def test_what_comes_during_a_start_delay_begins_the_execution():
    """Both are one activation, in replay too; what comes later finds the code begun."""
    player = Player(goes_on).start(first_workflow_task_backoff=60.0)
    started, scheduled = player.history
    early = dataclasses.replace(scheduled, event_time=START + 5)
    late = dataclasses.replace(scheduled, event_time=started.event_time + 60_000_000)
    assert [len(group) for group in activations([started, early])] == [2]
    assert [len(group) for group in activations([started, late])] == [1, 1]
    player.close()


def test_terminating_during_a_start_delay_runs_no_line():
    """The start and the end are one activation, and the end wins."""
    ran = []

    async def flow():
        ran.append(1)

    player = Player(flow)
    started = {"workflow_type": "flow", "workflow_id": "wf", "input": player.encode([])}
    player.deliver((WorkflowExecutionStarted, started), (WorkflowExecutionTerminated, {}))
    assert (player.types, ran) == (["Started", "Terminated"], [])
    player.close()


def test_the_time_at_the_first_line_is_the_end_of_the_delay():
    """now() never runs backwards from there."""

    async def flow():
        return nbflow.now().timestamp()

    player = Player(flow).start(first_workflow_task_backoff=60.0)
    assert player.result == pytest.approx(player.history[0].event_time / 1e6 + 60)
    player.close()


# Values that can't be encoded or decoded.


class Picky(JsonConverter):
    """Can't encode "unfit"; can't decode "sealed" until it is trusted."""

    trusted = False

    def encode(self, value):
        if "unfit" in str(value):
            raise PayloadError("unfit can't be encoded")
        return super().encode(value)

    def decode(self, payload):
        if "sealed" in payload.text and not self.trusted:
            raise PayloadError("sealed can't be decoded")
        return super().decode(payload)


async def passes_on(value):
    try:
        await double(value)
    except PayloadError:
        await double(1)
    return value


def test_an_argument_that_can_not_be_encoded_is_raised_at_the_call():
    """The code may handle it; replay comes to the same ids."""
    player = Player(passes_on, converter=Picky())
    player.args = ("fit",)
    player.start()
    player.definition = dataclasses.replace(player.definition, function=_passes_unfit)
    unfit = Player(_passes_unfit, converter=Picky()).start()
    assert [event.activity_id for event in unfit.history[1:]] == ["2"]
    unfit.complete(0, 2)
    again = unfit.fresh()
    assert replay(again, unfit.history) == []
    for it in (again, unfit, player):
        it.evict() if hasattr(it, "evict") else it.close()


async def _passes_unfit():
    return await passes_on("unfit") and None


def test_a_result_that_can_not_be_encoded_fails_the_execution():
    """The failure names the value."""

    async def flow():
        return "unfit"

    player = Player(flow, converter=Picky()).start()
    assert player.failure.headline() == "PayloadError: unfit can't be encoded"
    player.close()


def test_a_stored_value_that_can_not_be_decoded_here_is_not_the_codes_failure():
    """Input, result or signal: replay raises the reason, and goes well once the value can be decoded."""

    async def flow(value):
        return [value, await double(1), await nbflow.wait_for_signal("go")]

    for place in range(3):
        values = ["sealed" if place == at else "plain" for at in range(3)]
        converter = Picky()
        converter.trusted = True
        player = Player(flow, values[0], converter=converter).start().complete(0, values[1]).signal("go", values[2])
        assert player.result == values
        converter.trusted = False
        with pytest.raises(PayloadError, match="sealed can't be decoded"):
            replay(player.fresh(), player.history)
        converter.trusted = True
        again = player.fresh()
        assert replay(again, player.history) == []
        again.evict()
        player.close()


def test_details_of_a_failure_that_can_not_be_decoded_do_not_stop_the_code():
    """A failure is told with what is readable of it."""

    async def flow():
        try:
            await broken("sealed")
        except nbflow.ApplicationError:
            raise
        except Exception as error:
            return error.__cause__.details

    converter = Picky()
    converter.trusted = True
    player = Player(flow, converter=converter).start()
    converter.trusted = False
    player.fail(0, nbflow.ApplicationError("no", "sealed"))
    converter.trusted = True
    assert player.result == ["<sealed can't be decoded>"]
    player.close()


# Parts that are missing.


def test_code_that_lacks_a_part_is_not_failed():
    """The execution stays open until its definition is whole."""

    async def flow():
        await double(1)
        raise MissingDefinitionError("run the cells")

    player = Player(flow).start()
    with pytest.raises(MissingDefinitionError, match="run the cells"):
        player.complete(0)
    assert player.instance.outstanding == []
    player.close()


# Handles.


def test_a_handle_that_is_done_can_not_be_cancelled():
    """As any future."""

    async def flow():
        handle = double(1)
        await handle
        return handle.cancel(), handle.done(), handle.result(), handle.activity_type, handle.activity_id

    player = Player(flow).start().run()
    assert player.result == [False, True, 2, "double", "1"]
    player.close()


def test_cancelling_a_handle_twice_asks_once():
    """TRY_CANCEL wakes at once; a second cancel finds it done."""

    async def flow():
        handle = flaky(1)
        await nbflow.sleep(1)
        return handle.cancel(), handle.cancel(), handle.cancelled()

    player = Player(flow).start().fire()
    assert player.types.count("ActivityTaskCancelRequested") == 1
    assert player.result == [True, False, True]
    player.close()


def test_an_outcome_after_the_cancellation_is_taken_down_and_dropped():
    """TRY_CANCEL went on; whatever the activity does then is history only."""

    async def flow():
        handle = flaky(1)
        await nbflow.sleep(1)
        handle.cancel()
        await nbflow.sleep(1)
        return handle.cancelled()

    for end in ("complete", "fail", "let_cancel", "time_out"):
        player = Player(flow).start().fire()
        player.fail(0, ValueError("late")) if end == "fail" else getattr(player, end)(0)
        assert player.fire().result is True
        again = player.fresh()
        assert replay(again, player.history) == []
        again.evict()
        player.close()


def test_a_result_asked_for_too_early_in_async_def_is_an_error():
    """As asyncio has it: await the handle instead."""

    async def flow():
        return double(1).result()

    player = Player(flow).start()
    assert player.failure.type_name == "InvalidStateError"
    player.close()


def test_two_tasks_may_wait_for_one_handle():
    """Both get the result."""

    async def flow():
        handle = double(1)

        async def wait():
            return await handle

        return await asyncio.gather(wait(), wait(), handle)

    player = Player(flow).start().run()
    assert player.result == [2, 2, 2]
    player.close()


def test_thousands_of_handles_cancelled_where_they_were_made():
    """Taking back what was just asked for does not search through all of it each time."""

    async def flow():
        handles = [double(i) for i in range(5000)]
        for handle in handles[1:]:
            handle.cancel()
        return await handles[0]

    player = Player(flow).start()
    assert player.types == ["Started", "ActivityTaskScheduled"]
    player.close()


# Misuse.


def test_the_wrong_arguments_fail_the_execution():
    """A signature that changed is told as Python tells it."""

    async def flow(a, b):
        return a + b

    player = Player(flow, 1).start()
    assert player.failure.type_name == "TypeError"
    player.close()


def test_a_second_start_is_a_contradiction():
    """Two beginnings are not one history."""
    player = Player(goes_on).start()
    with pytest.raises(Exception, match="is Running and can't take a WorkflowExecutionStarted"):
        player.instance.activate([dataclasses.replace(player.history[0], event_id=3)])
    player.close()


def test_confirming_what_nobody_asked_for_is_told():
    """A recorded command needs a command."""
    player = Player(goes_on).start()
    with pytest.raises(NondeterminismError, match="the code asked for nothing"):
        player.instance.confirm(dataclasses.replace(player.history[1], event_id=3))
    player.close()


def test_an_execution_knows_itself():
    """Ids, type, time, memo and attributes as they were given at the start."""

    async def flow():
        info = nbflow.info()
        return [info.workflow_id, info.run_id, info.workflow_type, info.attempt, info.memo, info.search_attributes]

    converter = JsonConverter()
    player = Player(flow).start(memo=converter.encode({"who": "me"}), search_attributes={"team": "x"}, attempt=2)
    assert player.result == ["wf-1", "run-1", "flow", 2, {"who": "me"}, {"team": "x"}]
    player.close()
