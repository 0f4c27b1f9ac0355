"""RetryPolicy: Temporal's arithmetic, and what is not retried."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.failures import APPLICATION, CANCELED, Failure, RetryState, TimeoutType, timeout_failure
from nbflow.core.retry import PROGRAMMING_ERRORS, GiveUp, RetryAfter, RetryPolicy, next_attempt
from nbflow.exceptions import ConfigurationError


def failed(type_="ConnectionError", **info):
    return Failure(message="no", kind=APPLICATION, info={"type": type_, **info})


def test_the_defaults_are_temporals():
    """1 s, doubled, at most 100 times the first, without end."""
    policy = RetryPolicy()
    assert [policy.interval_after(attempt) for attempt in (1, 2, 3, 7, 8, 5000)] == [1, 2, 4, 64, 100, 100]
    assert policy.maximum_attempts == 0


@given(
    st.floats(0.001, 1e4),
    st.floats(1, 10),
    st.integers(1, 2000),
)
def test_intervals_grow_up_to_the_maximum(initial, coefficient, attempt):
    """No interval is less than the one before, or more than the maximum."""
    policy = RetryPolicy(initial_interval=initial, backoff_coefficient=coefficient)
    now, later = policy.interval_after(attempt), policy.interval_after(attempt + 1)
    assert initial <= now <= later <= policy.maximum_seconds == 100 * initial


def test_durations_and_classes_may_be_given():
    """Intervals as durations, error types as classes."""
    policy = RetryPolicy("1m", 2, timedelta(hours=1), 3, [KeyError, "Odd"])
    assert (policy.initial_seconds, policy.maximum_seconds) == (60, 3600)
    assert policy.non_retryable_error_types == ("KeyError", "Odd")


@pytest.mark.parametrize(
    "fields",
    [
        {"backoff_coefficient": 0.5},
        {"backoff_coefficient": float("nan")},
        {"backoff_coefficient": float("inf")},
        {"initial_interval": 0},
        {"initial_interval": -1},
        {"initial_interval": 10, "maximum_interval": 5},
        {"maximum_attempts": -1},
        {"maximum_attempts": True},
        {"maximum_attempts": 1.5},
        {"non_retryable_error_types": "ValueError"},
    ],
)
def test_senseless_policies_are_refused(fields):
    """Each senseless value is named."""
    with pytest.raises(ConfigurationError):
        RetryPolicy(**fields)


@given(
    st.builds(
        RetryPolicy,
        initial_interval=st.floats(0.1, 10),
        maximum_interval=st.none() | st.floats(10, 1000),
        maximum_attempts=st.integers(0, 50),
        non_retryable_error_types=st.lists(st.sampled_from(["A", "B"])) | st.just(PROGRAMMING_ERRORS),
    )
)
def test_a_policy_survives_history(policy):
    """What history keeps of a policy decides the same."""
    again = RetryPolicy.from_json(policy.to_json())
    assert again.to_json() == policy.to_json()
    assert [again.interval_after(n) for n in range(1, 9)] == [policy.interval_after(n) for n in range(1, 9)]
    assert again.non_retryable_error_types == policy.non_retryable_error_types


def test_attempts_are_counted():
    """maximum_attempts is how many there are in all."""
    policy = RetryPolicy(maximum_attempts=3)
    assert next_attempt(policy, 2, failed()) == RetryAfter(2.0)
    assert next_attempt(policy, 3, failed()) == GiveUp(RetryState.MAXIMUM_ATTEMPTS_REACHED)


@pytest.mark.parametrize("name", ["KeyError", "ZeroDivisionError", "ModuleNotFoundError", "PayloadError"])
def test_programming_errors_are_not_retried(name):
    """Exact class names: a subclass with another name is retried."""
    assert next_attempt(RetryPolicy(), 1, failed(name)) == GiveUp(RetryState.NON_RETRYABLE_FAILURE)
    assert next_attempt(RetryPolicy(), 1, failed("My" + name)) == RetryAfter(1.0)
    assert next_attempt(RetryPolicy(non_retryable_error_types=()), 1, failed(name)) == RetryAfter(1.0)


def test_the_error_may_decide():
    """non_retryable and next_retry_delay of ApplicationError go before the policy."""
    assert next_attempt(RetryPolicy(), 1, failed(non_retryable=True)) == GiveUp(RetryState.NON_RETRYABLE_FAILURE)
    assert next_attempt(RetryPolicy(), 5, failed(next_retry_delay=0.5)) == RetryAfter(0.5)


@pytest.mark.parametrize(
    ("timeout_type", "retried"),
    [
        (TimeoutType.START_TO_CLOSE, True),
        (TimeoutType.HEARTBEAT, True),
        (TimeoutType.SCHEDULE_TO_START, False),
        (TimeoutType.SCHEDULE_TO_CLOSE, False),
    ],
)
def test_only_timeouts_of_an_attempt_are_retried(timeout_type, retried):
    """A deadline of the whole activity leaves no time for another attempt."""
    decision = next_attempt(RetryPolicy(), 1, timeout_failure(timeout_type, "late"))
    assert isinstance(decision, RetryAfter) == retried


def test_timeouts_can_be_excluded_by_temporals_names():
    """TemporalTimeout:StartToClose among the non-retryable types stops that timeout's retries."""
    policy = RetryPolicy(non_retryable_error_types=["TemporalTimeout:StartToClose"])
    assert isinstance(next_attempt(policy, 1, timeout_failure(TimeoutType.START_TO_CLOSE, "late")), GiveUp)
    assert isinstance(next_attempt(policy, 1, timeout_failure(TimeoutType.HEARTBEAT, "late")), RetryAfter)


def test_a_cancelled_attempt_is_not_retried():
    """Cancellation ends an activity."""
    assert isinstance(next_attempt(RetryPolicy(), 1, Failure(message="", kind=CANCELED)), GiveUp)


def test_no_delay_beyond_schedule_to_close():
    """An attempt that could only begin after the deadline is not waited for."""
    assert next_attempt(RetryPolicy(), 3, failed(), elapsed=5, schedule_to_close=9.5) == RetryAfter(4.0)
    assert next_attempt(RetryPolicy(), 3, failed(), elapsed=6, schedule_to_close=9.5) == GiveUp(RetryState.TIMEOUT)
