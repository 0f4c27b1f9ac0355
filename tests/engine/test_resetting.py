"""Reset, rewind and fork: new runs that share the first events of an old one, and replay as any other."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.client import WorkflowHandle
from nbflow.exceptions import (
    ClientError,
    EngineClosedError,
    NondeterminismError,
    StoreError,
    WorkflowAlreadyStartedError,
    WorkflowFailedError,
    WorkflowSuspendedError,
)
from nbflow.store import Batch, EventStore
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, events_of, wait_until
from tests.engine.test_pausing import replays

ran: list[int] = []
down: set[int] = set()


@pytest.fixture(autouse=True)
def all_is_up() -> Iterator[None]:
    """Forget what ran; let nothing be down."""
    ran.clear(), down.clear()
    yield
    down.clear()


@activity(retry=1)
def resettable(x: int) -> int:
    """Add one, unless it is down."""
    ran.append(x)
    if x in down:
        raise ConnectionError(x)
    return x + 1


@workflow
def chained() -> object:
    """Do three things, with a message, a sleep and chance in between."""
    first = resettable(1), nbflow.random().random()
    word = nbflow.wait_for_signal("word")
    nbflow.sleep("1 hour")
    return first, word, resettable(2), nbflow.random().random(), nbflow.now().isoformat()


@workflow
async def fanned() -> list[int]:
    """Do five things at once and one more; fail if some did."""
    found = await asyncio.gather(*(resettable(i) for i in range(5)), return_exceptions=True)
    if any(isinstance(value, BaseException) for value in found):
        raise ValueError("some failed")
    return [*found, await resettable(100)]  # type: ignore[list-item]


def finished(**options: Any) -> WorkflowHandle:
    """Run the chain to its end."""
    handle: WorkflowHandle = chained.options(**options).start()
    handle.signal("word", "hello")
    handle.result(timeout=10)
    ran.clear()
    return handle


def test_a_closed_execution_is_run_again_from_an_event(env: WorkflowEnvironment) -> None:
    """What is shared is not done again; the old run stays as it is; SQL tells where the new one comes from."""
    old = finished(id="reset-1")
    point = events_of(old, "TimerFired")[0].event_id
    new = old.reset(point, reason="look again")
    before, after = old.result(), new.result(timeout=10)
    assert after[:3] == before[:3]
    assert (new.workflow_id, ran) == ("reset-1", [2])
    assert old.status == "Completed"
    assert [event.event_time for event in new.history()[1:point]] == [
        event.event_time for event in old.history()[1:point]
    ]
    told = nbflow.sql("SELECT reset_run_id, reset_event_id FROM executions WHERE run_id = $run", run=new.run_id)
    assert told.values.tolist() == [[old.run_id, point]]
    assert nbflow.get("reset-1").run_id == new.run_id
    assert replays(new, env)


def test_chance_is_another_one_behind_the_point(env: WorkflowEnvironment) -> None:
    """Random numbers before it are those of the old run, those behind it are new, in a reset of a reset too."""
    runs = [finished()]
    for _ in range(3):
        point = events_of(runs[-1], "TimerFired")[0].event_id
        runs.append(runs[-1].reset(point))
        runs[-1].result(timeout=10)
    results = [run.result() for run in runs]
    assert len({result[0][1] for result in results}) == 1
    assert len({result[3] for result in results}) == 4
    assert all(replays(run, env) for run in runs)
    first = runs[-1].reset("first")
    first.signal("word", 1)
    assert first.result(timeout=10)[0][1] != results[0][0][1]


def test_an_open_execution_is_terminated_by_its_reset(env: WorkflowEnvironment) -> None:
    """Who waits for it is told that it goes on as another run; later signals are sent to that."""
    old = chained.options(id="reset-2").start()
    wait_until(lambda: event_types(old)[-1] == "ActivityTaskCompleted")
    old.signal("word", "hello")
    point = events_of(old, "ActivityTaskCompleted")[0].event_id
    new = old.reset(point, reason="odd")
    with pytest.raises(WorkflowFailedError, match=f"odd; reset: goes on as run {new.run_id}"):
        old.result(timeout=10)
    assert new.result(timeout=10)[1] == "hello"
    assert event_types(new)[point] == "Signaled"
    assert ran.count(1) == 1


def test_signals_are_sent_again_unless_they_shall_not(env: WorkflowEnvironment) -> None:
    """With reapply="none" the new run waits for a new one."""
    old = finished()
    new = old.reset("first", reapply="none")
    wait_until(lambda: event_types(new)[-1] == "ActivityTaskCompleted")
    new.signal("word", "another")
    assert new.result(timeout=10)[1] == "another"
    assert old.reset("first").result(timeout=10)[1] == "hello"


def test_what_was_under_way_is_scheduled_anew(tmp_path: Path) -> None:
    """An activity pending at the point runs again, with attempt 1; a timer that was due fires; over a restart too."""
    with WorkflowEnvironment(tmp_path / "a.duckdb") as env:
        old = finished(id="reset-3")
        scheduled = [event.event_id for event in events_of(old, "ActivityTaskScheduled")]
        new = old.reset(scheduled[1])
        new.result(timeout=10)
        assert ran == [2]
        began = env.now()
        again = old.reset(events_of(old, "TimerStarted")[0].event_id)
        wait_until(lambda: again.status == "Completed")
        assert (env.now() - began).total_seconds() < 3600
        down.add(2)
        failed = old.reset(scheduled[1])
        with pytest.raises(WorkflowFailedError):
            failed.result(timeout=10)
        run_id = failed.run_id
    with WorkflowEnvironment(tmp_path / "a.duckdb") as env:
        down.clear()
        assert nbflow.get("reset-3").run_id == run_id
        new = nbflow.get("reset-3").reset("last_failure")
        assert new.result(timeout=10)[2] == 3
        assert replays(new, env)


def test_an_open_new_run_outlives_a_restart(tmp_path: Path) -> None:
    """Rebuilt from its own history, with the code it began with."""
    with WorkflowEnvironment(tmp_path / "a.duckdb"):
        new = finished(id="reset-4").reset("first", reapply="none")
        wait_until(lambda: event_types(new)[-1] == "ActivityTaskCompleted")
    with WorkflowEnvironment(tmp_path / "a.duckdb") as env:
        new = nbflow.get("reset-4")
        new.signal("word", 5)
        assert new.result(timeout=10)[1] == 5
        assert replays(new, env)


def test_code_that_does_not_fit_changes_nothing(env: WorkflowEnvironment) -> None:
    """The caller is told; the old run goes on."""

    @workflow(name="resettable_changing")
    def before() -> object:
        return resettable(1), nbflow.wait_for_signal("word")

    handle = before.options(id="reset-5").start()
    wait_until(lambda: event_types(handle)[-1] == "ActivityTaskCompleted")

    @workflow(name="resettable_changing")
    def after() -> object:
        return nbflow.sleep(5)

    with pytest.raises(NondeterminismError):
        handle.reset()
    assert handle.status == "Running"
    assert len(nbflow.executions("workflow_id = 'reset-5'")) == 1
    handle.reset("first").result(timeout=10)


@pytest.mark.parametrize("point", [0, 99, "middle"])
def test_an_event_that_is_none_is_refused(env: WorkflowEnvironment, point: Any) -> None:
    """So is another word than those known."""
    handle = finished()
    with pytest.raises(ClientError, match="event"):
        handle.reset(point)


def test_every_event_is_a_point(env: WorkflowEnvironment) -> None:
    """A reset to any event gives the same outcome and a history that replays; so it does of a paused and mended one."""

    @workflow(name="resettable_everywhere", on_error="suspend")
    def broken() -> object:
        resettable(1)
        nbflow.wait_for_signal("word")
        raise ValueError

    handle = broken.options(start_delay="1 day").start()
    handle.pause()
    handle.signal("word", 1)
    handle.unpause()
    with pytest.raises(WorkflowSuspendedError):
        handle.result(timeout=10)

    @workflow(name="resettable_everywhere", on_error="suspend")
    def mended() -> object:
        one = resettable(1)
        return one, nbflow.wait_for_signal("word"), resettable(7)

    assert handle.result(timeout=10) == (2, 1, 8)
    for point in range(1, len(handle.history()) + 1):
        new = handle.reset(point)
        assert new.result(timeout=10) == (2, 1, 8), point
        assert replays(new, env), point


# Rewind.


def test_rewinding_a_fan_out_runs_all_that_failed_and_nothing_else(env: WorkflowEnvironment) -> None:
    """What completed beside and behind the first failure stays."""
    down.update({1, 3})
    old = fanned.options(id="rewound-1").start()
    with pytest.raises(WorkflowFailedError):
        old.result(timeout=10)
    ran.clear(), down.clear()
    new = old.rewind("it is up again")
    assert new.result(timeout=10) == [1, 2, 3, 4, 5, 101]
    assert sorted(ran) == [1, 3, 100]
    assert (old.status, new.workflow_id) == ("Failed", "rewound-1")
    assert replays(new, env)


def test_rewinding_keeps_failures_that_were_handled(env: WorkflowEnvironment) -> None:
    """Only what the execution failed for runs again; sleeps that were slept are not slept again."""

    @workflow
    def handled_then_failed() -> object:
        try:
            first = resettable(1)
        except Exception:
            first = resettable(11)
        nbflow.sleep("30 days")
        return first, resettable(2)

    down.update({1, 2})
    old = handled_then_failed.start()
    with pytest.raises(WorkflowFailedError):
        old.result(timeout=10)
    ran.clear(), down.clear()
    began = env.now()
    new = old.rewind()
    assert new.result(timeout=10) == (12, 3)
    assert ran == [2]
    assert (env.now() - began).total_seconds() < 3600


def test_rewinding_runs_the_last_lines_again_if_no_activity_failed(env: WorkflowEnvironment) -> None:
    """With today's code: nothing that was done is done again."""

    @workflow(name="raises_behind_work")
    def broken() -> object:
        raise ValueError(resettable(1))

    old = broken.start()
    with pytest.raises(WorkflowFailedError):
        old.result(timeout=10)

    @workflow(name="raises_behind_work")
    def mended() -> object:
        return resettable(1), resettable(5)

    ran.clear()
    assert old.rewind().result(timeout=10) == (2, 6)
    assert ran == [5]


