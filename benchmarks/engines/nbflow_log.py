"""W9, nbflow only: questions to a log of millions of events, and the replay of one long history.

A handful of executions is written through the store; SQL then multiplies their rows, with ids and times of
their own, because the store's format is what is asked here and not how fast it is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import nbflow
from benchmarks.measure import Run
from nbflow.core import events as e
from nbflow.core.failures import Failure
from nbflow.core.instance import WorkflowInstance
from nbflow.core.payloads import Payload
from nbflow.core.replay import replay
from nbflow.store import Batch, EventStore
from nbflow.store.codec import Codec

BEGIN = 1_790_000_000_000_000
SECOND = 1_000_000
NOTHING = Payload("null")
FAILURE = Failure(message="503 Service Unavailable", info={"type": "HTTPError"})


class Template:
    """One execution's events, each a second after the one before."""

    def __init__(self, workflow_type: str) -> None:
        self.workflow_type = workflow_type
        self.events: list[e.HistoryEvent] = []
        self.add(
            e.WorkflowExecutionStarted,
            workflow_type=workflow_type,
            workflow_id=workflow_type,
            input=Payload('["Oslo", 2013]'),
            definition_hash="0" * 64,
            random_seed=7,
        )

    def add(self, cls: Callable[..., e.HistoryEvent], **attributes: Any) -> Template:
        number = len(self.events) + 1
        self.events.append(cls(event_id=number, event_time=BEGIN + number * SECOND, **attributes))
        return self

    def activity(self, outcome: Callable[..., e.HistoryEvent], **attributes: Any) -> Template:
        scheduled = len(self.events) + 1
        self.add(e.ActivityTaskScheduled, activity_id="1", activity_type="fetch", input=Payload('["Oslo"]'))
        self.add(e.ActivityTaskStarted, scheduled_event_id=scheduled, started_time=BEGIN)
        return self.add(outcome, scheduled_event_id=scheduled, started_event_id=scheduled + 1, **attributes)

    def timer(self) -> Template:
        month = 30 * 86400
        return self.add(
            e.TimerStarted, timer_id="1", start_to_fire_timeout=float(month), fire_time=BEGIN + month * SECOND
        )


def templates() -> list[Template]:
    """Four executions of four events on average: done, failed, woken, asleep."""
    return [
        Template("report")
        .activity(e.ActivityTaskCompleted, result=Payload('{"delay": 12.5}'))
        .add(e.WorkflowExecutionCompleted, result=Payload("42")),
        Template("flaky")
        .activity(e.ActivityTaskFailed, failure=FAILURE)
        .add(e.WorkflowExecutionFailed, failure=FAILURE),
        Template("reminder")
        .timer()
        .add(e.TimerFired, timer_id="1", started_event_id=2)
        .add(e.WorkflowExecutionCompleted, result=NOTHING),
        Template("subscription").timer(),
    ]


MULTIPLY = """
INSERT INTO store.event_log.events
SELECT
    format('{:08x}-{:04x}-7{:03x}-8000-{:012x}', copy, number, number, copy),
    it.workflow_id || '-' || copy,
    it.event_id, it.event_time + copy * 1000, it.event_type, it.name, it.initiated_event_id,
    it.due_time + copy * 1000, it.deferred, it.attributes
FROM range($copies) AS copies(copy)
CROSS JOIN (SELECT *, dense_rank() OVER (ORDER BY run_id) AS number FROM store.event_log.events) AS it
ORDER BY copy, number, event_id
"""


def build(path: str, events: int) -> None:
    """Fill a store with about so many events."""
    batch = Batch()
    for number, template in enumerate(templates()):
        batch.events += [(f"template-{number}", template.workflow_type, event, False) for event in template.events]
    with EventStore.open(path) as store:
        store.commit(batch)
        store.cursor().execute(MULTIPLY, {"copies": events // len(batch.events)})


QUESTIONS = {
    "executions_by_status_s": "SELECT workflow_type, status, count(*), avg(duration) FROM executions GROUP BY ALL",
    "executions_newest_s": "SELECT * FROM executions ORDER BY start_time DESC LIMIT 50",
    "executions_one_s": "SELECT * FROM executions WHERE workflow_id = 'report-$middle'",
    "timers_by_status_s": "SELECT status, count(*) FROM timers GROUP BY ALL",
    "timers_next_s": "SELECT * FROM timers WHERE status = 'Pending' ORDER BY fire_time LIMIT 50",
    "history_s": "SELECT * FROM events WHERE workflow_id = 'report-$middle' ORDER BY event_id",
}


def seconds(store: EventStore, query: str) -> float:
    """Ask a question that must not come back empty."""
    cursor, before = store.cursor(), time.perf_counter()
    rows = cursor.execute(query).fetchall()
    took = time.perf_counter() - before
    assert rows, query
    return took


def ask(path: str, events: int) -> dict[str, float]:
    """Return how long each question takes on a store just opened, the slowest of each kind by the kind's name."""
    middle = str(events // 32)
    with EventStore.open(path) as store:
        figures = {name: seconds(store, query.replace("$middle", middle)) for name, query in QUESTIONS.items()}
    for kind in ("executions", "timers"):
        figures[f"{kind}_s"] = max(value for name, value in figures.items() if name.startswith(kind))
    return figures


def log_figures(run: Run) -> dict[str, float]:
    """Build the log of W9 and question it."""
    before = time.perf_counter()
    build(run.store("duckdb"), run["events"])
    built = time.perf_counter() - before
    return {"build_s": built, **ask(run.store("duckdb"), run["events"])}


@nbflow.activity
async def echo(value: int) -> int:
    return value


@nbflow.workflow
async def long_chain(steps: int) -> int:
    total = 0
    for at in range(steps):
        total += await echo(at)
    return total


def replay_figures(run: Run) -> dict[str, float]:
    """Run a workflow of so many events, then read its history back and replay it, each timed."""
    path = run.store("replay.duckdb")
    nbflow.open(path)
    handle = long_chain.start(run["replayed"] // 3)
    handle.result()
    run_id = handle.run_id
    nbflow.close()
    with EventStore.open(path) as store:
        reader, before = store.reader(), time.perf_counter()
        history = reader.histories([run_id])[run_id]
        read = time.perf_counter()
        instance = WorkflowInstance(run_id, long_chain.definition(), Codec(reader.blob))
        assert replay(instance, history) == []
        done = time.perf_counter()
    assert instance.is_closed
    return {
        "replay_events_s": len(history) / (done - read),
        "read_and_replay_events_s": len(history) / (done - before),
    }


def w9(run: Run) -> dict[str, float]:
    return {**log_figures(run), **replay_figures(run)}
