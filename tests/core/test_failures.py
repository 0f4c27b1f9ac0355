"""Failures: what history keeps of an exception, and what comes back."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from nbflow.core.failures import Failure, exception_of_failure, failure_of_exception, timeout_failure
from nbflow.core.payloads import JsonConverter, Payload
from nbflow.exceptions import (
    ActivityCancelled,
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    PayloadError,
    TerminatedError,
    TimeoutError,  # noqa: A004  Temporal's name for it
)

JSON = JsonConverter()


def recorded(error: BaseException) -> Failure:
    """Raise an error, record it, write it and read it back."""
    try:
        raise error
    except BaseException as raised:
        failure = failure_of_exception(raised, JSON)
    again = Failure.from_json(failure.to_json())
    assert again == failure
    return again


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (ApplicationError("no", 1, {"a": 2}, type="Odd", non_retryable=True), ["details", "type", "non_retryable"]),
        (ActivityError("no", "fetch", "3", 5, "TIMEOUT"), ["activity_type", "activity_id", "retry_state"]),
        (ChildWorkflowError("no", "wf", "run", "Type"), ["workflow_id", "run_id", "workflow_type"]),
        (TimeoutError("late", "HEARTBEAT", {"done": 3}), ["timeout_type", "last_heartbeat_details"]),
        (CancelledError("enough"), []),
        (TerminatedError("gone"), []),
    ],
)
def test_an_nbflow_error_comes_back_as_itself(error, attributes):
    """Class, message and attributes survive history."""
    again = exception_of_failure(recorded(error), JSON)
    assert type(again) is type(error)
    assert again.message == error.message
    assert [getattr(again, name) for name in attributes] == [getattr(error, name) for name in attributes]
    assert "test_failures.py" in again.stack_trace


def test_any_other_exception_is_an_application_failure():
    """Its type is the class name, so that a RetryPolicy can match it."""
    failure = recorded(KeyError("city"))
    again = exception_of_failure(failure, JSON)
    assert (failure.kind, failure.type_name, failure.headline()) == ("application", "KeyError", "KeyError: 'city'")
    assert (type(again), again.type, str(again)) == (ApplicationError, "KeyError", "KeyError: 'city'")


@pytest.mark.parametrize("error", [asyncio.CancelledError("x"), ActivityCancelled("x"), CancelledError("x")])
def test_every_way_of_being_cancelled_is_one_kind(error):
    """Control flow and error alike are recorded as cancellation."""
    assert recorded(error).kind == "canceled"
    assert recorded(error).type_name == "CancelledError"


def test_the_cause_chain_comes_along():
    """__cause__ before __context__, as Python prints them; `from None` cuts."""

    def chain(cut):
        try:
            try:
                int("x")
            except ValueError as error:
                raise TypeError("wrapped") from error
        except TypeError:
            if cut:
                raise KeyError("last") from None
            raise KeyError("last")  # noqa: B904  the context is what is tested

    for cut, types in ((False, ["KeyError", "TypeError", "ValueError"]), (True, ["KeyError"])):
        with pytest.raises(KeyError) as caught:
            chain(cut)
        error, seen = exception_of_failure(failure_of_exception(caught.value, JSON), JSON), []
        while error is not None:
            seen.append(error.type)
            error = error.cause
        assert seen == types


def test_endless_chains_are_cut():
    """A chain that bites its tail ends after eight causes."""
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    failure, length = failure_of_exception(first, JSON), 0
    while failure.cause is not None:
        failure, length = failure.cause, length + 1
    assert length == 8


def test_no_member_of_a_group_is_lost():
    """Members come along with their own causes; the first stands for the cause; the message names them."""
    inner = ExceptionGroup("inner", [OSError("disk")])
    outer = ExceptionGroup("outer", [ValueError("a"), ActivityError("b", "fetch"), inner])
    failure = recorded(outer)
    assert failure.message == (
        "outer (3 sub-exceptions): ValueError: a; ActivityError: b; "
        "ExceptionGroup: inner (1 sub-exception): OSError: disk"
    )
    assert failure.cause.type_name == "ValueError"
    again = exception_of_failure(failure, JSON)
    assert [type(member).__name__ for member in again.exceptions] == [
        "ApplicationError", "ActivityError", "ApplicationError",
    ]  # fmt: skip
    assert again.exceptions[2].exceptions[0].message == "disk"
    assert failure_of_exception(again, JSON).to_json() == failure.to_json()


def test_a_group_with_a_cause_keeps_both():
    """The cause is the cause; the members are beside it."""
    group = ExceptionGroup("g", [ValueError("a")])
    group.__cause__ = KeyError("why")
    failure = recorded(group)
    assert failure.cause.type_name == "KeyError"
    assert len(failure.info["exceptions"]) == 1


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Endless(Exception):
    def __str__(self):
        return "x" * 5_000_000


def test_a_broken_text_does_not_hide_the_failure():
    """An exception whose __str__ raises is recorded all the same."""
    failure = recorded(Silent())
    assert failure.message == "<Silent, whose __str__ raised RuntimeError>"
    assert failure.type_name == "Silent"


def test_a_huge_text_is_clipped():
    """Megabytes of message stay out of history; head and tail remain."""
    failure = recorded(Endless())
    assert len(failure.message) < 11_000
    assert "(4990000 characters left out)" in failure.message
    assert len(failure.stack_trace) < 51_000


def test_text_that_can_not_be_stored_is_escaped():
    """Half a surrogate pair, as in file names of another encoding, is written as an escape."""
    failure = recorded(FileNotFoundError("caf\udce9"))
    assert failure.message == "caf\\udce9"
    failure.stack_trace.encode()


def test_the_trace_has_the_users_frames_and_notes():
    """nbflow's own frames are left out; notes are kept."""

    def explode():
        error = ValueError("bad")
        error.add_note("while reading Oslo")
        raise error

    with pytest.raises(ValueError, match="bad") as caught:
        explode()
    trace = failure_of_exception(caught.value, JSON).stack_trace
    assert trace.startswith("Traceback (most recent call last):\n")
    assert "in explode\n    raise error\n" in trace
    assert trace.endswith("ValueError: bad\nwhile reading Oslo\n")