def test_a_suspended_execution_is_rewound(env: WorkflowEnvironment) -> None:
    """Where mending the code does not help, because an activity had failed for good."""

    @workflow(on_error="suspend")
    def suspended_for_work() -> int:
        return resettable(1) + resettable(2)

    down.add(2)
    old = suspended_for_work.start()
    with pytest.raises(WorkflowSuspendedError):
        old.result(timeout=10)
    ran.clear(), down.clear()
    new = old.rewind()
    assert new.result(timeout=10) == 5
    assert (ran, old.status) == ([2], "Terminated")


def test_there_is_nothing_to_rewind_where_nothing_failed(env: WorkflowEnvironment) -> None:
    """Open or completed; but what was terminated goes on."""
    with pytest.raises(ClientError, match="completed"):
        finished().rewind()
    open_ = chained.start()
    wait_until(lambda: event_types(open_)[-1] == "ActivityTaskCompleted")
    with pytest.raises(ClientError, match="nothing failed"):
        open_.rewind()
    open_.terminate()
    new = open_.rewind()
    new.signal("word", 1)
    assert new.result(timeout=10)[1] == 1
    assert ran == [1, 2]


# Fork.


def test_a_fork_is_another_execution(env: WorkflowEnvironment) -> None:
    """It shares the first events, and the old one goes on as if there were none."""
    old = chained.options(id="forked-1").start()
    wait_until(lambda: event_types(old)[-1] == "ActivityTaskCompleted")
    fork = old.fork(id="forked-1b")
    with pytest.raises(WorkflowAlreadyStartedError):
        old.fork(id="forked-1b")
    old.signal("word", 1)
    fork.signal("word", 2)
    assert (old.result(timeout=10)[1], fork.result(timeout=10)[1]) == (1, 2)
    assert fork.history()[0].workflow_id == "forked-1b"  # type: ignore[attr-defined]
    assert ran.count(1) == 1
    assert replays(fork, env)


