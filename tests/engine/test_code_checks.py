"""Editing a workflow while its executions are in flight: who moves to the new code, who stays, and that both finish."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.client import CodeCheck
from nbflow.core.definitions import REGISTRY
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import wait_until


@activity
def edited_step(x: Any) -> Any:
    """Give back what it got."""
    return x


@activity
def edited_other(x: Any) -> Any:
    """Give back something else."""
    return f"other {x}"


def define_old(**options: Any) -> Any:
    """Define the version that executions start with: a step, a signal, a step."""

    @workflow(name="edited", **options)
    def edited(x: Any) -> list[Any]:
        first = edited_step(x)
        word = nbflow.wait_for_signal("go")
        return ["old", first, word, edited_step(2)]

    return edited


def define_longer(**options: Any) -> Any:
    """Define a version that fits where the old one waits: it does more afterwards."""

    @workflow(name="edited", **options)
    def edited(x: Any) -> list[Any]:
        first = edited_step(x)
        word = nbflow.wait_for_signal("go")
        return ["longer", first, word, edited_other(2)]

    return edited


def define_misfit() -> Any:
    """Define a version that does something else from the beginning."""

    @workflow(name="edited")
    def edited(x: Any) -> list[Any]:
        first = edited_other(x)
        word = nbflow.wait_for_signal("go")
        return ["misfit", first, word]

    return edited


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Let no version of one test be current when the store of the next is opened."""
    yield
    REGISTRY._current.pop(("workflow", "edited"), None)


@pytest.fixture
def env() -> Iterator[WorkflowEnvironment]:
    """Return a store in memory on a skipping clock."""
    with WorkflowEnvironment() as environment:
        yield environment


def wait_for_steps(count: int) -> None:
    """Wait until so many activities are done."""
    query = "SELECT count(*) AS n FROM events WHERE event_type = 'ActivityTaskCompleted'"
    wait_until(lambda: int(nbflow.sql(query)["n"][0]) >= count)


def start(count: int = 1) -> list[Any]:
    """Start executions of the old code and let them come to where they wait for their signal."""
    handles = define_old().start_many(range(count))
    wait_for_steps(count)
    return handles


def run_cell(scope: dict[str, Any], text: str) -> None:
    """Run code as a cell of a notebook, so that its source can be had."""
    filename = f"<ipython cell {len(linecache.cache)}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), scope)


def finish(handle: Any) -> Any:
    """Send the signal and return the result."""
    handle.signal("go", "now")
    return handle.result()


def last_check() -> CodeCheck:
    """Return what came of the last edit."""
    check = nbflow.code_check("edited")
    assert check is not None
    return check


def test_a_compatible_edit_moves_the_executions(env: WorkflowEnvironment, capfd: pytest.CaptureFixture[str]) -> None:
    """What was done stays done; what comes is the new code's; one line tells of it."""
    handles = start(2)
    define_longer()
    assert capfd.readouterr().err == "nbflow: 2 executions of edited moved to the new code\n"
    assert [finish(handle) for handle in handles] == [["longer", x, "now", "other 2"] for x in (0, 1)]


def test_an_incompatible_edit_leaves_them_on_the_old_code(env: WorkflowEnvironment) -> None:
    """The table says which, why and where; they finish as they began, while new ones run the new code."""
    (handle,) = start()
    new = define_misfit()
    (row,) = last_check().rows()
    assert (row["workflow_id"], row["fits"], row["event_id"]) == (handle.workflow_id, False, 2)
    assert (row["event"], row["command"]) == (
        "ActivityTaskScheduled(edited_step)",
        "ScheduleActivityTask(edited_other)",
    )
    assert row["text"] == "first = edited_other(x)"
    assert "patched" in row["advice"]
    assert last_check().frame()["why"][0] == row["why"]
    newer = new.start(7)
    assert finish(handle) == ["old", 0, "now", 2]
    assert finish(newer) == ["misfit", "other 7", "now"]


def test_each_execution_is_judged_by_its_own_history(env: WorkflowEnvironment) -> None:
    """One edit moves those that have not come to the changed place yet, and leaves the others."""
    waiting = start(3)

    @workflow(name="edited")
    def edited(x: Any) -> list[Any]:
        if x == 1:
            edited_other(x)
        first = edited_step(x)
        return ["mixed", first, nbflow.wait_for_signal("go")]

    assert last_check().headline() == "2 executions of edited moved to the new code, 1 stays on the old"
    assert [finish(handle)[0] for handle in waiting] == ["mixed", "old", "mixed"]


