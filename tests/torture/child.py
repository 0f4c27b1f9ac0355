"""The process that is killed: opens the store, starts or attaches to every execution, signals, waits, tells results.

Everything that a caller was promised (a start or a signal that returned) is acknowledged in a file, so that the
parent knows what must never be lost. A kill may come from the parent at any moment, or at a chosen point from inside.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import shapes

from nbflow.client import Client, use_client
from nbflow.engine.engine import EngineOptions
from nbflow.exceptions import WorkflowClosedError
from nbflow.store import EventStore
from nbflow.store.writer import Writer


def die():
    """End without any chance to clean up."""
    os.kill(os.getpid(), signal.SIGKILL)


class KillSwitch:
    """Kills the process when a named point is passed for the n-th time."""

    def __init__(self, point, count):
        self._point = point
        self._left = count
        self._lock = threading.Lock()

    def passes(self, point):
        """Note that a point is passed."""
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                die()

    def install(self):
        """Watch commits, inserts and activities."""
        commit, insert = EventStore.commit, Writer._insert

        def watched_commit(store, batch):
            self.passes("before commit")
            commit(store, batch)
            self.passes("after commit")

        def watched_insert(writer, table, rows):
            insert(writer, table, rows)
            self.passes("after insert")

        EventStore.commit = watched_commit
        Writer._insert = watched_insert
        shapes.on_phase = lambda phase: self.passes(f"{phase} of activity")


class Child:
    """One incarnation."""

    def __init__(self, plan):
        self.folder = Path(plan["folder"])
        self.plan = plan
        self.switch = KillSwitch(plan.get("point"), plan.get("count", 0))
        self.results = {}
        self.acknowledged = set()
        acks = self.folder / "acks.log"
        if acks.exists():
            for line in acks.read_text().splitlines():
                ack = json.loads(line)
                if ack["what"] == "signal":
                    self.acknowledged.add((ack["workflow_id"], ack["slot"]))

    def acknowledge(self, **ack):
        """Tell the parent what the engine has promised."""
        self.switch.passes("before acknowledgement")
        shapes.append_line(self.folder / "acks.log", ack)

    def drive(self, shape, number):
        """Start one execution and see it through."""
        workflow_id = f"{shape.name}-{self.plan['round']}-{number}"
        handle = shape.definition.options(id=workflow_id).start(shape.argument)
        self.acknowledge(what="start", workflow_id=workflow_id, run_id=handle.run_id)
        for slot in range(shape.signals):
            if (workflow_id, slot) in self.acknowledged:
                continue
            nonce = f"{workflow_id}/{slot}/{self.plan['incarnation']}"
            try:
                handle.signal("told", slot, nonce)
            except WorkflowClosedError:
                break
            self.acknowledge(what="signal", workflow_id=workflow_id, run_id=handle.run_id, slot=slot, nonce=nonce)
            time.sleep(0.003)
        return workflow_id, handle

    def drive_shape(self, name):
        """Start every execution of a shape, then wait for all of them."""
        shape = shapes.SHAPES[name]
        driven = [self.drive(shape, number) for number in range(shape.executions)]
        for workflow_id, handle in driven:
            self.results[workflow_id] = handle.result()

    def run(self):
        """Open, work, close."""
        self.switch.install()
        options = EngineOptions(threads=4, loop_tasks=8, processes=1, resident_executions=self.plan["resident"])
        client = Client(self.folder / "store.duckdb", options=options)
        use_client(client)
        print("opened", flush=True)
        failures = []

        def drive(name):
            try:
                self.drive_shape(name)
            except BaseException as error:
                if not self.plan.get("close_after"):
                    failures.append(f"{name}: {type(error).__name__}: {error}")

        threads = [threading.Thread(target=drive, args=(name,), daemon=True) for name in self.plan["shapes"]]
        for thread in threads:
            thread.start()
        if close_after := self.plan.get("close_after"):
            time.sleep(close_after)
            client.close()
            return
        for thread in threads:
            thread.join()
        client.close()
        shapes.append_line(self.folder / "results.log", {"results": self.results, "failures": failures})


if __name__ == "__main__":
    Child(json.loads(sys.argv[1])).run()