def test_a_fork_may_have_other_code_and_other_results(env: WorkflowEnvironment) -> None:
    """Results of activities that are shared, or under way; what is none of the fork's is refused."""

    @workflow
    def forked_otherwise() -> object:
        first = resettable(1), nbflow.random().random() < 2
        return first, "otherwise"

    old = finished()
    scheduled = [event.event_id for event in events_of(old, "ActivityTaskScheduled")]
    done = events_of(old, "ActivityTaskCompleted")[0].event_id
    assert old.fork(done, code=forked_otherwise, results={scheduled[0]: 50}).result(timeout=10) == (
        (50, True),
        "otherwise",
    )
    other = old.fork(scheduled[1], results={scheduled[1]: 60})
    assert other.result(timeout=10)[2] == 60
    assert ran == []
    assert replays(other, env)
    with pytest.raises(ClientError, match="no activity"):
        old.fork(done, results={scheduled[1]: 1})
    with pytest.raises(NondeterminismError):
        old.fork(code=fanned)


def test_a_crash_leaves_both_or_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the old run and the events of the new one are durable together."""
    commit = EventStore.commit

    def dies(store: EventStore, batch: Batch) -> None:
        if any(type(event).__name__ == "WorkflowExecutionTerminated" for _, _, event, _ in batch.events):
            raise OSError(errno.EIO, "the process died")
        commit(store, batch)

    with WorkflowEnvironment(tmp_path / "a.duckdb"):
        old = chained.options(id="reset-6").start()
        wait_until(lambda: event_types(old)[-1] == "ActivityTaskCompleted")
        monkeypatch.setattr(EventStore, "commit", dies)
        with pytest.raises((StoreError, EngineClosedError)):
            old.reset()
    monkeypatch.undo()
    with WorkflowEnvironment(tmp_path / "a.duckdb"):
        assert nbflow.executions()[["run_id", "status"]].values.tolist() == [[old.run_id, "Running"]]
        new = nbflow.get("reset-6").reset()
        rows = nbflow.sql("SELECT run_id, status FROM executions ORDER BY start_time").values.tolist()
        assert rows == [[old.run_id, "Terminated"], [new.run_id, "Running"]]


def test_attempts_under_way_in_the_old_run_do_not_disturb_the_new_one(env: WorkflowEnvironment) -> None:
    """The old run's attempt is told to stop; the new run's is its own, under its own idempotency key."""
    keys: list[str] = []

    @activity(name="reset_under_way", retry=RetryPolicy(maximum_attempts=1))
    async def under_way() -> str:
        keys.append(nbflow.activity_info().idempotency_key)
        if len(keys) == 1:
            await asyncio.sleep(100)
        return keys[-1]

    @workflow
    def waits_for_it() -> str:
        return under_way()

    old = waits_for_it.start()
    wait_until(lambda: len(keys) == 1)
    new = old.reset(2)
    assert new.result(timeout=10) == f"{new.run_id}/1"
    assert old.status == "Terminated"


# Children.


@workflow
def reset_child(x: int) -> int:
    """Work, as a child."""
    return resettable(x)


@workflow
def reset_parent() -> object:
    """Have two children, one after the other."""
    return resettable(10), reset_child(1), reset_child(2)


def test_a_reset_is_refused_where_a_child_is_under_way(env: WorkflowEnvironment) -> None:
    """Two runs can't wait for one child; before and after it, it works."""
    old = reset_parent.start()
    assert old.result(timeout=10) == (11, 2, 3)
    started = events_of(old, "ChildWorkflowExecutionStarted")
    with pytest.raises(ClientError, match=r"StartChildWorkflowExecutionInitiated .* under way"):
        old.reset(started[1].event_id)
    ran.clear()
    new = old.reset(events_of(old, "ChildWorkflowExecutionCompleted")[0].event_id)
    assert new.result(timeout=10) == (11, 2, 3)
    assert ran == [2]
    assert replays(new, env)


