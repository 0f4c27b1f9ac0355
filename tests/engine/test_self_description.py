"""Search attributes, memo, details and summaries, seen from outside."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import nbflow
from nbflow import activity, workflow
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, wait_until


@activity(summary="look it up")
def sights_of(city: str) -> int:
    """Count them."""
    return len(city)


@workflow
def tour() -> Any:
    """Go from city to city."""
    nbflow.set_details("waiting for a **city**")
    while (city := nbflow.wait_for_signal("go", timeout="1 day", summary="the next city")) != "home":
        when = datetime(2026, 5, 1, 12, tzinfo=UTC)
        nbflow.upsert_search_attributes({"city": city, "stars": sights_of(city), "since": when, "draft": None})
        nbflow.upsert_memo({"seen": {city: True}, "draft": None})
        nbflow.set_details(f"in **{city}**")
    return nbflow.info().search_attributes


FIRST = {"memo": {"by": "train", "draft": 1}, "search_attributes": {"draft": True, "guide": "Ines"}}


@pytest.mark.usefixtures("env")
def test_sql_sees_what_executions_say_of_themselves() -> None:
    """The view merges what was given at start with what changed it, and can be searched by it."""
    handle = tour.options(**FIRST, summary="a tour").start()
    tour.options(id="other", search_attributes={"city": "Bergen"}).start()
    handle.signal("go", "Rome")
    handle.signal("go", "Oslo")
    handle.signal("go", "home")
    handle.result(timeout=5)
    rows = handle._client.rows("SELECT * FROM executions WHERE search_attributes ->> 'city' = 'Oslo'")
    assert [row["workflow_id"] for row in rows] == [handle.workflow_id]
    assert rows[0]["summary"] == "a tour"
    found = nbflow.executions("(search_attributes ->> 'city') = 'Oslo' AND (search_attributes ->> 'stars')::INT = 4")
    assert found["memo"].tolist() == ['{"by":"train","seen":{"Oslo":true}}']
    since = nbflow.sql("SELECT (search_attributes ->> 'since')::TIMESTAMPTZ AS since FROM executions WHERE run_id = $r",
                       r=handle.run_id)  # fmt: skip
    assert since["since"][0] == datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert nbflow.executions("search_attributes ->> 'city' = 'Bergen'")["workflow_id"].tolist() == ["other"]


@pytest.mark.usefixtures("env")
def test_the_next_run_takes_over_what_was_said() -> None:
    """An execution that continues as new keeps search attributes and memo as they are by then."""

    @workflow
    def relays(turn: int = 0) -> Any:
        if turn == 0:
            nbflow.upsert_search_attributes({"turn": 1, "draft": None})
            nbflow.upsert_memo({"draft": None, "by": "bus"})
            nbflow.continue_as_new(1)
        return nbflow.info().search_attributes, nbflow.info().memo

    handle = relays.options(**FIRST).start()
    assert handle.result(timeout=5) == ({"guide": "Ines", "turn": 1}, {"by": "bus"})
    rows = nbflow.executions("(search_attributes ->> 'turn') = '1' AND (memo ->> 'by') = 'bus'")
    assert sorted(rows["status"]) == ["Completed", "ContinuedAsNew"]


@pytest.mark.usefixtures("env")
def test_summaries_are_in_the_views() -> None:
    """Of activities, and of the timer of a wait; of executions above."""
    handle = tour.start()
    handle.signal("go", "Rome")
    handle.signal("go", "home")
    assert handle.result(timeout=5)["city"] == "Rome"
    assert nbflow.sql("SELECT DISTINCT summary FROM activities")["summary"].tolist() == ["look it up"]
    assert nbflow.sql("SELECT DISTINCT summary FROM timers")["summary"].tolist() == ["the next city"]


def test_details_and_stacks_outlive_the_process(tmp_path: Path) -> None:
    """Details are rebuilt by replay, also of a closed execution; the stack says where it waits."""
    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        handle = tour.options(id="t").start()
        assert handle.details == "waiting for a **city**"
        handle.signal("go", "Rome")
        wait_until(lambda: handle.details == "in **Rome**")
        before = event_types(handle)
    with WorkflowEnvironment(tmp_path / "s.duckdb"):
        handle = nbflow.get("t")
        assert handle.details == "in **Rome**"
        assert 'in tour\n    while (city := nbflow.wait_for_signal("go"' in handle.stack_trace()
        assert event_types(handle) == before
        handle.signal("go", "home")
        handle.result(timeout=5)
        assert (handle.details, handle.stack_trace()) == ("in **Rome**", "")
