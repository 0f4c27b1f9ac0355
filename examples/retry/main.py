"""A service that is down for a while, and a mistake that no retry mends."""

from __future__ import annotations

import nbflow
from nbflow import RetryPolicy, activity, activity_info, workflow
from nbflow.exceptions import ActivityError

PRICES = {"OSE": 101.5, "BRI": 44.25}

ATTEMPTS = """
    SELECT input->>'$[0]' AS symbol, t.attempt, outcome, coalesce(t.failure_type, '') AS error
    FROM attempts t JOIN activities USING (run_id, scheduled_event_id)
    ORDER BY scheduled_event_id, t.attempt
"""


@activity(retry=RetryPolicy(initial_interval="50ms", maximum_attempts=5))
def quote(symbol: str) -> float:
    """Ask for a price. The service drops the first three calls."""
    if activity_info().attempt <= 3:
        raise ConnectionError("the line is down")
    return PRICES[symbol]


@workflow
def value(holdings: dict[str, int]) -> dict[str, float | None]:
    """Value each holding, None where there is no price."""
    values: dict[str, float | None] = {}
    for symbol, count in holdings.items():
        try:
            values[symbol] = count * quote(symbol)
        except ActivityError:
            values[symbol] = None
    return values


def main() -> None:
    """Value three holdings, then show every attempt it took."""
    nbflow.open(":memory:")
    print(value({"OSE": 10, "XXX": 1, "BRI": 4}))
    print(nbflow.sql(ATTEMPTS).to_string(index=False))


if __name__ == "__main__":
    main()
