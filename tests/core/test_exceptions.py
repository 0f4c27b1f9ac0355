"""The error tree: every class can be pickled, copied, caught at its branch, and shown."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from nbflow import exceptions
from nbflow.exceptions import ApplicationError, StoreLockedError

CLASSES = [getattr(exceptions, name) for name in exceptions.__all__]
SAMPLES = {
    "failure": "KeyError: no", "new_run_id": "run-2",
    "result": None,
    "workflow_id": "wf-1", "run_id": "run-1", "workflow_type": "Report", "status": "Failed", "reason": "why",
    "message": "what happened", "name": "sleep", "path": "/tmp/x.duckdb", "pid": 42, "holder": "a.ipynb",
    "activity_type": "fetch", "activity_id": "3", "scheduled_event_id": 5, "retry_state": "TIMEOUT",
    "timeout_type": "HEARTBEAT", "last_heartbeat_details": {"done": 3}, "event": "event 2", "command": "StartTimer",
    "line": "a.py:3", "definition_hash": ("a", "b"), "known": ("add", "remove"), "update_name": "add",
    "update_id": "u-1", "is_rejected": True, "schedule_id": "nightly", "report": ("replayed", "mismatches"),
}  # fmt: skip


def sample(cls: type[BaseException]) -> BaseException:
    """Make an error with every argument that its class takes."""
    if cls is ApplicationError:
        return cls("what happened", 1, [2], type="Odd", non_retryable=True, next_retry_delay=3)
    if cls.__init__ in (Exception.__init__, BaseException.__init__):
        return cls("what happened")
    parameters = [
        p.name for p in inspect.signature(cls).parameters.values() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    return cls(*[SAMPLES[name] for name in parameters] or ["what happened"])


EACH_CLASS = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


@EACH_CLASS
@pytest.mark.parametrize("remake", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_every_error_survives_pickling_and_copying(cls, remake):
    """Type, text and attributes are the same; errors end up in other processes."""
    error = sample(cls)
    again = remake(error)
    assert type(again) is cls
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


@EACH_CLASS
def test_every_error_says_what_happened(cls):
    """No error shows a tuple of its arguments."""
    text = str(sample(cls))
    assert text
    assert not text.startswith("(")


def test_every_class_is_in_the_drawn_tree():
    """The tree in the docstring names every class, below its base."""
    drawn = re.findall(r"^( *)\* (\w+)", exceptions.__doc__, re.MULTILINE)
    assert sorted(name for _, name in drawn if name != "Control") == sorted(exceptions.__all__)
    path: list[str] = []
    for indent, name in drawn:
        depth = len(indent) // 4
        path[depth:] = [name]
        if depth and path[depth - 1] in exceptions.__all__:
            assert issubclass(getattr(exceptions, name), getattr(exceptions, path[depth - 1]))


def test_an_error_without_arguments_says_what_its_class_means():
    """DeadlockError is raised in another thread, which can't give it a text."""
    assert str(exceptions.DeadlockError()) == "Workflow code did not yield to the engine for too long."


def test_control_flow_can_not_be_eaten():
    """`except Exception` in user code lets control flow pass."""
    eaten = [cls.__name__ for cls in CLASSES if not issubclass(cls, Exception)]
    assert sorted(eaten) == ["ActivityCancelled", "CompleteLater", "ContinueAsNew", "WorkflowEvicted"]


def test_timeouts_are_pythons_timeouts():
    """`except TimeoutError` catches them without an import."""
    late = exceptions.TimeoutError("late", "HEARTBEAT", 3)
    assert isinstance(late, TimeoutError)
    assert (late.errno, str(late)) == (None, "late")


class CodedError(ApplicationError):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}", code)
        self.code = code


def test_a_users_subclass_with_an_init_of_its_own_can_be_pickled():
    """Its __init__ is not called again with arguments it does not know."""
    again = pickle.loads(pickle.dumps(CodedError(7)))
    assert (type(again), again.code, again.details, str(again)) == (CodedError, 7, (7,), "code 7")


def test_errors_show_short_in_notebooks():
    """One line, and for a failed workflow its causes with their traces."""
    assert sample(StoreLockedError)._render_traceback_() == ["StoreLockedError: what happened"]
    failed = exceptions.WorkflowFailedError("wf", "run", "Failed", "why")
    failed.__cause__ = cause = exceptions.ActivityError("it failed", "fetch")
    cause.stack_trace = 'Traceback:\n  File "a.py"\n'
    assert failed._render_traceback_() == [
        "WorkflowFailedError: workflow execution 'wf' (run run) closed as Failed: why",
        "  caused by ActivityError: it failed",
        "    Traceback:",
        '      File "a.py"',
    ]
    assert failed.cause is cause
