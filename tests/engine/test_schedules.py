"""Schedules fire at their times, one run after the other as the overlap policy says, also across restarts."""

from __future__ import annotations

import linecache
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import nbflow
from nbflow.core.definitions import REGISTRY
from nbflow.core.payloads import Payload
from nbflow.core.schedule_body import ScheduleBody
from nbflow.core.schedule_reading import read_spec
from nbflow.core.schedule_state import ScheduleState
from nbflow.exceptions import ClientError, ConfigurationError, MissingDefinitionError, ScheduleNotFoundError
from nbflow.testing import WorkflowEnvironment

START = datetime(2026, 1, 1, tzinfo=UTC)


@nbflow.workflow
def scheduled_at_once(n: int = 0) -> int:
    """Return what came before, plus one."""
    before = nbflow.info().last_completion_result
    return n + (0 if before is None else before) + 1


@nbflow.workflow
def scheduled_for_a_while(minutes: int = 85) -> str:
    """Take longer than an hour."""
    nbflow.sleep(minutes * 60)
    return "slept"


@nbflow.workflow
def scheduled_to_fail() -> None:
    """Fail, and say how the run before did."""
    before = nbflow.info().last_failure
    raise nbflow.ApplicationError(f"after {before}")


@nbflow.workflow
def scheduled_in_parts(part: int = 1) -> int:
    """Go on as new runs: three of 25 minutes each."""
    nbflow.sleep("25m")
    if part < 3:
        nbflow.continue_as_new(part + 1)
    return part


@nbflow.workflow(retry=nbflow.RetryPolicy(initial_interval="10m", maximum_attempts=2))
def scheduled_and_retried() -> None:
    """Fail, as a whole, twice."""
    raise OSError("no route")


@pytest.fixture
def env():
    """An engine whose time begins with the year."""
    with WorkflowEnvironment(start=START) as environment:
        yield environment


def fates(handle: nbflow.ScheduleHandle) -> list[str]:
    """What happened, each with the hour that it is about."""
    rows = nbflow.sql("SELECT kind, nominal_time FROM schedule_events WHERE schedule_id = $id", id=handle.id)
    hours = rows.nominal_time.dt.strftime(" %H").fillna("")
    return [kind + hour for kind, hour in zip(rows.kind, hours, strict=True)]


def statuses() -> dict[str, str]:
    """Status of each execution, by the hour that it was started for."""
    rows = nbflow.sql("SELECT workflow_id, status FROM executions ORDER BY start_time, workflow_id")
    return {workflow_id[-9:-7]: status for workflow_id, status in zip(rows.workflow_id, rows.status, strict=True)}


def test_a_year_of_weekdays_passes_in_no_time(env):
    """Each weekday at nine in Oslo has its run, named by the schedule and the time."""
    handle = nbflow.schedule("nine", scheduled_at_once, 5, cron="0 9 * * MON-FRI", timezone="Europe/Oslo")
    env.sleep("365 days")
    rows = nbflow.sql("SELECT * FROM executions ORDER BY start_time")
    assert len(rows) == 261
    assert list(rows.workflow_id[:2]) == ["nine-2026-01-01T08:00:00Z", "nine-2026-01-02T08:00:00Z"]
    assert rows.workflow_id[200] == "nine-2026-10-08T07:00:00Z"
    assert handle.recent[0].result() == 6 * 261
    assert handle.describe()["next_time"] == datetime(2027, 1, 1, 8, tzinfo=UTC)


def test_an_execution_says_which_time_it_is_for(env):
    """Search attributes as Temporal's."""
    nbflow.schedule("tagged", scheduled_at_once, every="1h", search_attributes={"team": "sales"}, memo={"a": 1})
    env.sleep("1h")
    (row,) = env.client.rows("SELECT search_attributes, memo, input FROM executions")
    assert row["search_attributes"] == (
        '{"team":"sales","TemporalScheduledStartTime":"2026-01-01T01:00:00Z","TemporalScheduledById":"tagged"}'
    )
    assert (row["memo"], row["input"]) == ('{"a":1}', "[]")


