"""Tests of the order workflow: two days take milliseconds, and no bank is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from orders import charge, process_order, refund

from nbflow.exceptions import WorkflowFailedError
from nbflow.testing import ActivityMock, WorkflowEnvironment, replay_check

HISTORIES = Path(__file__).parent / "histories" / "orders.json"


@pytest.fixture
def bank(nbflow_env: WorkflowEnvironment) -> Iterator[ActivityMock]:
    """A bank that says yes."""
    with nbflow_env.mock(charge, side_effect=lambda order, amount: f"receipt-{order}-{amount:g}") as mock:
        yield mock


def test_an_order_ships_after_two_days(nbflow_env: WorkflowEnvironment, bank: ActivityMock) -> None:
    """Nobody cancels: the clock skips over the two days while the test waits for the result."""
    before = nbflow_env.now()
    assert process_order("A1", 20.0) == "track-A1"
    assert nbflow_env.now() - before >= timedelta(days=2)
    assert [call.args for call in bank.calls] == [("A1", 20.0)]


@pytest.mark.usefixtures("bank")
def test_a_customer_cancels_in_time(nbflow_env: WorkflowEnvironment) -> None:
    """A signal on the second day: the money goes back."""
    handle = process_order.start("A2", 20.0)
    with nbflow_env.mock(refund) as refunds:
        nbflow_env.sleep("1 day")
        handle.signal("cancelled")
        assert handle.result() == "refunded"
    assert refunds.calls[0].args == ("receipt-A2-20",)


def test_the_bank_is_down_for_a_moment(nbflow_env: WorkflowEnvironment) -> None:
    """Two attempts fail, the third is answered; the policy's minutes are skipped."""
    with nbflow_env.mock(charge, side_effect=[ConnectionError("down"), ConnectionError("down"), "r3"]) as bank:
        assert process_order("A3", 20.0) == "track-A3"
    assert [call.attempt for call in bank.calls] == [1, 2, 3]


def test_the_bank_is_down_for_good(nbflow_env: WorkflowEnvironment) -> None:
    """After five attempts the order fails, and nothing is shipped."""
    with nbflow_env.mock(charge, raises=ConnectionError("down")) as bank, pytest.raises(WorkflowFailedError):
        process_order("A4", 20.0)
    assert len(bank.calls) == 5


def test_an_order_survives_a_crash(nbflow_env: WorkflowEnvironment, bank: ActivityMock) -> None:
    """The process dies while the order waits; the card is charged once all the same."""
    process_order.options(id="order-A5").start("A5", 20.0)
    nbflow_env.sleep("1 day")
    nbflow_env.restart(crash=True)
    assert nbflow_env.get("order-A5").result() == "track-A5"
    assert len(bank.calls) == 1


def test_todays_code_fits_the_orders_under_way() -> None:
    """Executions kept from production replay: an edit that would break them fails here."""
    assert replay_check(HISTORIES, process_order).replayed.total() == 3