def test_code_that_would_fail_at_once_moves_nobody(env: WorkflowEnvironment) -> None:
    """A slip in an edited cell fails no execution that is in flight; the mended cell moves them."""
    (handle,) = start()

    @workflow(name="edited")
    def edited(x: Any) -> list[Any]:
        first = edited_step(x)
        return ["slip", len(first), nbflow.wait_for_signal("go")]

    (row,) = last_check().rows()
    assert row["why"].startswith("the new code would fail at once: TypeError")
    assert row["text"] == 'return ["slip", len(first), nbflow.wait_for_signal("go")]'
    define_longer()
    assert finish(handle)[0] == "longer"


def test_what_the_new_code_asks_for_beyond_the_history_happens_at_once(env: WorkflowEnvironment) -> None:
    """Code that waits no longer goes on as soon as it is there."""
    (handle,) = start()

    @workflow(name="edited")
    def edited(x: Any) -> list[Any]:
        return ["eager", edited_step(x), edited_step("more")]

    assert handle.result() == ["eager", 0, "more"]


def test_timers_and_activities_under_way_stay_as_they_are(env: WorkflowEnvironment) -> None:
    """The new code takes over the waiting for them."""

    def define(answer: str) -> Any:
        @workflow(name="edited")
        async def edited() -> list[Any]:
            await nbflow.sleep("30 days")
            return [answer, nbflow.now() - nbflow.info().start_time]

        return edited

    handle = define("old").start()
    env.sleep("10 days")
    define("new")
    answer, waited = handle.result()
    assert (answer, waited.days) == ("new", 30)


def test_the_move_outlives_the_process(tmp_path: Path) -> None:
    """After a restart without any cell they are rebuilt with the code they were moved to."""
    with WorkflowEnvironment(tmp_path / "store.duckdb"):
        (handle,) = start()
        define_longer()
    REGISTRY._current.pop(("workflow", "edited"))
    with WorkflowEnvironment(tmp_path / "store.duckdb"):
        assert finish(nbflow.get(handle.workflow_id)) == ["longer", 0, "now", "other 2"]


def test_code_edited_while_the_store_was_closed_is_tried_when_it_opens(tmp_path: Path) -> None:
    """The cells of a new kernel may run before the store is opened."""
    with WorkflowEnvironment(tmp_path / "store.duckdb"):
        (handle,) = start()
    define_longer()
    with WorkflowEnvironment(tmp_path / "store.duckdb"):
        assert last_check().headline() == "1 execution of edited moved to the new code"
        assert finish(nbflow.get(handle.workflow_id))[0] == "longer"


def test_executions_that_are_not_in_memory_are_moved_too(tmp_path: Path) -> None:
    """They need not come back for it."""
    options = nbflow.engine.engine.EngineOptions(resident_executions=2)
    with WorkflowEnvironment(tmp_path / "store.duckdb", options=options) as env:
        handles = start(12)
        wait_until(lambda: len(env.client.engine.residency.executions) <= 2)
        define_longer()
        assert (len(last_check().fits), len(env.client.engine.residency.executions)) == (12, 2)
        assert {finish(handle)[0] for handle in handles} == {"longer"}


def test_what_new_code_asks_for_at_once_comes_with_the_move(tmp_path: Path) -> None:
    """Those that are not in memory are brought there, so that no crash can come between the two."""
    options = nbflow.engine.engine.EngineOptions(resident_executions=2)
    with WorkflowEnvironment(tmp_path / "store.duckdb", options=options) as env:
        handles = start(8)
        wait_until(lambda: len(env.client.engine.residency.executions) <= 2)

        @workflow(name="edited")
        def edited(x: Any) -> Any:
            return edited_other(edited_step(x))

        assert last_check().headline() == "8 executions of edited moved to the new code"
        moves = "SELECT e.event_id, n.run_id FROM notes n JOIN events e ON e.run_id = n.run_id AND e.event_id = 5"
        assert len(nbflow.sql(moves)) == 8
        assert [handle.result() for handle in handles] == [f"other {x}" for x in range(8)]


def test_a_helper_that_changed_is_an_edit_too(env: WorkflowEnvironment) -> None:
    """The next look at all workflows finds it, as after each cell of a notebook."""
    scope: dict[str, Any] = {"__name__": "__main__", "workflow": workflow, "nbflow": nbflow}
    text = "def helper(word):\n    return {!r} + word\n"
    run_cell(scope, text.format("old "))
    run_cell(scope, "@workflow\ndef edited():\n    return helper(nbflow.wait_for_signal('go'))\n")
    handle = scope["edited"].start()
    env.client.live_code.look_again()
    assert nbflow.code_check("edited") is None
    run_cell(scope, text.format("new "))
    env.client.live_code.look_again()
    assert last_check().headline() == "1 execution of edited moved to the new code"
    assert finish(handle) == "new now"


