"""%nbflow schedule: what there is to see of schedules, and to do with them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from IPython.lib.pretty import pretty

import nbflow
from nbflow.exceptions import ConfigurationError
from nbflow.notebook.verbs import run_verb
from nbflow.testing import WorkflowEnvironment


@nbflow.workflow
def scheduled_by_magic(n: int = 0) -> int:
    """Return the argument."""
    return n


@pytest.fixture
def nb():
    """Run a line of %nbflow schedule over a schedule called m."""
    with WorkflowEnvironment(start=datetime(2026, 1, 1, tzinfo=UTC)):
        handle = nbflow.schedule("m", scheduled_by_magic, cron="0 9 * * *", timezone="Europe/Oslo", start="2025-12-01")
        yield lambda line: run_verb(f"schedule {line}".strip(), {"handle": handle})


def test_schedules_are_listed_and_shown(nb):
    """Also by a variable that holds a handle."""
    assert list(nb("").schedule_id) == list(nb("ls").schedule_id) == ["m"]
    assert "Thu 2026-01-01 09:00:00 CET" in repr(nb("show m"))
    assert repr(nb("show $handle")) == repr(nb("show m"))


def test_a_schedule_is_paused_and_acts_again(nb):
    """Each answers with what follows."""
    assert str(nb("pause m on holiday")) == "schedule 'm' is paused"
    assert nbflow.get_schedule("m").describe()["note"] == "on holiday"
    assert str(nb("unpause m")) == "schedule 'm' acts again, next at 2026-01-01 09:00:00 CET"


def test_a_schedule_is_triggered_backfilled_and_deleted(nb):
    """A trigger answers with the run's handle."""
    assert nb("trigger m").result() == 0
    assert str(nb("backfill --overlap allow_all m 2025-12-30 2025-12-31")).startswith("schedule 'm' started 1 runs")
    assert str(nb("delete m")) == "schedule 'm' is deleted; what it started goes on"
    assert len(nb("ls")) == 0


@pytest.mark.parametrize(
    ("line", "says"), [("paus m", "did you mean 'pause'"), ("trigger --overlap x m", "overlap must")]
)
def test_a_line_that_makes_no_sense_is_refused(nb, line, says):
    """The error says what there is."""
    with pytest.raises(ConfigurationError, match=says):
        nb(line)


def test_a_schedule_shows_what_it_is_and_when_it_acts_next(nb):
    """In a notebook; elsewhere its repr is short."""
    handle = nb("trigger m") and nbflow.get_schedule("m")
    assert pretty(handle) == (
        "schedule 'm' of scheduled_by_magic: 0 9 * * * (Europe/Oslo), next Thu 2026-01-01 09:00:00 CET"
    )
    handle.pause("on holiday")
    assert pretty(handle).endswith("paused (on holiday)")
    handle.delete()
    assert (repr(handle), "no schedule 'm'" in pretty(handle)) == ("<ScheduleHandle 'm'>", True)


def test_status_counts_schedules(nb):
    """With the time of the next one."""
    assert "1, the next one acts" in repr(run_verb("status", {}))
