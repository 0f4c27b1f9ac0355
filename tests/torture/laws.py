"""What must hold of a store whose process was killed, and of what really ran: a broken law names itself."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

from nbflow.core.definitions import REGISTRY
from nbflow.core.events import CLOSING_EVENTS
from nbflow.core.instance import WorkflowInstance
from nbflow.core.machines import ACTIVITY, EXECUTION, TIMER, advance
from nbflow.core.replay import replay
from nbflow.engine.blobs import BlobReader
from nbflow.store import EventStore
from nbflow.store.codec import Codec

OUTCOMES = {f"ActivityTask{outcome}" for outcome in ("Completed", "Failed", "TimedOut", "Canceled")}


class Snapshot:
    """All rows of a store at one moment, read without changing it.

    Attributes
    ----------
    events
        Rows of each run, in order of event_id.
    settled
        Idempotency keys of activities that have an outcome.
    """

    def __init__(self, path):
        with EventStore.open(path, read_only=True) as store:
            cursor = store.cursor()
            rows = cursor.execute(
                "SELECT run_id, workflow_id, event_id, event_type, initiated_event_id, deferred, attributes, "
                "event_time FROM event_log.events ORDER BY run_id, event_id"
            ).fetchall()
            self.attempts = cursor.execute(
                "SELECT run_id, scheduled_event_id, attempt, outcome FROM event_log.attempts"
            ).fetchall()
            dispatches = cursor.execute(
                "SELECT run_id, first_scheduled_event_id, last_scheduled_event_id, attempt FROM event_log.dispatches"
            ).fetchall()
        self.events = defaultdict(list)
        self.key_of, self.settled, self.deferred = {}, {}, set()
        for row in rows:
            self.events[row[0]].append(row)
        for row in rows:
            self._index(row)
        self.dispatched = {
            (self.key_of[run_id, event_id], attempt)
            for run_id, first, last, attempt in dispatches
            for event_id in range(first, last + 1)
        }
        self.ended_attempts = {
            (self.key_of[run_id, event_id], attempt): outcome for run_id, event_id, attempt, outcome in self.attempts
        }

    def _index(self, row):
        run_id, _, event_id, event_type, initiated, deferred, attributes, time = row
        if event_type == "ActivityTaskScheduled":
            key = f"{run_id}/{json.loads(attributes)['activity_id']}"
            self.key_of[run_id, event_id] = key
            if deferred:
                self.deferred.add(key)
        elif event_type in OUTCOMES:
            self.settled[self.key_of[run_id, initiated]] = (event_type, time, attributes)

    def authorises(self, key, attempt):
        """True if the log lets this attempt start."""
        if (key, attempt) in self.dispatched:
            return True
        return attempt == 1 and key in self.key_of.values() and key not in self.deferred


def starts(effects):
    """Return the lines of attempts that began."""
    return [line for line in effects if line["phase"] == "begin"]


def check_append_only(before, after):
    """A crash leaves a prefix: whatever was committed once is still there, unchanged."""
    for run_id, rows in before.events.items():
        assert after.events[run_id][: len(rows)] == rows, f"the history of run {run_id} was changed or shortened"
    lost = Counter(before.attempts) - Counter(after.attempts)
    assert not lost, f"attempt rows vanished: {lost}"


def check_acknowledged(acks, snapshot):
    """A start or signal that returned to its caller is in the log, once."""
    signals = Counter()
    for rows in snapshot.events.values():
        for row in rows:
            if row[3] == "WorkflowExecutionSignaled":
                signals[row[0], json.loads(row[6])["input"][1]] += 1
    assert not [it for it, count in signals.items() if count > 1], "a signal was recorded twice"
    for ack in acks:
        assert snapshot.events.get(ack["run_id"]), f"an acknowledged start is lost: {ack}"
        if ack["what"] == "signal":
            assert signals[ack["run_id"], ack["nonce"]] == 1, f"an acknowledged signal is lost: {ack}"


def check_write_ahead(effects, snapshot):
    """An attempt began only if the log had authorised it before."""
    keys = set(snapshot.key_of.values())
    for line in starts(effects):
        key, attempt = line["key"], line["attempt"]
        allowed = (key, attempt) in snapshot.dispatched or (
            attempt == 1 and key in keys and key not in snapshot.deferred
        )
        assert allowed, f"attempt {attempt} of {key} ran without leave: {line}"


def check_never_again(settled_before, effects_since):
    """An activity whose outcome was recorded before the kill does not run after it."""
    for line in starts(effects_since):
        assert line["key"] not in settled_before, (
            f"{line['name']} {line['key']} ran again (attempt {line['attempt']}) although its outcome was recorded: "
            f"{settled_before[line['key']][0]}"
        )


def check_never_after_outcome(effects, snapshot):
    """No attempt begins later than the moment its activity's outcome was taken down."""
    for line in starts(effects):
        outcome = snapshot.settled.get(line["key"])
        assert outcome is None or line["wall"] <= outcome[1], f"began after its outcome {outcome}: {line}"


