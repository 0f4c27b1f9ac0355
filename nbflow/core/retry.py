"""RetryPolicy: whether a failed attempt is followed by another, and when. Arithmetic only.

Fields, defaults and arithmetic are Temporal's (``service/history/workflow/retry.go``). One default
is our own: the exact built-in programming errors are non-retryable, since no retry mends a typo.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nbflow.core.durations import Duration, parse_duration
from nbflow.core.failures import APPLICATION, Failure, RetryState, TimeoutType
from nbflow.exceptions import ConfigurationError

__all__ = ["PROGRAMMING_ERRORS", "GiveUp", "RetryAfter", "RetryPolicy", "next_attempt"]

PROGRAMMING_ERRORS: tuple[str, ...] = (
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "ImportError",
    "IndentationError",
    "IndexError",
    "KeyError",
    "LookupError",
    "ModuleNotFoundError",
    "NameError",
    "NotImplementedError",
    "PayloadError",
    "RecursionError",
    "SyntaxError",
    "TypeError",
    "UnboundLocalError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UntrustedPayloadError",
    "ValueError",
    "ZeroDivisionError",
)
"""Exact class names that the default policy does not retry."""


@dataclass(frozen=True)
class RetryPolicy:
    """How an activity is retried.

    Parameters
    ----------
    initial_interval
        Delay before the second attempt. Default 1 s.
    backoff_coefficient
        The interval grows by this factor each time. Default 2.0.
    maximum_interval
        The interval grows no further. Default 100 times ``initial_interval``.
    maximum_attempts
        How many attempts in all; 0 means no limit. Default 0.
    non_retryable_error_types
        Exact class names of errors that are not retried. Default: built-in programming errors
        (:data:`PROGRAMMING_ERRORS`); pass ``()`` to retry those too.

    Raises
    ------
    ConfigurationError
        When a value makes no sense.
    """

    initial_interval: Duration = 1.0
    backoff_coefficient: float = 2.0
    maximum_interval: Duration | None = None
    maximum_attempts: int = 0
    non_retryable_error_types: Iterable[str] = field(default=PROGRAMMING_ERRORS)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "initial_interval", parse_duration(self.initial_interval))
        if self.maximum_interval is not None:
            set_field(self, "maximum_interval", parse_duration(self.maximum_interval))
        if isinstance(self.non_retryable_error_types, str):
            msg = f"non_retryable_error_types wants class names, as in ['{self.non_retryable_error_types}']"
            raise ConfigurationError(msg)
        set_field(self, "non_retryable_error_types", tuple(map(_class_name, self.non_retryable_error_types)))
        self._validate()

    def _validate(self) -> None:
        attempts: object = self.maximum_attempts
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 0:
            msg = f"maximum_attempts must be a whole number, 0 (no limit) or more: {self.maximum_attempts!r}"
            raise ConfigurationError(msg)
        if not 1 <= self.backoff_coefficient < float("inf"):
            msg = f"backoff_coefficient must be a number, 1 or more: {self.backoff_coefficient!r}"
            raise ConfigurationError(msg)
        if self.initial_seconds <= 0:
            msg = f"initial_interval must be more than 0: {self.initial_interval!r}"
            raise ConfigurationError(msg)
        if self.maximum_seconds < self.initial_seconds:
            msg = f"maximum_interval {self.maximum_interval!r} is less than initial_interval {self.initial_interval!r}"
            raise ConfigurationError(msg)

    @property
    def initial_seconds(self) -> float:
        """``initial_interval`` in seconds."""
        return parse_duration(self.initial_interval)

    @property
    def maximum_seconds(self) -> float:
        """``maximum_interval`` in seconds, its default filled in."""
        return 100 * self.initial_seconds if self.maximum_interval is None else parse_duration(self.maximum_interval)

    def interval_after(self, attempt: int) -> float:
        """Return the delay after an attempt.

        Parameters
        ----------
        attempt
            The attempt that failed, counted from 1.

        Returns
        -------
        float
            Seconds.
        """
        try:
            interval = self.initial_seconds * self.backoff_coefficient ** (attempt - 1)
        except OverflowError:
            return self.maximum_seconds
        return min(interval, self.maximum_seconds)

    def to_json(self) -> dict[str, Any]:
        """Write it as history keeps it: durations in seconds."""
        return {
            "initial_interval": self.initial_seconds,
            "backoff_coefficient": self.backoff_coefficient,
            "maximum_interval": self.maximum_seconds,
            "maximum_attempts": self.maximum_attempts,
            "non_retryable_error_types": None
            if self.non_retryable_error_types == PROGRAMMING_ERRORS
            else list(self.non_retryable_error_types),
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> RetryPolicy:
        """Read it back."""
        names = tree.get("non_retryable_error_types")
        return cls(
            initial_interval=tree.get("initial_interval", 1.0),
            backoff_coefficient=tree.get("backoff_coefficient", 2.0),
            maximum_interval=tree.get("maximum_interval"),
            maximum_attempts=tree.get("maximum_attempts", 0),
            non_retryable_error_types=PROGRAMMING_ERRORS if names is None else names,
        )


def _class_name(name: str | type) -> str:
    return name if isinstance(name, str) else name.__name__


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Another attempt follows after ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No attempt follows; ``retry_state`` says why."""

    retry_state: str


def next_attempt(
    policy: RetryPolicy, attempt: int, failure: Failure, elapsed: float = 0.0, schedule_to_close: float | None = None
) -> RetryAfter | GiveUp:
    """Decide what follows a failed attempt.

    Parameters
    ----------
    policy
        The activity's policy.
    attempt
        The attempt that failed, counted from 1.
    failure
        How it failed.
    elapsed
        Seconds since the activity was scheduled.
    schedule_to_close
        The activity's schedule-to-close timeout in seconds, or None.

    Returns
    -------
    RetryAfter or GiveUp
        What to do next. A delay that would end after schedule-to-close is not waited for
        (``RetryState.TIMEOUT``), as on Temporal's server.
    """
    if not _is_retryable(policy, failure):
        return GiveUp(RetryState.NON_RETRYABLE_FAILURE)
    if policy.maximum_attempts and attempt >= policy.maximum_attempts:
        return GiveUp(RetryState.MAXIMUM_ATTEMPTS_REACHED)
    delay = policy.interval_after(attempt)
    chosen = failure.info.get("next_retry_delay") if failure.kind == APPLICATION else None
    if chosen is not None:
        delay = float(chosen)
    if schedule_to_close is not None and elapsed + delay >= schedule_to_close:
        return GiveUp(RetryState.TIMEOUT)
    return RetryAfter(delay)


def _is_retryable(policy: RetryPolicy, failure: Failure) -> bool:
    names = tuple(policy.non_retryable_error_types)
    match failure.kind:
        case "canceled" | "terminated":
            return False
        case "timeout":
            timeout_type = failure.info.get("timeout_type")
            if timeout_type in (TimeoutType.SCHEDULE_TO_START, TimeoutType.SCHEDULE_TO_CLOSE):
                return False
            return _TIMEOUT_NAMES.get(str(timeout_type), "") not in names
        case "application":
            return not failure.info.get("non_retryable") and str(failure.info.get("type")) not in names
    return True


_TIMEOUT_NAMES = {
    TimeoutType.START_TO_CLOSE: "TemporalTimeout:StartToClose",
    TimeoutType.HEARTBEAT: "TemporalTimeout:Heartbeat",
}