def test_an_error_that_was_never_raised_has_no_trace():
    """Nothing is made up."""
    assert failure_of_exception(ValueError("x"), JSON).stack_trace == ""


class Picky(JsonConverter):
    def encode(self, value):
        if "unfit" in value:
            raise PayloadError("unfit can't be encoded")
        return super().encode(value)

    def decode(self, payload):
        if "sealed" in payload.text:
            raise PayloadError("sealed can't be decoded")
        return super().decode(payload)


def test_details_that_can_not_be_encoded_do_not_hide_the_failure():
    """What can't be kept says so in its place."""
    failure = failure_of_exception(ApplicationError("no", "unfit"), Picky())
    assert exception_of_failure(failure, Picky()).details == ("<unfit can't be encoded>",)
    late = failure_of_exception(TimeoutError("late", "HEARTBEAT", "unfit"), Picky())
    assert late.info["last_heartbeat_details"].tree == ["<unfit can't be encoded>"]


def test_details_that_can_not_be_decoded_do_not_hide_the_failure():
    """An untrusted detail is replaced by the reason."""
    failure = Failure(message="no", info={"type": "Odd", "details": Payload('["sealed"]')})
    assert exception_of_failure(failure, Picky()).details == ("<sealed can't be decoded>",)
    late = timeout_failure("HEARTBEAT", "late", Payload('"sealed"'))
    assert exception_of_failure(late, Picky()).last_heartbeat_details == ["<sealed can't be decoded>"]


@pytest.mark.parametrize(("delay", "seconds"), [(5, 5.0), ("2 min", 120.0), (timedelta(seconds=1.5), 1.5)])
def test_the_next_delay_may_be_any_duration(delay, seconds):
    """next_retry_delay is kept in seconds."""
    assert recorded(ApplicationError("no", next_retry_delay=delay)).info["next_retry_delay"] == seconds


def test_a_senseless_delay_does_not_hide_the_failure():
    """The policy's interval is taken, and the record says why."""
    info = recorded(ApplicationError("no", next_retry_delay="soon")).info
    assert "next_retry_delay" not in info
    assert "not a duration: 'soon'" in info["next_retry_delay_error"]


def test_a_users_subclass_keeps_its_name():
    """RetryPolicy can match it; an explicit type goes first, and a class stands for its name."""

    class QuotaError(ApplicationError):
        pass

    assert recorded(QuotaError("no")).type_name == "QuotaError"
    assert recorded(QuotaError("no", type="Quota")).type_name == "Quota"
    assert recorded(ApplicationError("no", type=ValueError)).type_name == "ValueError"
    assert recorded(ApplicationError(404)).message == "404"


def test_an_unraised_error_keeps_the_trace_it_came_with():
    """A failure from history that is recorded again shows where it happened first."""
    failure = recorded(ValueError("x"))
    error = exception_of_failure(failure, JSON)
    assert failure_of_exception(error, JSON).stack_trace == failure.stack_trace
