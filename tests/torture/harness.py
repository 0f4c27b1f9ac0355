"""Kills a process over one store again and again, and holds the laws after every kill."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import nbflow
from nbflow.exceptions import StoreError

from . import laws, shapes

HERE = Path(__file__).parent
ROOT = Path(nbflow.__file__).parent.parent
POINTS = {
    "before commit": 15,
    "after commit": 15,
    "after insert": 25,
    "begin of activity": 20,
    "end of activity": 20,
    "before acknowledgement": 8,
}
"""Chosen points, and how often one may pass before the kill."""


def lines_of(path):
    """Read a log of JSON lines, whole lines only."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


@dataclass
class Campaign:
    """One store, its shapes, and a budget of kills.

    Attributes
    ----------
    folder
        Where everything lies.
    names
        Shapes to run, all at once.
    kills
        How many kills there shall be; new executions are started until they have happened.
    seed
        Chooses every kill.
    """

    folder: Path
    names: list[str]
    kills: int
    seed: int
    killed: dict[str, int] = field(default_factory=dict)
    round: int = 0
    incarnation: int = 0
    results: dict = field(default_factory=dict)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.store = self.folder / "store.duckdb"
        self.before = None
        self.effects_before = 0

    @property
    def kills_done(self):
        """How many kills hit."""
        return sum(self.killed.values())

    def lost_by_shape(self):
        """Count the attempts of each shape that a kill hit between their leave to start and their outcome."""
        lost = [row[0] for row in self.before.attempts if row[3] == "Lost"]
        return dict(Counter(self.before.events[run_id][0][1].split("-")[0] for run_id in lost))

    def run(self):
        """Kill until the budget is spent and everything is complete; then check the whole once more."""
        while True:
            is_last = self.kills_done >= self.kills
            complete = self.live(None if is_last else self.choose_kill())
            self.check_after_life()
            if complete:
                self.check_results()
                if is_last:
                    break
                self.round += 1
        self.check_the_end()

    def choose_kill(self):
        """Draw how this incarnation ends."""
        kind = self.random.choices(["delay", "point", "opening", "closing"], [45, 40, 8, 7])[0]
        if kind == "point":
            point = self.random.choice(list(POINTS))
            return {"kind": point, "point": point, "count": self.random.randint(1, POINTS[point])}
        if kind == "opening":
            return {"kind": kind, "delay": self.random.uniform(0.1, 0.5)}
        if kind == "closing":
            return {"kind": kind, "close_after": self.random.uniform(0.0, 0.3), "delay": self.random.uniform(0, 0.03)}
        return {"kind": kind, "delay": self.random.expovariate(1 / 0.15)}

    def live(self, kill):
        """Run one incarnation; True if it came to its end and told the results."""
        self.incarnation += 1
        kill = kill or {"kind": "none"}
        plan = {
            "folder": str(self.folder),
            "shapes": self.names,
            "round": self.round,
            "incarnation": self.incarnation,
            "resident": self.random.choice([2, 1000]),
            **{key: kill[key] for key in ("point", "count", "close_after") if key in kill},
        }
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
            "TORTURE_EFFECTS": str(self.folder / "effects.log"),
        }
        with (self.folder / f"stderr-{self.incarnation}.txt").open("w") as errors:
            child = subprocess.Popen(
                [sys.executable, str(HERE / "child.py"), json.dumps(plan)],
                env=environment, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
            try:
                self.wait_and_kill(child, kill)
            finally:
                child.kill()
                child.wait()
                child.stdout.close()
        return self.take_results(child, kill)

    def wait_and_kill(self, child, kill):
        """Let it live as long as drawn."""
        if kill["kind"] == "opening":
            time.sleep(kill["delay"])
            return
        ready, _, _ = select.select([child.stdout], [], [], 30)
        assert ready, "the store was not opened within 30 s"
        child.stdout.readline()
        if kill["kind"] == "closing":
            time.sleep(kill["close_after"] + kill["delay"])
        elif "delay" in kill:
            time.sleep(kill["delay"])
        else:
            child.wait(timeout=60)

    def take_results(self, child, kill):
        """Note how it ended."""
        told = lines_of(self.folder / "results.log")
        if child.returncode == -signal.SIGKILL:
            self.killed[kill["kind"]] = self.killed.get(kill["kind"], 0) + 1
            if not told:
                return False
        elif not kill.get("close_after") and (child.returncode or not told):
            raise AssertionError(f"incarnation {self.incarnation} ended with {child.returncode}:\n{self.errors()}")
        (self.folder / "results.log").unlink(missing_ok=True)
        if not told:
            return False
        assert told[0]["failures"] == [], f"{told[0]['failures']}\n{self.errors()}"
        self.results = told[0]["results"]
        return True

    def errors(self):
        """What the last incarnation printed to stderr."""
        return (self.folder / f"stderr-{self.incarnation}.txt").read_text()[-3000:]

    def check_after_life(self):
        """Hold the laws that can be told after every kill."""
        assert "Traceback" not in self.errors(), f"incarnation {self.incarnation} printed:\n{self.errors()}"
        acks = lines_of(self.folder / "acks.log")
        effects = lines_of(self.folder / "effects.log")
        try:
            after = laws.Snapshot(self.store)
        except StoreError:
            if acks:
                raise
            return  # killed before there was a store
        laws.check_acknowledged(acks, after)
        laws.check_write_ahead(effects, after)
        laws.check_attempt_numbers(effects)
        laws.check_never_after_outcome(effects, after)
        for rows in after.events.values():
            laws.check_well_formed(rows)
        if self.before is not None:
            laws.check_append_only(self.before, after)
            laws.check_never_again(self.before.settled, effects[self.effects_before :])
            laws.check_losses(self.before, after)
        self.before, self.effects_before = after, len(effects)

    def check_results(self):
        """Every result of the round is right, and signals were seen once."""
        for name in self.names:
            shape = shapes.SHAPES[name]
            for number in range(shape.executions):
                result = self.results[f"{name}-{self.round}-{number}"]
                assert shape.is_right(result), f"{name} {number} returned {result}"
                if shape.signals:
                    nonces = [nonce for _, nonce in result]
                    assert len(nonces) == len(set(nonces)), f"a signal was seen twice: {nonces}"

    def check_the_end(self):
        """Hold the laws of whole histories."""
        effects = lines_of(self.folder / "effects.log")
        laws.check_maximum_attempts(effects, self.before)
        laws.check_attempt_rows(self.before)
        laws.check_replays(self.store)
