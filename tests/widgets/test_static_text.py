"""Plain text: the same facts for terminals and logs."""

from __future__ import annotations

from nbflow.widgets.static_text import execution_text, facts_text, progress_text

GROUP = {
    "activity_type": "fetch",
    "total": 36,
    "done": 12,
    "states": {"Completed": 11, "Failed": 1},
    "retried": 2,
    "retries": 3,
}
PROGRESS = {
    "workflow_id": "report-2026-11", "status": "Running", "retries": 3, "seconds": 8.0, "is_waited_for": True,
    "next_timer": {"label": "nap", "fire_time": "2026-11-02T12:04:10+00:00", "seconds": 20.0}, "groups": [GROUP],
}  # fmt: skip


def test_an_execution_is_told_in_a_few_lines(full_view):
    """Status, activities with attempts, timers and the failure with its causes are there."""
    assert execution_text(full_view).split("\n") == [
        "► Running  report-2026-11  (workflow report, for 1 m 30 s)",
        "  run 01a204ec-b9c4-7648-b63c-23b09adc4ab9, started 2026-11-02 12:00:00 UTC, 108 events",
        "  waiting for 3 activities and a timer (wait for corrections)",
        '  result {"rows":3}',
        "  parked: DefinitionError: the source is gone",
        "  failure  ActivityError: activity fetch failed",
        "    caused by ConnectionError: 503",
        "  activity fetch: 36/40 done, 1 failed, 1 running, 1 to retry, 1 waiting, 3 retried",
        "    failed: event 36, attempt 4: ConnectionError: 503 Service Unavailable",
        "    to retry: event 37, attempt 2: ConnectionError: 503, next attempt 2026-11-02 12:04:05 UTC",
        "  timer wait for corrections: fires 2026-12-02 12:00:00 UTC",
    ]


def test_a_line_of_progress_says_how_far_it_is():
    """Status, activities, retries, the next timer and the seconds waited."""
    assert progress_text([PROGRESS], {}) == (
        "► report-2026-11 Running · fetch 12/36 (1 failed) · 3 retries · next timer 12:04:10 UTC · 8.0 s"
    )


def test_a_timer_on_another_day_is_shown_with_its_date():
    """A time of day alone would mislead."""
    later = PROGRESS | {"next_timer": PROGRESS["next_timer"] | {"seconds": 86400.0}}
    assert "next timer 2026-11-02 12:04:10 UTC" in progress_text([later], {})


def test_a_line_says_when_nobody_waits_any_more():
    """What a saved notebook keeps of an interrupted wait does not look as if it were still going on."""
    assert progress_text([PROGRESS | {"is_waited_for": False}], {}).endswith("stopped waiting after 8.0 s")
    closed = PROGRESS | {"is_waited_for": False, "status": "Completed"}
    assert progress_text([closed], {}).endswith("· 8.0 s")


def test_executions_without_a_line_are_counted():
    """A cell that waits for a hundred shows a few."""
    assert progress_text([PROGRESS], {"Running": 55, "Completed": 40}).endswith(
        "\nand 95 more: 40 Completed, 55 Running"
    )


def test_control_characters_of_a_value_do_not_reach_the_terminal(full_view):
    """An id can't move the cursor or colour the screen."""
    text = execution_text(full_view | {"workflow_id": "a\x1b[2Jb\rc\nd"})
    assert "a [2Jb c d" in text
    assert "\x1b" not in facts_text("t", [("name", "\x1b[31mred")])
