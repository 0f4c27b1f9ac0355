"""The line of a mark: options of the decorator, written with dashes."""

from __future__ import annotations

import inspect
import re

import pytest

from nbflow.core.options import ActivityDefinitionOptions
from nbflow.exceptions import ConfigurationError
from nbflow.notebook.magics import NbflowMagics
from nbflow.notebook.mark_options import option_names, read_mark_options


def test_options_become_arguments_of_the_decorator():
    """Durations, numbers and words come out as the decorator takes them."""
    options = read_mark_options("activity", "--retry 5 --start-to-close-timeout 30s --summary=two --run-in process")
    assert options == {"retry": 5, "start_to_close_timeout": "30s", "summary": "two", "run_in": "process"}
    assert ActivityDefinitionOptions.read(options).retry.maximum_attempts == 5


@pytest.mark.parametrize("line", ["", "   ", "# only a comment", "--retry 5  # five"])
def test_a_line_may_be_empty_or_end_with_a_comment(line):
    """Comments are for people."""
    assert read_mark_options("activity", line) == ({"retry": 5} if "5" in line else {})


@pytest.mark.parametrize("written", ['"30 days"', "'30 days'"])
def test_quotes_hold_a_duration_together(written):
    """Both kinds of quotes work."""
    assert read_mark_options("workflow", f"--run-timeout {written} --id x") == {"run_timeout": "30 days", "id": "x"}


@pytest.mark.parametrize(
    "written", ['{"maximum_attempts": 3, "initial_interval": "5s"}', "'{\"maximum_attempts\": 3}'"]
)
def test_retry_takes_the_fields_of_a_retry_policy(written):
    """JSON may stand with and without quotes around it."""
    assert read_mark_options("activity", f"--retry {written} --run-in thread")["retry"].maximum_attempts == 3


def test_retry_false_means_one_attempt():
    """As in the decorator."""
    retry = ActivityDefinitionOptions.read(read_mark_options("activity", "--retry false")).retry
    assert retry.maximum_attempts == 1


def test_a_timeout_may_be_written_without_its_last_word():
    """The decorator takes the short names too."""
    assert read_mark_options("activity", "--heartbeat 5s") == {"heartbeat_timeout": "5s"}


@pytest.mark.parametrize(
    ("kind", "line", "part"),
    [
        ("activity", "--retries 5", "did you mean --retry?"),
        ("activity", "--zzz 5", "there are: "),
        ("workflow", "--heartbeat-timeout 5", "unknown option --heartbeat-timeout"),
        ("workflow", "--priority high", "--priority wants a whole number"),
        ("activity", "--retry", "needs a value"),
        ("activity", "--retry five", "--retry wants a number of attempts"),
        ("activity", '--retry {"tries": 3}', "--retry wants"),
        ("activity", '--retry {"tries": ', "not JSON"),
        ("activity", "--retry 5 --retry 6", "given twice"),
        ("activity", "fast", "too much: 'fast'"),
        ("activity", "--heartbeat-timeout soon", "not a duration"),
        ("activity", "--run-in cloud", "run_in must be one of"),
        ("workflow", "--memo 5", "a JSON object"),
    ],
)
def test_a_wrong_line_is_an_error_that_names_the_mark_and_the_way_out(kind, line, part):
    """Nothing is guessed and nothing ignored."""
    with pytest.raises(ConfigurationError) as caught:
        read_mark_options(kind, line)
    assert str(caught.value).startswith(f"%%{kind}: ")
    assert part in str(caught.value)


@pytest.mark.parametrize("kind", ["workflow", "activity"])
def test_the_help_of_a_mark_names_its_options(kind):
    """`%%activity?` does not go stale when an option comes or goes."""
    told = inspect.getdoc(getattr(NbflowMagics, kind))
    assert sorted(re.findall(r"--[a-z][a-z-]+", told)) == option_names(kind)
