"""A subscription that charges every 30 days, written as the loop it is, and a year of it in a second."""

from __future__ import annotations

import nbflow
from nbflow import RetryPolicy, activity, activity_info, workflow
from nbflow.exceptions import ActivityError
from nbflow.testing import WorkflowEnvironment

CHARGES = """
    SELECT input->>'$[1]' AS month, attempt AS attempts, status,
           date_diff('day', min(scheduled_time) OVER (), close_time) AS day
    FROM activities WHERE activity_type = 'charge' ORDER BY scheduled_event_id
"""


class CardDeclinedError(Exception):
    """The bank says no, for now."""


@activity(retry=RetryPolicy(initial_interval="1 day", backoff_coefficient=1, maximum_attempts=3))
def charge(customer: str, month: int) -> float:
    """Charge one month. In month 4 the card works on the second day, after month 9 it never does."""
    if month > 9 or (month == 4 and activity_info().attempt == 1):
        raise CardDeclinedError(customer)
    return 9.5


@activity
def say_goodbye(customer: str, months: int) -> None:
    """Write a letter. What an activity prints is in the log."""
    print(f"Dear {customer}, thank you for {months} months.")


@workflow
def subscription(customer: str) -> float:
    """Charge until the card is declined three days running."""
    paid = 0.0
    months = 0
    while True:
        try:
            paid += charge(customer, months + 1)
        except ActivityError:
            break
        months += 1
        nbflow.sleep("30 days")
    say_goodbye(customer, months)
    return paid


def main() -> None:
    """Run a subscription to its end on a clock that skips to the next deadline."""
    with WorkflowEnvironment():
        print(f"paid in all: {subscription('Ines'):.2f}")
        print(nbflow.sql("SELECT message FROM logs").to_string(index=False, header=False))
        print(nbflow.sql(CHARGES).to_string(index=False))


if __name__ == "__main__":
    main()
