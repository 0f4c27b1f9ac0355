"""An order: the card is charged, the customer may cancel for two days, then it is shipped."""

from __future__ import annotations

import nbflow
from nbflow import RetryPolicy, activity, workflow


@activity(retry=RetryPolicy(maximum_attempts=5, initial_interval="1 minute"), start_to_close_timeout="30s")
def charge(order: str, amount: float) -> str:
    """Ask the bank; returns the receipt."""
    msg = f"the bank's service is not part of this example: {order}, {amount:.2f}"
    raise ConnectionError(msg)


@activity
def refund(receipt: str) -> None:
    """Give the money back."""
    print(f"refunded {receipt}")


@activity
def ship(order: str) -> str:
    """Send it; returns the tracking number."""
    return f"track-{order}"


@workflow
def process_order(order: str, amount: float) -> str:
    """Charge, wait two days for a change of mind, ship."""
    receipt = charge(order, amount)
    try:
        nbflow.wait_for_signal("cancelled", timeout="2 days")
    except TimeoutError:
        return ship(order)
    refund(receipt)
    return "refunded"
