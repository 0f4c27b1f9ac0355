"""Options: read once, checked once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nbflow.core.options import ActivityDefinitionOptions, WorkflowOptions
from nbflow.core.retry import RetryPolicy
from nbflow.exceptions import ConfigurationError


def test_an_unknown_option_is_told_with_the_nearest_right_one():
    """A typo gets a hint; something far off gets the list."""
    with pytest.raises(ConfigurationError, match="did you mean 'heartbeat_timeout'"):
        ActivityDefinitionOptions.read({"hartbeat_timeout": 5})
    with pytest.raises(ConfigurationError, match=r"there are: .*run_timeout"):
        WorkflowOptions.read({"qqq": 5})


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (ActivityDefinitionOptions, "run_in", "gpu"),
        (ActivityDefinitionOptions, "cancellation_type", "try"),
        (ActivityDefinitionOptions, "start_to_close_timeout", "soon"),
        (ActivityDefinitionOptions, "retry", "often"),
        (ActivityDefinitionOptions, "retry", {"attempts": 3}),
        (ActivityDefinitionOptions, "name", ""),
        (WorkflowOptions, "id_conflict", "merge"),
        (WorkflowOptions, "id_reuse", ["allow"]),
        (WorkflowOptions, "start_delay", -1),
        (WorkflowOptions, "id", ""),
        (WorkflowOptions, "id", "report-\udc80"),
        (WorkflowOptions, "memo", ["a"]),
        (WorkflowOptions, "memo", {1: "a"}),
        (WorkflowOptions, "search_attributes", {"score": float("nan")}),
        (WorkflowOptions, "search_attributes", {"when": timedelta(1)}),
    ],
)
def test_impossible_values_are_named(cls, name, value):
    """The error says which option it is about."""
    with pytest.raises(ConfigurationError):
        cls.read({name: value})


def test_timeouts_may_be_written_short():
    """start_to_close is start_to_close_timeout; durations become seconds."""
    options = ActivityDefinitionOptions.read({"start_to_close": "30s", "heartbeat": 5, "retry_policy": 2})
    assert (options.start_to_close_timeout, options.heartbeat_timeout) == (30.0, 5.0)
    assert options.retry.maximum_attempts == 2


@pytest.mark.parametrize(
    ("value", "attempts"), [(5, 5), (False, 1), (True, 0), ({"maximum_attempts": 2}, 2), (RetryPolicy(), 0)]
)
def test_retry_may_be_written_short(value, attempts):
    """A number of attempts, False for a single one, a dict of fields, or a RetryPolicy."""
    assert ActivityDefinitionOptions.read({"retry": value}).retry.maximum_attempts == attempts


def test_options_are_laid_over_others():
    """What is given wins, the rest stays; None takes an option back."""
    base = ActivityDefinitionOptions.read({"retry": 5, "summary": "fetch", "start_to_close": 9})
    changed = ActivityDefinitionOptions.read({"summary": "again", "start_to_close": None}, base)
    assert (changed.summary, changed.retry.maximum_attempts, changed.start_to_close_timeout) == ("again", 5, None)
    assert base.summary == "fetch"


def test_what_a_call_carries():
    """A ScheduleActivityTask gets the deadlines in seconds, the policy, the cancellation type and the summary."""
    options = ActivityDefinitionOptions.read(
        {
            "schedule_to_close": "1h",
            "schedule_to_start": "1m",
            "cancellation_type": "ABANDON",
            "retry": 2,
            "summary": "x",
        }
    ).for_call()
    assert (options.schedule_to_close_timeout, options.schedule_to_start_timeout) == (3600.0, 60.0)
    assert (options.cancellation_type, options.summary, options.retry_policy.maximum_attempts) == ("ABANDON", "x", 2)


def test_an_id_may_be_any_value_with_a_text():
    """A number names an execution as well as its digits do."""
    assert WorkflowOptions.read({"id": 42}).id == "42"
