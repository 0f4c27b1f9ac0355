"""Child workflows on the engine: what their parents record, and how they end, are cancelled and outlive them."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.client import WorkflowHandle
from nbflow.engine.engine import EngineOptions
from nbflow.exceptions import (
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    WorkflowFailedError,
)
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, events_of, wait_until

INITIATED, CHILD = "StartChildWorkflowExecutionInitiated", "ChildWorkflowExecution"


@pytest.fixture(params=[1000, 0], ids=["in memory", "evicted"])
def engine(request: pytest.FixtureRequest) -> Any:
    """Run with every waiting execution in memory, or none."""
    options = EngineOptions(resident_executions=request.param, look_ahead=100 * 365 * 86400.0)
    with WorkflowEnvironment(options=options) as environment:
        yield environment


def rows(query: str) -> list[tuple[Any, ...]]:
    """Run SQL."""
    return [tuple(row) for row in nbflow.sql(query).itertuples(index=False)]


@activity
def child_step(x: int) -> int:
    """Double."""
    return 2 * x


@workflow
def stepping_child(x: int) -> int:
    """One step."""
    return child_step(x)


@workflow
def waiting_child() -> Any:
    """Wait for a signal."""
    return nbflow.wait_for_signal("go")


@workflow
async def cleaning_child() -> None:
    """Clean up when cancelled."""
    try:
        await nbflow.sleep("100 days")
    finally:
        await child_step(1)


@workflow
def failing_child(x: int) -> None:
    """Fail, the way an activity's programming error does."""
    msg = f"child {x} fails"
    raise ConnectionError(msg)


@pytest.mark.usefixtures("engine")
def test_a_child_that_completes() -> None:
    """Initiated, started, completed; the child knows its parent and the root."""

    @workflow
    def calling_parent() -> Any:
        return stepping_child(4)

    handle = calling_parent.start()

    assert handle.result(timeout=10) == 8
    assert event_types(handle) == ["Started", INITIATED, f"{CHILD}Started", f"{CHILD}Completed", "Completed"]
    (child,) = events_of(handle, f"{CHILD}Started")
    started = nbflow.get(child.workflow_id).history()[0]
    assert (started.parent_workflow_id, started.parent_run_id) == (handle.workflow_id, handle.run_id)
    assert (started.root_run_id, started.parent_initiated_event_id) == (handle.run_id, 2)
    assert child.workflow_id.startswith(f"{handle.workflow_id}/stepping_child-1-")


@pytest.mark.usefixtures("engine")
def test_a_child_that_fails() -> None:
    """ChildWorkflowError caused by the child's failure; unhandled, it is the parent's."""

    @workflow
    async def parent_of_failing() -> None:
        await failing_child(3)

    @workflow
    def grandparent_of_failing() -> Any:
        parent_of_failing()

    handle = grandparent_of_failing.start()
    with pytest.raises(WorkflowFailedError) as caught:
        handle.result(timeout=10)

    outer = caught.value.__cause__
    assert isinstance(outer, ChildWorkflowError)
    assert (outer.workflow_type, outer.retry_state) == ("parent_of_failing", "RETRY_POLICY_NOT_SET")
    inner = outer.__cause__
    assert isinstance(inner, ChildWorkflowError)
    assert isinstance(inner.__cause__, ApplicationError)
    assert (inner.__cause__.type, inner.__cause__.message) == ("ConnectionError", "child 3 fails")
    assert event_types(handle) == ["Started", INITIATED, f"{CHILD}Started", f"{CHILD}Failed", "Failed"]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("how", "event"), [("terminate", "Terminated"), ("cancel", "Canceled")])
def test_a_child_that_is_ended_from_outside(how: str, event: str) -> None:
    """Its parent did not ask for it, so it fails: caused by TerminatedError or CancelledError."""

    @workflow
    def parent_of_ended() -> str:
        try:
            waiting_child.options(id="ended")()
        except ChildWorkflowError as error:
            return type(error.__cause__).__name__
        return ""

    handle = parent_of_ended.start()
    wait_until(lambda: f"{CHILD}Started" in event_types(handle))
    getattr(nbflow.get("ended"), how)()

    assert handle.result(timeout=10) == {"Terminated": "TerminatedError", "Canceled": "CancelledError"}[event]
    assert event_types(handle)[2:] == [f"{CHILD}Started", f"{CHILD}{event}", "Completed"]