@pytest.mark.parametrize(
    ("overlap", "expected", "ends"),
    [
        ("skip", ["Fired 01", "Skipped 02", "Fired 03", "Skipped 04"], {"01": "Completed", "03": "Running"}),
        (
            "buffer_one",
            ["Fired 01", "Buffered 02", "Fired 02", "Buffered 03", "Fired 03", "Buffered 04"],
            {"01": "Completed", "02": "Completed", "03": "Running"},
        ),
        (
            "buffer_all",
            ["Fired 01", "Buffered 02", "Fired 02", "Buffered 03", "Fired 03", "Buffered 04"],
            {"01": "Completed", "02": "Completed", "03": "Running"},
        ),
        (
            "cancel_other",
            ["Fired 01", "Buffered 02", "Fired 02", "Buffered 03", "Fired 03", "Buffered 04", "Fired 04"],
            {"01": "Canceled", "02": "Canceled", "03": "Canceled", "04": "Running"},
        ),
        (
            "terminate_other",
            ["Fired 01", "Buffered 02", "Fired 02", "Buffered 03", "Fired 03", "Buffered 04", "Fired 04"],
            {"01": "Terminated", "02": "Terminated", "03": "Terminated", "04": "Running"},
        ),
        (
            "allow_all",
            ["Fired 01", "Fired 02", "Fired 03", "Fired 04"],
            {"01": "Completed", "02": "Completed", "03": "Running", "04": "Running"},
        ),
    ],
)
def test_each_overlap_policy(env, overlap, expected, ends):
    """Runs of 85 minutes every hour, for four and a half hours."""
    handle = nbflow.schedule("hourly", scheduled_for_a_while, every="1h", overlap=overlap)
    env.sleep("4h20m")
    assert fates(handle)[1:] == expected
    assert statuses() == ends


def test_the_next_run_knows_how_the_last_one_ended(env):
    """The result of the last that completed, and the failure if the last one failed."""
    handle = nbflow.schedule("failing", scheduled_to_fail, every="1h")
    env.sleep("3h")
    texts = [str(it.describe()["failure_message"]) for it in handle.recent]
    assert texts[-1] == "after None"
    assert texts[0].startswith("after ApplicationError: after ") or "after after" in texts[0]


def test_a_schedule_pauses_when_a_run_fails(env):
    """With a note that says why; unpaused, it goes on with the next time."""
    handle = nbflow.schedule("careful", scheduled_to_fail, every="1h", pause_on_failure=True)
    env.sleep("3h")
    about = handle.describe()
    assert (about["paused"], about["actions"], about["next_time"]) == (True, 1, None)
    assert "did not complete: after None" in about["note"]
    handle.unpause("mended")
    env.sleep("1h")
    assert fates(handle)[-4:] == ["Paused", "Unpaused", "Fired 04", "Paused"]


def test_times_that_pass_during_a_pause_are_left_out(env):
    """A pause is no outage: nothing is made up for."""
    handle = nbflow.schedule("resting", scheduled_at_once, every="1h", paused=True, note="not yet")
    env.sleep("3h30m")
    assert (fates(handle), handle.describe()["note"]) == (["Created"], "not yet")
    handle.unpause()
    env.sleep("1h")
    assert fates(handle) == ["Created", "Unpaused", "Fired 04"]


def test_a_schedule_stops_after_so_many_actions(env):
    """What is triggered does not count."""
    handle = nbflow.schedule("thrice", scheduled_at_once, every="1h", remaining_actions=2)
    handle.trigger()
    env.sleep("1 day")
    about = handle.describe()
    assert (about["actions"], about["remaining_actions"], about["next_time"]) == (3, 0, None)
    handle.update(remaining_actions=1)
    env.sleep("1h")
    assert handle.describe()["actions"] == 4


def test_a_trigger_acts_now_even_while_paused(env):
    """The overlap policy holds for it too, unless it brings its own."""
    handle = nbflow.schedule("by-hand", scheduled_for_a_while, every="1h", paused=True)
    first = handle.trigger()
    assert first.workflow_id.startswith("by-hand-2026-01-01T00:00:")
    assert handle.trigger() is None
    second = handle.trigger("allow_all")
    assert second.workflow_id != first.workflow_id
    kinds = [fate.removesuffix(" 00") for fate in fates(handle)]
    assert kinds == ["Created", "Triggered", "Fired", "Triggered", "Skipped", "Triggered", "Fired"]


def test_a_backfill_takes_both_ends(env):
    """One after the other with buffer_all; also times that had their run."""
    handle = nbflow.schedule("back", scheduled_at_once, every="1h", start="2026-01-01")
    env.sleep("2h10m")
    runs = handle.backfill("2026-01-01T00:00", "2026-01-01T02:00", overlap="buffer_all")
    assert [run.workflow_id[-9:] for run in runs] == ["00:00:00Z", "01:00:00Z", "02:00:00Z"]
    assert handle.describe()["actions"] == 5
    assert len({run.run_id for run in [*runs, *handle.recent]}) == 5


