"""`%nbflow VERB`: what there is to see and to do, in a plain IPython shell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nbflow
from nbflow.exceptions import ClientError, ConfigurationError, WorkflowClosedError, WorkflowNotFoundError
from nbflow.notebook.verbs import VERBS


@nbflow.activity(retry=1)
def knock() -> None:
    raise OSError("no route")


@nbflow.workflow
def failing() -> None:
    knock()


@nbflow.workflow
def approval() -> list:
    given = []

    @nbflow.query
    def so_far(first: int = 0) -> list:
        return given[first:]

    @nbflow.update
    def correct(place: int, name: str) -> str:
        given[place], before = name, given[place]
        return before

    timer = nbflow.sleep
    while len(given) < 3:
        given.append(nbflow.wait_for_signal("approve"))
    timer("1 day", summary="nap")
    return given


@pytest.fixture
def nb(shell, env):
    """Return a function that runs a line of %nbflow."""
    return lambda line: shell.run(f"%nbflow {line}")


def test_signals_carry_json_variables_and_words(nb, shell):
    """All three arrive as values, in order."""
    handle = approval.options(id="a1").start()
    shell.run("person = {'name': 'Ada'}")
    nb('signal a1 approve {"by": "Eve"}')
    nb("signal a1 approve $person")
    answer = nb("signal a1 approve yes")
    assert repr(answer) == "signal 'approve' is in the history of 'a1'"
    assert nb("query a1 so_far") == [{"by": "Eve"}, {"name": "Ada"}, "yes"]
    assert nb("query a1 so_far 2") == ["yes"]
    assert nb("update a1 correct 2 no") == "yes"
    assert nb("update a1 correct 2 yes") == "no"
    assert handle.result()[2] == "yes"


def test_a_timer_can_be_fired(nb, env):
    """The next one, or the one named; none left is an error."""
    handle = approval.options(id="a1").start()
    for _ in range(3):
        handle.signal("approve")
    _ = handle.status
    assert nb("timers").timer.tolist() == ["nap"]
    assert "has fired" in repr(nb("fire a1"))
    assert handle.status == "Completed"
    assert len(nb("timers")) == 0


def test_executions_can_be_cancelled_and_terminated_with_a_reason(nb):
    """What comes after the id is the reason."""
    one, other = approval.options(id="a1").start(), approval.options(id="a2").start()
    assert "asked to cancel" in repr(nb("cancel a1"))
    assert repr(nb("terminate a2 no longer needed")) == "'a2' is terminated"
    assert (one.status, other.describe()["failure_message"]) == ("Canceled", "no longer needed")
    with pytest.raises(WorkflowClosedError):
        nb("terminate a2")


def test_operators_pause_reset_and_fork(nb):
    """Each says what became of the execution, and of the new run."""
    handle = approval.options(id="o1").start()
    assert repr(nb("pause o1 for lunch")) == "'o1' is Paused"
    assert handle.history()[-1].reason == "for lunch"
    assert repr(nb("unpause o1")) == repr(nb("resume o1")) == "'o1' is Running"
    assert "'o2' goes on from 'o1'" in repr(nb("fork o1 first o2"))
    assert "goes on as run" in repr(nb("reset o1 1 once more"))
    assert handle.describe()["failure_message"].startswith("once more; reset: goes on as run")
    with pytest.raises(ClientError, match="nothing failed"):
        nb("rewind o2")
    with pytest.raises(ClientError, match="waits for its next attempt"):
        nb("retry o2")


def test_an_execution_is_named_by_id_run_id_or_variable(nb, shell):
    """All of them give the same execution."""
    handle = approval.options(id="report of may").start()
    shell.ip.push({"h": handle, "name": handle.workflow_id})
    for subject in ('"report of may"', handle.run_id, "$h", "$name"):
        assert nb(f"show {subject}").run_id == handle.run_id
    with pytest.raises(WorkflowNotFoundError, match="'no-such'"):
        nb("show no-such")
    handle.terminate()


def test_executions_are_listed_latest_first_and_by_status(nb):
    """`ls` is a DataFrame."""
    approval.options(id="a1").start()
    failing.options(id="f1").start()
    with pytest.raises(nbflow.exceptions.WorkflowFailedError):
        nbflow.get("f1").result()
    assert nb("ls").workflow_id.tolist() == ["f1", "a1"]
    assert nb("ls --status failed").workflow_id.tolist() == ["f1"]
    assert nb("ls --type approval --limit 1").workflow_id.tolist() == ["a1"]
    failures = nb("failures")
    assert set(failures.failure_type) == {"OSError"}
    nbflow.get("a1").terminate()


def test_status_tells_what_is_in_the_store(nb):
    """As text and as HTML."""
    approval.options(id="a1").start()
    answer = nb("status")
    assert "executions       1, 1 of them open" in repr(answer)
    assert "1, 1 of them open" in answer._repr_html_()
    nbflow.get("a1").terminate()


def test_help_lists_every_verb(nb):
    """Also when no verb is given."""
    for line in ("", "help"):
        assert all(name in repr(nb(line)) for name in VERBS)


def test_the_documentation_lists_the_same_verbs():
    """Its table says what `%nbflow help` says."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "notebook.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `%nbflow ([^`]+)`", text, re.MULTILINE)
    assert listed == [f"{name} {verb.usage}".rstrip() for name, verb in VERBS.items()]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("shwo a1", "did you mean 'show'?"),
        ("teleport", "there are: status, ls, show"),
        ("show", "which execution?; write %nbflow show ID"),
        ("signal a1", "which signal?; write %nbflow signal ID NAME"),
        ("ls --stat Failed", "did you mean --status?"),
        ("ls all", "too much: 'all'"),
        ("timers --limit x", "a number of rows"),
        ("show $nobody", "no variable 'nobody'"),
    ],
)
def test_a_wrong_line_is_a_real_error_that_says_what_to_write(nb, line, part):
    """Unknown verbs name the nearest one and all there are."""
    approval.options(id="a1").start()
    with pytest.raises(ConfigurationError) as caught:
        nb(line)
    assert part in str(caught.value)
    nbflow.get("a1").terminate()