@pytest.mark.usefixtures("engine")
def test_a_child_whose_time_is_up() -> None:
    """ChildWorkflowError caused by TimeoutError."""

    @workflow
    def parent_of_late() -> Any:
        try:
            waiting_child.options(run_timeout="1 h")()
        except ChildWorkflowError as error:
            return type(error.__cause__).__name__

    handle = parent_of_late.start()
    assert handle.result(timeout=10) == "TimeoutError"
    assert f"{CHILD}TimedOut" in event_types(handle)


@pytest.mark.usefixtures("engine")
def test_an_id_that_is_taken() -> None:
    """The error is that of a start from outside, and the execution that has the id is not touched."""
    other = waiting_child.options(id="taken").start()

    @workflow
    async def parent_of_taken() -> str:
        child = waiting_child.options(id="taken").start()
        try:
            await child.started()
        except WorkflowAlreadyStartedError as error:
            return error.workflow_id
        return ""

    handle = parent_of_taken.start()
    assert handle.result(timeout=10) == "taken"
    assert event_types(handle) == ["Started", INITIATED, "StartChildWorkflowExecutionFailed", "Completed"]
    assert other.status == "Running"


@pytest.mark.usefixtures("env")
def test_an_id_may_be_used_again_after_the_end() -> None:
    """By default a closed execution does not stand in the way; ``id_reuse`` may say otherwise."""

    @workflow
    def reusing_parent(reuse: str) -> list[Any]:
        child = stepping_child.options(id="again", id_reuse=reuse)
        return [child(1), child(2)]

    assert reusing_parent("allow") == [2, 4]
    for reuse in ("reject", "failed_only"):
        with pytest.raises(WorkflowFailedError, match="WorkflowAlreadyStartedError"):
            reusing_parent(reuse)


@pytest.mark.usefixtures("engine")
def test_signals_to_children_and_others() -> None:
    """They arrive once, with who sent them; who is not there is told."""

    @workflow
    async def signalling_parent() -> Any:
        child = waiting_child.start()
        await child.signal("go", {"page": 1})
        missing = ""
        try:
            await nbflow.get_handle("nobody").signal("go")
        except ApplicationError as error:
            missing = str(error.type)
        return await child, missing

    handle = signalling_parent.start()
    assert handle.result(timeout=10) == ({"page": 1}, "ExternalWorkflowExecutionNotFound")
    assert event_types(handle).count("ExternalWorkflowExecutionSignaled") == 1
    assert "SignalExternalWorkflowExecutionFailed" in event_types(handle)
    child = nbflow.get(events_of(handle, f"{CHILD}Started")[0].workflow_id)
    (signal,) = events_of(child, "WorkflowExecutionSignaled")
    assert (signal.external_workflow_id, signal.external_run_id) == (handle.workflow_id, handle.run_id)
    assert signal.external_initiated_event_id == 3


@pytest.mark.usefixtures("engine")
def test_a_signal_to_itself() -> None:
    """It arrives like any other one."""

    @workflow
    def talking_to_itself() -> Any:
        nbflow.get_handle(nbflow.info().workflow_id).signal("go", 5)
        return nbflow.wait_for_signal("go")

    handle = talking_to_itself.start()
    assert handle.result(timeout=10) == 5
    assert event_types(handle)[1:] == [
        "SignalExternalWorkflowExecutionInitiated", "Signaled", "ExternalWorkflowExecutionSignaled", "Completed",
    ]  # fmt: skip


@pytest.mark.usefixtures("engine")
def test_a_signal_in_the_last_moment() -> None:
    """An execution that does not wait for the delivery may close at once; the signal arrives all the same."""
    other = waiting_child.options(id="told at last").start()

    @workflow
    async def leaving() -> None:
        nbflow.get_handle("told at last").signal("go", "bye")

    handle = leaving.start()
    handle.result(timeout=10)
    assert other.result(timeout=10) == "bye"
    assert event_types(handle) == ["Started", "SignalExternalWorkflowExecutionInitiated", "Completed"]
    assert [row[0] for row in rows("SELECT kind FROM notes")] == ["RequestSettled"]