def check_attempt_numbers(effects):
    """No attempt number is used twice, and they only grow."""
    latest = {}
    for line in sorted(starts(effects), key=lambda line: line["monotonic"]):
        assert line["attempt"] > latest.get(line["key"], 0), f"attempt {line['attempt']} began twice or late: {line}"
        latest[line["key"]] = line["attempt"]


def check_losses(before, after):
    """Only an attempt that the log had authorised when the process died is called Lost."""
    lost = {it for it, outcome in after.ended_attempts.items() if outcome == "Lost" and it not in before.ended_attempts}
    keys = set(before.key_of.values())
    for key, attempt in lost:
        allowed = (key, attempt) in before.dispatched or (attempt == 1 and key in keys and key not in before.deferred)
        assert allowed, f"attempt {attempt} of {key} is called Lost, but it never had leave to start"


def check_maximum_attempts(effects, snapshot):
    """An activity never runs more often than its policy allows."""
    ran = Counter(line["key"] for line in starts(effects))
    for (run_id, event_id), key in snapshot.key_of.items():
        scheduled = json.loads(snapshot.events[run_id][event_id - 1][6])
        most = (scheduled.get("retry_policy") or {}).get("maximum_attempts") or 10**9
        assert ran[key] <= most, f"{key} ran {ran[key]} times, its policy allows {most}"


def check_attempt_rows(snapshot):
    """Recorded attempts are numbered from 1 without gaps, each once."""
    numbers = defaultdict(list)
    for run_id, event_id, attempt, _ in snapshot.attempts:
        numbers[run_id, event_id].append(attempt)
    for rows in snapshot.events.values():
        for row in rows:
            if row[3] == "ActivityTaskStarted":
                numbers[row[0], row[4]].append(json.loads(row[6])["attempt"])
    for which, attempts in numbers.items():
        assert sorted(attempts) == list(range(1, len(attempts) + 1)), f"attempts of {which} are {sorted(attempts)}"


def check_well_formed(rows):
    """Ids are dense from 1, every state machine takes every event, and nothing follows the end."""
    run_id = rows[0][0]
    assert [row[2] for row in rows] == list(range(1, len(rows) + 1)), f"event ids of run {run_id}"
    state, activities, timers = "New", {}, {}
    for _, _, event_id, event_type, initiated, *_ in rows:
        state = advance(EXECUTION, state, event_type, f"run {run_id}")
        for prefix, machine, states in (("ActivityTask", ACTIVITY, activities), ("Timer", TIMER, timers)):
            if event_type.startswith(prefix):
                which = event_id if event_type in ("ActivityTaskScheduled", "TimerStarted") else initiated
                states[which] = advance(machine, states.get(which, "New"), event_type, f"{prefix} {which} of {run_id}")


def check_replays(path, expect_closed=True):
    """Every history, fed to the code again, asks for nothing beyond itself: replay is a fixed point."""
    with EventStore.open(path, read_only=True) as store:
        codec = Codec(BlobReader(store))
        reader = store.reader()
        run_ids = [row[0] for row in store.cursor().execute("SELECT DISTINCT run_id FROM event_log.events").fetchall()]
        for run_id, history in reader.histories(run_ids).items():
            definition = REGISTRY.current("workflow", history[0].workflow_type)
            assert definition.hash == history[0].definition_hash
            instance = WorkflowInstance(run_id, definition, codec)
            commands = replay(instance, history)
            assert commands == [], f"run {run_id} asks for {commands} beyond its history"
            assert not expect_closed or type(history[-1]) in CLOSING_EVENTS, f"run {run_id} is open"
            instance.evict()