def test_rewinding_starts_a_failed_child_again(env: WorkflowEnvironment) -> None:
    """What completed before it is kept."""
    down.add(2)
    old = reset_parent.start()
    with pytest.raises(WorkflowFailedError):
        old.result(timeout=10)
    ran.clear(), down.clear()
    new = old.rewind()
    assert new.result(timeout=10) == (11, 2, 3)
    assert ran == [2]
    assert replays(new, env)


def test_a_paused_parent_gets_its_childs_outcome_when_it_goes_on(env: WorkflowEnvironment) -> None:
    """The child runs on; its end is recorded in the pause."""

    @workflow
    def listening_child() -> object:
        return nbflow.wait_for_signal("word")

    @workflow
    def waits_for_a_child() -> object:
        return listening_child.options(id="reset-listening-child")(), resettable(1)

    parent = waits_for_a_child.start()
    wait_until(lambda: "ChildWorkflowExecutionStarted" in event_types(parent))
    parent.pause()
    nbflow.get("reset-listening-child").signal("word", 5)
    wait_until(lambda: event_types(parent)[-1] == "ChildWorkflowExecutionCompleted")
    parent.unpause()
    assert parent.result(timeout=10) == (5, 2)
    assert replays(parent, env)


def test_a_run_that_was_reset_before_it_began_takes_the_path_of_patches(env: WorkflowEnvironment) -> None:
    """What its code does first was never done before: so patches apply."""

    @workflow(start_delay="1 hour")
    def reset_before_begin() -> bool:
        return nbflow.patched("new path")

    handle = reset_before_begin.start()
    assert handle.reset("first").result(timeout=10) is True