@pytest.mark.usefixtures("engine")
def test_cancelling_another_execution() -> None:
    """Asked from workflow code, it may clean up; one that has closed is not a mistake, one that is not there is."""
    other = cleaning_child.options(id="cancelled by another").start()

    @workflow
    def cancelling_others() -> str:
        target = nbflow.get_handle("cancelled by another")
        target.cancel("enough")
        nbflow.sleep("1 day")
        target.cancel()
        try:
            nbflow.get_handle("nobody").cancel()
        except ApplicationError as error:
            return str(error.type)
        return ""

    handle = cancelling_others.start()
    assert handle.result(timeout=10) == "ExternalWorkflowExecutionNotFound"
    assert other.status == "Canceled"
    (asked,) = events_of(other, "WorkflowExecutionCancelRequested")
    assert (asked.cause, asked.external_run_id) == ("enough", handle.run_id)


CANCELLATIONS = {
    "TRY_CANCEL": ["RequestCancelExternalWorkflowExecutionInitiated", "Completed"],
    "ABANDON": ["Completed"],
    "WAIT_CANCELLATION_REQUESTED": [
        "RequestCancelExternalWorkflowExecutionInitiated", "ExternalWorkflowExecutionCancelRequested", "Completed",
    ],
    "WAIT_CANCELLATION_COMPLETED": [
        "RequestCancelExternalWorkflowExecutionInitiated", "ExternalWorkflowExecutionCancelRequested",
        f"{CHILD}Canceled", "Completed",
    ],
}  # fmt: skip


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("kind", list(CANCELLATIONS))
def test_cancelling_a_child(kind: str) -> None:
    """``asyncio.timeout`` around a child gives TimeoutError, as soon as its cancellation type says."""

    @workflow
    async def timing_parent() -> str:
        child = cleaning_child.options(cancellation_type=kind, parent_close_policy="ABANDON", id=f"slow {kind}")
        try:
            async with asyncio.timeout(60):
                await child()
        except TimeoutError:
            return "late"
        return ""

    handle = timing_parent.start()
    assert handle.result(timeout=10) == "late"
    assert event_types(handle)[4:] == ["TimerFired", *CANCELLATIONS[kind]]
    child = nbflow.get(f"slow {kind}")
    if kind == "ABANDON":
        assert child.status == "Running"
    else:
        with pytest.raises(WorkflowFailedError, match="Canceled"):
            child.result(timeout=10)


@pytest.mark.usefixtures("engine")
def test_cancelling_a_parent_cancels_its_child() -> None:
    """The parent ends Canceled when its child has."""

    @workflow
    def cancelled_parent() -> None:
        cleaning_child()

    handle = cancelled_parent.start()
    wait_until(lambda: f"{CHILD}Started" in event_types(handle))
    handle.cancel()
    with pytest.raises(WorkflowFailedError, match="Canceled"):
        handle.result(timeout=10)
    assert event_types(handle)[-2:] == [f"{CHILD}Canceled", "Canceled"]
    assert rows("SELECT status FROM children") == [("Canceled",)]


