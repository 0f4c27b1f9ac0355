"""The workflows that are simulated: every way in which an execution waits, each deterministic in what it records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nbflow
from nbflow import RetryPolicy, activity, workflow
from nbflow.client import WorkflowHandle
from nbflow.exceptions import ActivityError, WorkflowFailedError

QUICK = RetryPolicy(initial_interval=0.01)
ran: list[tuple[str, int]] = []
"""Every attempt that began: idempotency key and number."""


def note() -> int:
    """Note that an attempt began; return its number."""
    info = nbflow.activity_info()
    ran.append((info.idempotency_key, info.attempt))
    return info.attempt


@activity(retry=QUICK)
def double(x: int) -> int:
    """Double."""
    note()
    return 2 * x


@activity(retry=QUICK)
async def adouble(x: int) -> int:
    """Double, on the loop."""
    note()
    return 2 * x


@activity(retry=QUICK)
def stumbling(x: int) -> int:
    """Fail in the first attempt."""
    if note() == 1:
        msg = "first attempts fail"
        raise ConnectionError(msg)
    return x


@activity(retry=1)
def refusing() -> None:
    """Fail for good."""
    note()
    msg = "never"
    raise ConnectionError(msg)


@activity(retry=QUICK)
def large() -> str:
    """Return a value that is stored apart."""
    note()
    return "x" * 300_000


@workflow
def sequential() -> int:
    """Three steps."""
    return double(double(double(1)))


@workflow
async def sequential_async() -> int:
    """Three steps on the loop."""
    return await adouble(await adouble(await adouble(1)))


@workflow
def fan_out() -> list[int]:
    """Five steps at once."""
    return double.map(range(5))


@workflow
def sleeping() -> int:
    """Sleep between steps."""
    nbflow.sleep("1 hour")
    first = double(1)
    nbflow.sleep("30 days")
    return double(first)


@workflow
def retrying() -> int:
    """An activity that fails first."""
    return stumbling(3) + stumbling(4)


@workflow
def failing() -> str:
    """Handle one failure, and fail by another."""
    try:
        refusing()
    except ActivityError:
        double(1)
    return str(refusing())


@workflow
def signalled() -> list[Any]:
    """Work between two signals."""
    first = nbflow.wait_for_signal("told")
    double(1)
    return [first, nbflow.wait_for_signal("told")]


@workflow
async def expiring() -> int:
    """Start a timer that is cancelled, and one that expires a wait."""
    async with asyncio.timeout(3600):
        value = await adouble(2)
    try:
        await nbflow.wait_condition(lambda: False, timeout=60)
    except TimeoutError:
        value += await adouble(10)
    return value


@workflow
def chance() -> list[Any]:
    """Random numbers and a side effect, around a step."""
    drawn = [nbflow.random().random(), nbflow.side_effect(lambda: 7)]
    double(1)
    return [len({*drawn, nbflow.random().random()}), drawn[1]]


@workflow
def values() -> int:
    """A large value there and back."""
    return len(large()) + len(large())


@workflow(start_delay="2 hours")
def delayed() -> int:
    """Begin late."""
    return double(5)


@workflow
def cancelled() -> None:
    """Clean up when cancelled."""
    try:
        nbflow.sleep("100 days")
    finally:
        double(1)


@dataclass(frozen=True)
class Shape:
    """A workflow, what is told to it from outside, and what comes of it."""

    definition: Any
    expected: Any
    drive: Callable[[WorkflowHandle], None] = lambda handle: None

    @property
    def name(self) -> str:
        """The workflow's name."""
        return str(self.definition.name)


def tell_twice(handle: WorkflowHandle) -> None:
    """Send what has not been sent yet."""
    sent = [event for event in handle.history() if type(event).__name__ == "WorkflowExecutionSignaled"]
    for number in range(len(sent), 2):
        handle.signal("told", number)


def cancel(handle: WorkflowHandle) -> None:
    """Ask for the end; nothing happens if that was done."""
    handle.cancel()


def outcome_of(handle: WorkflowHandle) -> Any:
    """Return the result, or the status of an execution that has none."""
    try:
        return handle.result(timeout=20)
    except WorkflowFailedError as error:
        return error.status


SHAPES = [
    Shape(sequential, 8),
    Shape(sequential_async, 8),
    Shape(fan_out, [0, 2, 4, 6, 8]),
    Shape(sleeping, 4),
    Shape(retrying, 7),
    Shape(failing, "Failed"),
    Shape(signalled, [0, 1], tell_twice),
    Shape(expiring, 24),
    Shape(chance, [3, 7]),
    Shape(values, 600_000),
    Shape(delayed, 10),
    Shape(cancelled, "Canceled", cancel),
]
