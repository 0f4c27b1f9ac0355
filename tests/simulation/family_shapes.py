"""Workflows that have to do with one another, to be simulated: children, signals, cancellations, chains of runs."""

from __future__ import annotations

from typing import Any

from sim_shapes import Shape, cancel, double

import nbflow
from nbflow import RetryPolicy, workflow
from nbflow.exceptions import ApplicationError, ChildWorkflowError


@workflow
def doubling_child(x: int) -> int:
    """One step."""
    return double(x)


@workflow
def listening_child() -> Any:
    """Wait for two words."""
    return [nbflow.wait_for_signal("word"), nbflow.wait_for_signal("word")]


@workflow
def refusing_child() -> None:
    """Fail."""
    msg = "no"
    raise ConnectionError(msg)


@workflow
def careful_child() -> None:
    """Clean up when cancelled."""
    try:
        nbflow.sleep("100 days")
    finally:
        double(1)


@workflow
def parent_of_three() -> list[int]:
    """Children one after the other, and two at once."""
    return [doubling_child(1), *doubling_child.map([2, 3])]


@workflow
def parent_that_talks() -> Any:
    """Signal a child, and somebody who is not there."""
    child = listening_child.start()
    child.signal("word", 1)
    try:
        nbflow.get_handle("nobody").signal("word")
    except ApplicationError as error:
        child.signal("word", error.type)
    return child.result()


@workflow
def parent_of_refusing() -> str:
    """Handle a child's failure."""
    try:
        refusing_child()
    except ChildWorkflowError as error:
        return str(error.__cause__)
    return ""


@workflow
def parent_that_is_cancelled() -> None:
    """Wait for a child that cleans up."""
    careful_child()


@workflow
async def parent_that_leaves() -> str:
    """Leave a child for each policy behind, one not even started, and a signal on its way."""
    ending = careful_child.options(id="ending").start()
    asked = careful_child.options(id="asked", parent_close_policy="REQUEST_CANCEL").start()
    listening = listening_child.options(id="listening", parent_close_policy="ABANDON").start()
    for child in (ending, asked, listening):
        await child.started()
    doubling_child.options(id="sent off", parent_close_policy="ABANDON").start(5)
    listening.signal("word", "a")
    nbflow.get_handle("listening").signal("word", "b")
    return "left"


@workflow
def turning(page: int) -> int:
    """Go on as a new run, twice."""
    double(page)
    if page < 2:
        nbflow.continue_as_new(page + 1)
    return page


@workflow(retry=RetryPolicy(initial_interval="1 h", maximum_attempts=3))
def stubborn() -> int:
    """Fail twice."""
    attempt = nbflow.info().attempt
    double(attempt)
    if attempt < 3:
        msg = "again"
        raise ConnectionError(msg)
    return attempt


@workflow
def parent_of_chains() -> list[int]:
    """Children that take several runs."""
    return [turning(0), stubborn()]


FAMILIES = [
    Shape(parent_of_three, [2, 4, 6]),
    Shape(parent_that_talks, [1, "ExternalWorkflowExecutionNotFound"]),
    Shape(parent_of_refusing, "ConnectionError: no"),
    Shape(parent_that_is_cancelled, "Canceled", cancel),
    Shape(parent_that_leaves, "left"),
    Shape(parent_of_chains, [2, 3]),
]