def test_a_mended_helper_resumes_what_its_slip_suspended(env: WorkflowEnvironment) -> None:
    """The cell of the workflow itself need not run again."""
    scope: dict[str, Any] = {"__name__": "__main__", "workflow": workflow, "nbflow": nbflow}
    run_cell(scope, "def slipping(word):\n    return word + 1\n")
    body = "def edited():\n    return slipping(nbflow.wait_for_signal('go'))\n"
    run_cell(scope, f"@workflow(on_error='suspend')\n{body}")
    handle = scope["edited"].start()
    handle.signal("go", "now")
    wait_until(lambda: handle.status == "Suspended")
    run_cell(scope, "def slipping(word):\n    return word + '!'\n")
    env.client.live_code.look_again()
    assert handle.result() == "now!"


def define_by_number(*, is_odd_kept: bool) -> Any:
    """Define a workflow that waits, two in three with a timer; odd ones of those do not fit the other version."""

    @workflow(name="edited")
    async def edited(x: int) -> tuple[int, bool]:
        if x % 2 and is_odd_kept:
            await edited_step(x)
        await nbflow.wait_condition(lambda: False, timeout="30 days" if x % 3 else None)
        return x, is_odd_kept

    return edited


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_executions_are_judged_one_by_one(env: WorkflowEnvironment, count: int) -> None:
    """Most of them are not in memory; those that fit move, and the log says so for each."""
    define_by_number(is_odd_kept=False).start_many(range(count))
    new = define_by_number(is_odd_kept=True)
    wait_until(lambda: last_check().note == "", timeout=60)
    misfits = sum(1 for x in range(count) if x % 2 and x % 3)
    assert (len(last_check().fits), len(last_check().misfits)) == (count - misfits, misfits)
    query = "SELECT count(*) AS n FROM executions WHERE definition_hash = $hash"
    assert nbflow.sql(query, hash=new.definition().hash)["n"][0] == len(last_check().fits)
    assert "and" in repr(last_check())


def test_nothing_is_told_when_nothing_is_open_or_nothing_changed(
    env: WorkflowEnvironment, capfd: pytest.CaptureFixture[str]
) -> None:
    """Running a cell again as it is, and editing one without executions, is silent."""
    assert finish(start()[0])[0] == "old"
    define_longer()
    handle = define_old().start(1)
    define_old()
    assert (nbflow.code_check(), capfd.readouterr().err) == (None, "")
    finish(handle)


def test_on_edit_keep_leaves_all_on_the_code_they_run(env: WorkflowEnvironment) -> None:
    """Who wants no moves says so, and is told that there are none."""
    (handle,) = start()
    define_longer(on_edit="keep")
    assert last_check().headline() == '1 execution of edited stays on the old code: on_edit="keep"'
    assert finish(handle)[0] == "old"


def test_names_that_are_still_to_be_defined_put_the_check_off(env: WorkflowEnvironment) -> None:
    """After a restart the cell of a workflow may run before those of its helpers: that is no misfit."""
    scope: dict[str, Any] = {"__name__": "__main__", "workflow": workflow, "nbflow": nbflow, "step": edited_step}
    (handle,) = start()
    body = "    first = step(x)\n    return [late_helper(), nbflow.wait_for_signal('go')]\n"
    run_cell(scope, f"@workflow\ndef edited(x):\n{body}")
    assert last_check().headline() == "1 execution of edited stays on the old code until late_helper is defined"
    run_cell(scope, "def late_helper():\n    return 'late'\n")
    env.client.live_code.look_again()
    assert finish(handle) == ["late", "now"]


def test_code_that_began_after_a_start_delay_goes_on_as_the_new_one(env: WorkflowEnvironment) -> None:
    """Its history tells nothing of the end of the delay as long as it waits for its first signal."""

    def define(answer: str) -> Any:
        @workflow(name="edited")
        def edited() -> tuple[str, Any]:
            return answer, nbflow.wait_for_signal("go")

        return edited

    handle = define("old").options(start_delay="1 day").start()
    env.sleep("2 days")
    define("new")
    assert finish(handle) == ("new", "now")


def test_a_signal_that_came_with_a_delayed_start_reaches_the_new_code(env: WorkflowEnvironment) -> None:
    """Start and signal are told together, at the end of the delay."""
    handle = define_old().options(id="both", start_delay="1 day").signal_with_start("go", "early", start_args=(5,))
    define_misfit()
    assert handle.replay(2).locals == {}
    assert handle.result() == ["misfit", "other 5", "early"]


def test_executions_with_a_start_delay_take_the_new_code(env: WorkflowEnvironment) -> None:
    """Nothing of their code has run, so any code fits."""
    handle = define_old().options(start_delay="1 day").start(5)
    define_misfit()
    env.sleep("2 days")
    assert finish(handle) == ["misfit", "other 5", "now"]
