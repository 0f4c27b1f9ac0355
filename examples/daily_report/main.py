"""A report each working day at nine in Oslo: through summer time, Easter, and a week without a computer."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import nbflow
from nbflow import activity, workflow
from nbflow.testing import WorkflowEnvironment

OSLO = ZoneInfo("Europe/Oslo")
EASTER = ["2026-04-02", "2026-04-03", "2026-04-06"]

RUNS = """
    SELECT strftime(start_time, '%a %m-%d %H:%M UTC') AS started, right(workflow_id, 20) AS for_time, result
    FROM executions ORDER BY executions.start_time, workflow_id
"""


@activity
def sales_of(day: str) -> int:
    """Ask the shop; here each day sells its date."""
    return int(day[8:10])


@workflow
def daily_report(shop: str) -> dict:
    """Report the day's sales, and all sales so far: those of the run before, and one day more."""
    day = str(nbflow.info().search_attributes["TemporalScheduledStartTime"])[:10]
    before = nbflow.info().last_completion_result or {"total": 0}
    return {"shop": shop, "total": before["total"] + sales_of(day)}


def live(store: Path, begin: str, days: int) -> None:
    """Run the cell that makes the schedule, and let days pass."""
    with WorkflowEnvironment(store, start=datetime.fromisoformat(begin).replace(tzinfo=OSLO)) as env:
        schedule = nbflow.schedule(
            "daily",
            daily_report,
            "Oslo",
            cron="0 9 * * MON-FRI",
            timezone="Europe/Oslo",
            skip=EASTER,
            overlap="buffer_all",
        )
        env.sleep(f"{days} days")
        print(f"{env.now().astimezone(OSLO):%a %d %b}: next report {schedule.next_times(1)[0]:%a %d %b %H:%M %Z}")


def main() -> None:
    """Two weeks of reports, a week with the computer off, and two days more, in about a second."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "reports.duckdb"
        live(store, "2026-03-26", days=14)
        live(store, "2026-04-16", days=2)
        with WorkflowEnvironment(store, start=datetime(2026, 4, 18, 12, tzinfo=OSLO)):
            print(nbflow.sql(RUNS).to_string(index=False))


if __name__ == "__main__":
    main()
