"""A trip of three bookings: when one fails, those before it are cancelled in reverse order."""

from __future__ import annotations

import nbflow
from nbflow import RetryPolicy, activity, activity_info, workflow
from nbflow.exceptions import ActivityError

BOOKED: dict[str, str] = {}  # what the outside world has on its books: key -> booking

WHAT_HAPPENED = """
    SELECT activity_type, a.attempt AS attempts, status, coalesce(message, '') AS message
    FROM activities a LEFT JOIN logs USING (run_id, scheduled_event_id)
    ORDER BY scheduled_event_id
"""


@activity(retry=RetryPolicy(initial_interval="20ms", maximum_attempts=3))
def book(what: str, traveller: str) -> str:
    """Book one thing and return its key. There is no car to be had."""
    if what == "car":
        raise RuntimeError("no car left")
    key = activity_info().idempotency_key  # the same in every attempt, so a retry can't book twice
    BOOKED[key] = f"{what} for {traveller}"
    print(f"booked {BOOKED[key]}")
    return key


@activity
def cancel(key: str) -> None:
    """Cancel a booking. Cancelling twice is harmless."""
    if key in BOOKED:
        print(f"cancelled {BOOKED.pop(key)}")


@workflow
def trip(traveller: str) -> str:
    """Book everything or nothing."""
    keys: list[str] = []
    try:
        for what in ("flight", "hotel", "car"):
            keys.append(book(what, traveller))
    except ActivityError as error:
        for key in reversed(keys):
            cancel(key)
        return f"no trip: {error.cause}"
    return "have a good trip"


def main() -> None:
    """Try to book a trip, then show what is left and what was done."""
    nbflow.open(":memory:")
    print(trip("Ines"))
    print(f"still booked: {sorted(BOOKED.values())}")
    print(nbflow.sql(WHAT_HAPPENED).to_string(index=False))


if __name__ == "__main__":
    main()