def test_a_time_whose_execution_is_open_is_not_started_again(env):
    """Also if that one is paused: a backfill leaves it out and says why."""
    handle = nbflow.schedule("open", scheduled_for_a_while, every="1h")
    env.sleep("1h")
    handle.recent[0].pause()
    assert handle.backfill("2026-01-01T01:00", "2026-01-01T01:00", "allow_all") == []
    (row,) = env.client.rows("SELECT body ->> 'reason' AS reason FROM schedule_events WHERE kind = 'Skipped'")
    assert row["reason"] == "the execution of this time has not ended"


def test_a_backfill_of_what_has_not_passed_is_refused(env):
    """So is one that goes backwards, or of more times than may wait."""
    handle = nbflow.schedule("past", scheduled_at_once, every="1s")
    with pytest.raises(ClientError, match="has not"):
        handle.backfill("2026-01-01", "2026-01-02")
    with pytest.raises(ConfigurationError, match="backwards"):
        handle.backfill("2026-01-02", "2026-01-01")
    with pytest.raises(ClientError, match="backfill in parts"):
        handle.backfill("2025-01-01", "2025-01-02")


def test_running_the_cell_again_changes_nothing_or_just_what_changed(env):
    """The same schedule leaves no row; a pause by hand survives; new times count from now on."""
    make = lambda **more: nbflow.schedule("again", scheduled_at_once, 1, **{"every": "1h", **more})
    handle = make()
    handle.pause("by hand")
    make()
    assert (fates(handle), handle.describe()["paused"]) == (["Created", "Paused"], True)
    make(every="2h")
    assert (fates(handle)[-1], handle.describe()["paused"]) == ("Updated", True)
    handle.unpause()
    handle.update(overlap="allow_all", args=[7])
    env.sleep("2h")
    assert handle.recent[0].result() == 8
    assert handle.describe()["overlap"] == "allow_all"


def test_a_deleted_schedule_is_gone_and_its_runs_go_on(env):
    """The id may be taken again."""
    handle = nbflow.schedule("gone", scheduled_for_a_while, every="1h")
    run = handle.trigger()
    handle.delete()
    with pytest.raises(ScheduleNotFoundError, match="'gone'"):
        handle.describe()
    with pytest.raises(ScheduleNotFoundError):
        nbflow.get_schedule("gone")
    assert (len(nbflow.schedules()), run.result()) == (0, "slept")
    nbflow.schedule("gone", scheduled_for_a_while, every="1h")
    assert nbflow.get_schedule("gone").describe()["actions"] == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"overlap": "skp"}, "did you mean 'skip'"),
        ({"catchup_window": 5}, "10 s or more"),
        ({"remaining_actions": -1}, "0 or more"),
        ({"paused": "yes"}, "True or False"),
        ({"id_reuse": "allow"}, "no meaning for a schedule"),
        ({"evry": "2h"}, "did you mean 'every'"),
        ({"run_timeout": "soon"}, "soon"),
    ],
)
def test_nonsense_is_refused(env, given, says):
    """The error says what would be right."""
    with pytest.raises(ConfigurationError) as caught:
        nbflow.schedule("wrong", scheduled_at_once, every="1h", **given)
    assert says in str(caught.value)


def test_only_workflows_can_be_scheduled(env):
    """And only with arguments that fit."""
    with pytest.raises(ConfigurationError, match="mark the function"):
        nbflow.schedule("plain", len, every="1h")
    with pytest.raises(ConfigurationError, match="scheduled_at_once"):
        nbflow.schedule("many", scheduled_at_once, 1, 2, every="1h")


def test_jitter_puts_runs_off_and_names_them_by_the_spec(env):
    """next_time tells the real time, the id the nominal one."""
    handle = nbflow.schedule("shaken", scheduled_at_once, every="1h", jitter="30m")
    about = handle.describe()
    assert datetime(2026, 1, 1, 1, tzinfo=UTC) < about["next_time"] < datetime(2026, 1, 1, 1, 30, tzinfo=UTC)
    env.sleep("1h30m")
    (run,) = handle.recent
    assert run.workflow_id == "shaken-2026-01-01T01:00:00Z"
    assert run.describe()["start_time"] >= about["next_time"]