# Chains.


@workflow
def reset_chain(left: int) -> object:
    """Continue as new, and tell the time and chance of each run."""
    resettable(left)
    if left:
        nbflow.continue_as_new(left - 1)
    return nbflow.now(), nbflow.random().random(), nbflow.wait_for_signal("word")


def test_the_next_run_of_a_reset_run_has_a_time_and_chance_of_its_own(env: WorkflowEnvironment) -> None:
    """Only the run that branched off says so; the chain keeps its first run."""
    old = reset_chain.options(id="reset-chain").start(1)
    wait_until(lambda: nbflow.get("reset-chain").run_id != old.run_id)
    env.sleep("10 days")
    newest = nbflow.get("reset-chain")
    assert newest.status == "Running"
    new = old.reset(events_of(old, "ActivityTaskScheduled")[0].event_id)
    assert newest.status == "Terminated"
    wait_until(lambda: nbflow.get("reset-chain").run_id != new.run_id)
    last = nbflow.get("reset-chain")
    last.signal("word", 5)
    now, _, word = last.result(timeout=10)
    assert (word, (env.now() - now).total_seconds() < 3600) == (5, True)
    rows = nbflow.sql("SELECT run_id, reset_run_id, first_run_id FROM executions").set_index("run_id")
    assert rows.reset_run_id[new.run_id] == old.run_id
    assert rows.reset_run_id.isna()[last.run_id]
    assert set(rows.first_run_id) == {old.run_id}
    assert replays(last, env)
