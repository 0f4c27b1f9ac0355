"""A view that has something in every place."""

from __future__ import annotations

import pytest

from nbflow.widgets.view_models import ExecutionView


@pytest.fixture
def full_view() -> ExecutionView:
    """Return a view with activities, timers, signals, a failure and a problem."""
    return {
        "workflow_id": "report-2026-11",
        "run_id": "01a204ec-b9c4-7648-b63c-23b09adc4ab9",
        "workflow_type": "report",
        "status": "Running",
        "start_time": "2026-11-02T12:00:00+00:00",
        "close_time": None,
        "duration": 90.0,
        "events": 108,
        "input": '["Oslo"]',
        "result": '{"rows":3}',
        "groups": [
            {
                "activity_type": "fetch",
                "total": 40,
                "done": 37,
                "states": {"Completed": 36, "Failed": 1, "Started": 1, "Backoff": 1, "Scheduled": 1},
                "retried": 3,
                "retries": 5,
            }
        ],
        "activities": [
            {
                "scheduled_event_id": 36,
                "activity_type": "fetch",
                "status": "Failed",
                "attempt": 4,
                "duration": 7.0,
                "input": '["LGA",11]',
                "failure": "ConnectionError: 503 Service Unavailable",
                "next_attempt_time": None,
            },
            {
                "scheduled_event_id": 37,
                "activity_type": "fetch",
                "status": "Backoff",
                "attempt": 2,
                "duration": None,
                "input": '["LGA",12]',
                "failure": "ConnectionError: 503",
                "next_attempt_time": "2026-11-02T12:04:05+00:00",
            },
        ],
        "timers": [{"label": "wait for corrections", "fire_time": "2026-12-02T12:00:00+00:00", "seconds": 2591910.0}],
        "timers_total": 3,
        "signals": {"approve": 2},
        "awaits": "3 activities and a timer (wait for corrections)",
        "failures": [
            {"type": "ActivityError", "message": "activity fetch failed", "stack_trace": ""},
            {"type": "ConnectionError", "message": "503", "stack_trace": 'Traceback:\n  File "cell", line 3'},
        ],
        "problem": "DefinitionError: the source is gone",
    }