def test_runs_that_follow_one_another_count_as_one(tmp_path):
    """The next time waits for the end of the last of them, also if they are seen by another process."""
    with later(tmp_path / "s.duckdb", 0) as env:
        nbflow.schedule("parts", scheduled_in_parts, every="1h", overlap="buffer_one")
        env.sleep("1h30m")
    with later(tmp_path / "s.duckdb", 1.6) as env:
        env.sleep("25m")
        handle = nbflow.get_schedule("parts")
        assert (fates(handle)[1:], handle.describe()["running"]) == (
            ["Fired 01", "Buffered 02"],
            "parts-2026-01-01T01:00:00Z",
        )
        env.sleep("20m")
        assert fates(handle)[-1] == "Fired 02"


def test_a_schedule_pauses_only_when_the_last_retry_has_failed(env):
    """A workflow's own retries come first."""
    handle = nbflow.schedule("retried", scheduled_and_retried, every="1h", pause_on_failure=True)
    env.sleep("1h5m")
    assert handle.describe()["paused"] is False
    env.sleep("10m")
    assert handle.describe()["paused"] is True
    assert len(nbflow.executions()) == 2


# While no engine runs.


def later(path: Path, hours: float) -> WorkflowEnvironment:
    """The same store, hours into the year."""
    return WorkflowEnvironment(path, start=datetime.fromtimestamp(START.timestamp() + hours * 3600, UTC))


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        ("skip", ["Skipped 02", "Fired 01"]),
        ("buffer_one", ["Skipped 03", "Buffered 02", "Fired 01"]),
        ("buffer_all", ["Buffered 02", "Fired 01"]),
        ("cancel_other", ["Skipped 01", "Fired 04"]),
        ("terminate_other", ["Skipped 01", "Fired 04"]),
        ("allow_all", ["Fired 01", "Fired 02", "Fired 03", "Fired 04"]),
    ],
)
def test_missed_times_are_made_up_for_by_the_overlap_policy(tmp_path, overlap, expected):
    """Four hours without an engine."""
    with later(tmp_path / "s.duckdb", 0):
        nbflow.schedule("missed", scheduled_for_a_while, every="1h", overlap=overlap)
    with later(tmp_path / "s.duckdb", 4.5) as env:
        env.sleep(1)
        assert fates(nbflow.get_schedule("missed"))[1:] == expected
        assert nbflow.schedules().next_time[0] == datetime(2026, 1, 1, 5, tzinfo=UTC)


def test_times_overdue_by_more_than_the_catchup_window_are_left_out(tmp_path):
    """They are counted, and the others made up for."""
    with later(tmp_path / "s.duckdb", 0):
        nbflow.schedule("late", scheduled_at_once, every="1h", overlap="allow_all", catchup_window="2h")
    with later(tmp_path / "s.duckdb", 10.5) as env:
        env.sleep(1)
        handle = nbflow.get_schedule("late")
        assert fates(handle) == ["Created", "MissedCatchup 01", "Fired 09", "Fired 10"]
        assert handle.describe()["missed"] == 8


def test_years_of_seconds_are_passed_over_quickly(tmp_path):
    """A schedule of every second that nobody served for three years holds up nobody."""
    with later(tmp_path / "s.duckdb", 0):
        nbflow.schedule("seconds", scheduled_at_once, every="1s", catchup_window="1m")
    with later(tmp_path / "s.duckdb", 3 * 365 * 24):
        handle = nbflow.get_schedule("seconds")
        assert handle.describe()["missed"] >= 10_000
        assert handle.describe()["actions"] >= 1


def test_a_buffer_holds_a_thousand(tmp_path):
    """What comes then is left out, and told."""
    with later(tmp_path / "s.duckdb", 0):
        nbflow.schedule("full", scheduled_for_a_while, every="1m", overlap="buffer_all")
    with later(tmp_path / "s.duckdb", 1005 / 60) as env:
        env.sleep(1)
        (row,) = env.client.rows("SELECT waiting, skipped, actions FROM schedules")
        assert row == {"waiting": 1000, "skipped": 4, "actions": 1}