def close_by(how: str) -> WorkflowHandle:
    """Close a parent of three children, one for each policy."""

    @workflow(name=f"closing_by_{how}", run_timeout="1 h")
    def closing(again: bool) -> None:
        if again:
            return
        for policy in ("TERMINATE", "ABANDON", "REQUEST_CANCEL"):
            child = waiting_child.options(id=f"{policy} {how}", parent_close_policy=policy).start()
            nbflow.wait_condition(lambda child=child: child.run_id is not None)
        if how == "fail":
            msg = "no"
            raise ConnectionError(msg)
        if how == "continue":
            nbflow.continue_as_new(True)
        if how != "complete":
            nbflow.wait_for_signal("never")

    handle = closing.start(False)
    if how in ("terminate", "cancel"):
        wait_until(lambda: event_types(handle).count(f"{CHILD}Started") == 3)
        getattr(handle, how)()
    return handle


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("how", ["complete", "fail", "continue", "terminate", "cancel", "time out"])
def test_a_parent_that_closes(how: str) -> None:
    """However it closes, its children are ended, left alone, or asked to cancel."""
    handle = close_by(how)
    with nullcontext() if how in ("complete", "continue") else pytest.raises(WorkflowFailedError):
        handle.result(timeout=10)
    ended = {policy: nbflow.get(f"{policy} {how}") for policy in ("TERMINATE", "ABANDON", "REQUEST_CANCEL")}
    assert {policy: it.status for policy, it in ended.items()} == {
        "TERMINATE": "Terminated",
        "ABANDON": "Running",
        "REQUEST_CANCEL": "Canceled",
    }
    assert ended["TERMINATE"].history()[-1].reason == "by parent close policy"
    (asked,) = events_of(ended["REQUEST_CANCEL"], "WorkflowExecutionCancelRequested")
    assert (asked.cause, asked.external_run_id) == ("by parent close policy", handle.run_id)


@pytest.mark.usefixtures("engine")
def test_a_child_that_is_only_sent_off() -> None:
    """A parent that starts a child and returns: abandoned it runs, otherwise it never was."""

    @workflow
    async def sending_off() -> None:
        stepping_child.options(id="sent off", parent_close_policy="ABANDON").start(3)
        stepping_child.options(id="never sent").start(3)

    handle = sending_off.start()
    handle.result(timeout=10)
    assert event_types(handle) == ["Started", INITIATED, INITIATED, "Completed"]
    assert nbflow.get("sent off").result(timeout=10) == 6
    assert rows("SELECT child_workflow_id, status FROM children ORDER BY 1") == [
        ("never sent", "Initiated"),
        ("sent off", "Completed"),
    ]


@pytest.mark.usefixtures("engine")
def test_a_deep_tree() -> None:
    """Children have children; each waits for its own."""

    @workflow
    def deepening(depth: int) -> int:
        return 1 + deepening(depth - 1) if depth else 0

    assert deepening(12) == 12
    counted = "SELECT count(DISTINCT attributes ->> 'root_run_id'), count(*) FROM events WHERE event_id = 1"
    assert rows(counted) == [(1, 13)]


@pytest.mark.usefixtures("engine")
def test_a_hundred_children_at_once() -> None:
    """Results in order; a failure in place of a result where that is asked for."""

    @workflow
    async def odd_child(x: int) -> int:
        if x % 10 == 9:
            msg = f"{x}"
            raise ConnectionError(msg)
        return await child_step(x)

    @workflow
    async def mapping_parent() -> list[Any]:
        found = await odd_child.map(range(100), return_exceptions=True)
        return [x if isinstance(x, int) else str(x.__cause__) for x in found]

    expected = [f"ConnectionError: {x}" if x % 10 == 9 else 2 * x for x in range(100)]
    assert mapping_parent.start().result(timeout=20) == expected


def test_a_retried_child(env: WorkflowEnvironment) -> None:
    """The parent waits for the last run; it knows the first."""

    @workflow
    def stumbling_child() -> Any:
        info = nbflow.info()
        if info.attempt < 3:
            msg = f"attempt {info.attempt}"
            raise ConnectionError(msg)
        return info.parent.workflow_id, str(info.last_failure)

    @workflow
    def patient_parent() -> Any:
        return stumbling_child.options(id="stumbling", retry=RetryPolicy(initial_interval="1 h"))()

    handle = patient_parent.start()
    assert handle.result(timeout=10) == (handle.workflow_id, "ConnectionError: attempt 2")
    assert event_types(handle) == ["Started", INITIATED, f"{CHILD}Started", f"{CHILD}Completed", "Completed"]
    (told,) = events_of(handle, f"{CHILD}Completed")
    assert told.run_id == nbflow.get("stumbling").run_id != events_of(handle, f"{CHILD}Started")[0].run_id
    assert rows("SELECT attempt, status FROM executions WHERE workflow_id = 'stumbling' ORDER BY 1") == [
        (1, "Failed"),
        (2, "Failed"),
        (3, "Completed"),
    ]
