"""SIGKILL while money moves: balances add up, no transfer is in the ledger twice, none that completed is missing."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nbflow.store import EventStore

from .bank import ACCOUNTS, OPENING_BALANCE, TRANSFERS, WORKFLOWS
from .harness import HERE, ROOT

CAMPAIGNS = 4
KILLS = -(-int(os.environ.get("NBFLOW_TORTURE_KILLS", "40")) // (4 * CAMPAIGNS))
EXPECTED = sum(range(1, TRANSFERS + 1))

COMPLETED = """
    SELECT done.run_id || '/' || (asked.attributes ->> 'activity_id')
    FROM events AS done JOIN events AS asked
        ON asked.run_id = done.run_id AND asked.event_id = done.initiated_event_id
    WHERE done.event_type = 'ActivityTaskCompleted' AND asked.name = 'transfer'
"""


def live(store: Path, plan: dict) -> tuple[bool, list[int] | None]:
    """Run one incarnation; tell whether it was killed, and its results."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
    command = [sys.executable, str(HERE / "bank.py"), json.dumps({"store": str(store), **plan})]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if "delay" in plan:
            ready, _, _ = select.select([child.stdout], [], [], 30)
            assert ready, "the store was not opened within 30 s"
            try:
                child.wait(plan["delay"])
            except subprocess.TimeoutExpired:
                child.kill()
        told, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert "Traceback" not in errors, errors
    killed = child.returncode == -signal.SIGKILL
    assert killed or child.returncode == 0, errors
    lines = told.splitlines()
    return killed, json.loads(lines[-1]) if not killed and len(lines) > 1 else None


def check(store: Path) -> None:
    """What is in the tables is exactly what the histories say was done."""
    if not store.exists():
        return
    with EventStore.open(store) as opened:
        rows = opened.sql(COMPLETED).fetchall()
        tables = opened.sql("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'ledger'").fetchall()
        if tables == [(0,)]:
            assert rows == []
            return
        ledger = opened.sql("SELECT key FROM ledger").fetchall()
        assert sorted(ledger) == sorted(rows), "the ledger and the histories disagree"
        total = opened.sql("SELECT sum(balance) FROM accounts").fetchall()
        assert total == [(ACCOUNTS * OPENING_BALANCE,)]


@pytest.mark.torture
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(CAMPAIGNS))
def test_balances_add_up_whenever_the_process_is_killed(tmp_path: Path, seed: int) -> None:
    """Kills at any moment, and around the commits of transactions: each transfer is there once, or not at all."""
    chance = random.Random(20261123 + seed)
    store, kills, round_ = tmp_path / "bank.duckdb", 0, 0
    while kills < KILLS:
        kind = chance.choice(["delay", "before commit", "after commit"])
        plan = {"round": round_, "point": kind, "count": chance.randint(1, 30)}
        if kind == "delay":
            plan = {"round": round_, "delay": chance.expovariate(1 / 0.2)}
        killed, results = live(store, plan)
        kills += killed
        check(store)
        if results is not None:
            assert results == [EXPECTED] * WORKFLOWS
            round_ += 1
    assert live(store, {"round": round_})[1] == [EXPECTED] * WORKFLOWS
    check(store)