def test_what_happened_to_a_run_is_known_after_a_restart(tmp_path):
    """The buffered time starts when the run before has ended, and gets its result."""
    with later(tmp_path / "s.duckdb", 0) as env:
        nbflow.schedule("on", scheduled_for_a_while, 90, every="1h", overlap="buffer_all", remaining_actions=2)
        env.sleep("2h10m")
    with later(tmp_path / "s.duckdb", 3) as env:
        env.sleep("2h")
        handle = nbflow.get_schedule("on")
        assert [it.status for it in handle.recent] == ["Completed", "Completed"]
        assert handle.recent[0].history()[0].last_completion_result.tree == "slept"
        assert handle.describe()["running"] is None


def test_a_schedule_runs_on_stored_code_in_a_process_without_the_cell(tmp_path, monkeypatch):
    """The definition is stored with the schedule."""
    with later(tmp_path / "s.duckdb", 0):
        nbflow.schedule("stored", scheduled_at_once, 41, every="1h")
    monkeypatch.setattr("nbflow.engine.schedules.REGISTRY.current", lambda kind, name: None)
    with later(tmp_path / "s.duckdb", 1.5) as env:
        env.sleep(1)
        (run,) = nbflow.get_schedule("stored").recent
        assert (run.result(), len(run.history())) == (42, 2)


def test_an_edited_workflow_is_run_from_the_next_time_on_also_elsewhere(tmp_path, monkeypatch):
    """What the cell says last is what another process runs."""

    def edited(text):
        namespace = {"nbflow": nbflow, "__name__": __name__}
        source = f"@nbflow.workflow\ndef scheduled_and_edited():\n    return {text!r}\n"
        linecache.cache[text] = (len(source), None, source.splitlines(keepends=True), text)
        exec(compile(source, text, "exec"), namespace)
        return namespace["scheduled_and_edited"]

    with later(tmp_path / "s.duckdb", 0) as env:
        handle = nbflow.schedule("edited", edited("first"), every="1h")
        env.sleep("1h")
        edited("second")
        env.sleep("1h")
        assert [run.result() for run in handle.recent] == ["second", "first"]
        edited("third")
    monkeypatch.setattr("nbflow.engine.schedules.REGISTRY.current", lambda kind, name: None)
    with later(tmp_path / "s.duckdb", 2.5) as env:
        env.sleep("1h")
        assert nbflow.get_schedule("edited").recent[0].result() == "third"


def test_what_can_not_be_rebuilt_waits_until_it_is_defined(tmp_path, monkeypatch):
    """The schedule says why; the cell that defines the workflow lets it go on."""
    current = REGISTRY.current
    with later(tmp_path / "s.duckdb", 0):
        nbflow.schedule("lacking", scheduled_at_once, every="1h", overlap="buffer_all")
    monkeypatch.setattr(REGISTRY, "current", lambda kind, name: None)
    monkeypatch.setattr(REGISTRY, "by_hash", lambda kind, hash_: None)
    monkeypatch.setattr("nbflow.engine.definitions.restore_definition", cannot)
    with later(tmp_path / "s.duckdb", 2.5) as env:
        env.sleep(1)
        handle = nbflow.get_schedule("lacking")
        about = handle.describe()
        assert (about["problem"], about["waiting"], about["actions"]) == ("it can't be rebuilt", 2, 0)
        monkeypatch.setattr(REGISTRY, "current", current)
        for listener in REGISTRY.listeners:
            listener()
        assert [run.result() for run in handle.recent] == [2, 1]


def cannot(*parts):
    raise MissingDefinitionError("it can't be rebuilt")


def test_workflow_code_may_not_ask_schedules(env):
    """It would wait for the engine that waits for it."""
    handle = nbflow.schedule("asked", scheduled_at_once, every="1h")

    @nbflow.workflow
    def asks_a_schedule():
        handle.pause()

    with pytest.raises(nbflow.exceptions.WorkflowFailedError, match="do it in an activity"):
        asks_a_schedule()


def test_a_thousand_resting_schedules_have_one_deadline(env):
    """They cost an entry in a heap each, and nothing while they rest."""
    before = len(env.client.engine.deadlines._heap)
    schedules = env.client.engine.schedules
    body = replace(env_body(), spec=read_spec({"cron": "0 9 1 1 *"}))
    for number in range(1000):
        schedules.add(f"rests-{number}", body, ScheduleState(env.clock.now()))
    live = [entry for _, _, entry in env.client.engine.deadlines._heap if entry.callback is not None]
    assert len(live) <= before + 1


def env_body():
    return ScheduleBody(spec=read_spec({"every": 1}), workflow_type="none", definition_hash="", input=Payload("[]"))
