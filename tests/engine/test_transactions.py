"""``@nbflow.transaction``: what it writes and its completion are one commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import nbflow
from nbflow import activity, transaction, workflow
from nbflow.client import Client, use_client
from nbflow.engine.engine import EngineOptions
from nbflow.engine.journal import Journal
from nbflow.exceptions import ActivityCancelled, DefinitionError, SqlError, WorkflowFailedError
from nbflow.store import Batch
from nbflow.testing import WorkflowEnvironment
from tests.engine.helpers import event_types, wait_until

calls: list[Any] = []
may_go = threading.Event()


@pytest.fixture
def bank() -> Iterator[WorkflowEnvironment]:
    """A store with a table of accounts."""
    calls.clear()
    may_go.clear()
    with WorkflowEnvironment() as env:
        env.client.sql("CREATE TABLE accounts (name VARCHAR PRIMARY KEY, balance INT)", write=True)
        env.client.sql("INSERT INTO accounts SELECT unnest(['a', 'b', 'c']), 100", write=True)
        yield env


def balances() -> dict[str, int]:
    """Read the accounts."""
    frame = nbflow.sql("SELECT name, balance FROM accounts ORDER BY name")
    return dict(zip(frame.name, map(int, frame.balance), strict=True))


@transaction(retry=1)
def move(db: Any, source: str, target: str, amount: int) -> int:
    """Move money and return what is left."""
    db.execute("UPDATE accounts SET balance = balance - $1 WHERE name = $2", [amount, source])
    db.execute("UPDATE accounts SET balance = balance + $1 WHERE name = $2", [amount, target])
    row = db.execute("SELECT balance FROM accounts WHERE name = $1", [source]).fetchone()
    if row[0] < 0:
        msg = f"{source} has not enough"
        raise ValueError(msg)
    return int(row[0])


@workflow
def moves(orders: list[tuple[str, str, int]]) -> list[int]:
    """Move money at once."""
    return move.map(*zip(*orders, strict=True))


def test_writes_and_completion_are_there_together(bank: WorkflowEnvironment) -> None:
    """The result comes back, the table has the rows, and the history looks as always."""
    handle = moves.start([("a", "b", 30)])

    assert handle.result() == [70]
    assert balances() == {"a": 70, "b": 130, "c": 100}
    assert event_types(handle) == [
        "Started", "ActivityTaskScheduled", "ActivityTaskStarted", "ActivityTaskCompleted", "Completed"
    ]  # fmt: skip
    assert nbflow.sql("SELECT input FROM activities").input[0] == '["a","b",30]'


def test_a_failed_transaction_leaves_nothing(bank: WorkflowEnvironment) -> None:
    """An exception rolls back what was written before it."""
    with pytest.raises(WorkflowFailedError, match="a has not enough"):
        moves([("a", "b", 300)])
    assert balances() == {"a": 100, "b": 100, "c": 100}


def test_conflicts_are_made_again_without_a_trace(bank: WorkflowEnvironment) -> None:
    """Many transfers over the same rows all complete, each in its first attempt, although retries are forbidden."""
    orders = [("abc"[i % 3], "abc"[(i + 1) % 3], 1 + i % 4) for i in range(60)]
    assert len(moves(orders)) == 60

    expected = {"a": 100, "b": 100, "c": 100}
    for source, target, amount in orders:
        expected[source] -= amount
        expected[target] += amount
    assert balances() == expected
    outcomes = nbflow.sql("SELECT DISTINCT outcome || ' ' || attempt AS outcome FROM attempts").outcome
    assert list(outcomes) == ["Completed 1"]


def test_a_conflict_that_shows_at_the_commit(bank: WorkflowEnvironment) -> None:
    """Two that insert the same key: one of them finds out when it commits, runs again, and sees the row."""

    @transaction
    def insert_once(db: Any, who: int) -> str:
        found = db.execute("SELECT count(*) FROM accounts WHERE name = 'z'").fetchone()[0]
        if not found:
            db.execute("INSERT INTO accounts VALUES ('z', $1)", [who])
        calls.append(who)
        if len(calls) < 2:
            may_go.wait(5)
        may_go.set()
        return "found" if found else "inserted"

    @workflow
    def insert_twice() -> list[str]:
        return insert_once.map([1, 2])

    assert sorted(insert_twice()) == ["found", "inserted"]
    assert len(calls) == 3
    assert balances()["z"] in (1, 2)


def test_what_else_happened_is_committed_although_the_transaction_is_not() -> None:
    """A refused transaction takes nothing of the batch with it that shared its commit."""

    class Store:
        committed: list[Batch] = []

        def commit(self, batch: Batch) -> None:
            self.committed.append(batch)

        def commit_transaction(self, cursor: Any, batch: Batch) -> None:
            assert (cursor, len(batch.events)) == ("cursor", 3)
            msg = "no"
            raise nbflow.exceptions.StoreError(msg)

    class Refused:
        cursor = "cursor"
        heard: list[str] = []

        def events(self) -> Any:
            return [("run", "w", None, False)] * 2

        def refused(self, error: Exception) -> None:
            self.heard.append(str(error))

    done = threading.Event()

    def post(callback: Any, *args: Any) -> None:
        callback(*args)
        done.set()

    journal = Journal(Store(), post, calls.append, lambda action, args: action(*args))
    journal.event("run", "w", None)  # type: ignore[arg-type]
    journal.transact(Refused())  # type: ignore[arg-type]
    journal.flush()
    assert done.wait(5)
    journal.stop()

    assert Refused.heard == ["no"]
    assert [len(batch.events) for batch in Store.committed] == [1]


def test_its_own_tables(bank: WorkflowEnvironment) -> None:
    """It may create tables and read DataFrames by the name of their variable; they are the user's."""

    @transaction
    def load(db: Any, rows: int) -> Any:
        frame = pd.DataFrame({"n": range(rows)})  # noqa: F841  DuckDB finds it
        db.sql("CREATE TABLE numbers AS SELECT n FROM frame")
        return db.sql("SELECT sum(n) AS total FROM numbers").df()

    @workflow
    def loading() -> int:
        return int(load(5).total[0])

    assert loading() == 10
    assert nbflow.sql("SELECT count(*) AS n FROM main.numbers").n[0] == 5


@pytest.mark.parametrize("statement", ["COMMIT", "select 1; rollback", "ATTACH ':memory:' AS x", "begin transaction"])
def test_its_code_can_not_end_the_transaction(bank: WorkflowEnvironment, statement: str) -> None:
    """What would commit by itself is refused, and the activity fails without a trace."""

    @transaction(retry=1)
    def cheat(db: Any, statement: str) -> None:
        db.execute("DELETE FROM accounts")
        with pytest.raises(SqlError, match=r"db.commit\(\)"):
            db.commit()
        db.execute(statement)

    @workflow
    def cheating(statement: str) -> None:
        cheat(statement)

    with pytest.raises(WorkflowFailedError, match="not for a transaction's code"):
        cheating(statement)
    assert len(balances()) == 3


def test_words_in_values_are_no_statements(bank: WorkflowEnvironment) -> None:
    """A text that says commit is a text."""

    @transaction
    def say(db: Any) -> str:
        return str(db.execute("SELECT 'begin, commit'").fetchone()[0])

    assert say() == "begin, commit"


def test_a_swallowed_error_does_not_pass_for_success(bank: WorkflowEnvironment) -> None:
    """DuckDB gives a transaction up after a failed write; the activity then fails and says which."""

    @transaction(retry=1)
    def swallow(db: Any) -> str:
        try:
            db.execute("INSERT INTO accounts VALUES ('a', 1)")
        except duckdb.ConstraintException:
            return "fine"
        return "inserted"

    @workflow
    def swallowing() -> str:
        return swallow()

    with pytest.raises(WorkflowFailedError, match=r"gave the transaction up.*uplicate key"):
        swallowing()


def test_a_timed_out_attempt_rolls_back(bank: WorkflowEnvironment) -> None:
    """What the first attempt wrote is gone, and the second one completes."""

    @transaction(start_to_close_timeout="1 min")
    def slow(db: Any) -> int:
        db.execute("UPDATE accounts SET balance = balance + 1")
        if nbflow.activity_info().attempt == 1:
            calls.append("first")
            while True:
                time.sleep(0.001)
        return nbflow.activity_info().attempt

    @workflow
    def slowly() -> int:
        return slow()

    handle = slowly.start()
    wait_until(lambda: bool(calls))
    bank.clock.skip_to(bank.clock.now() + 61_000_000)
    bank.client.engine.post(lambda: None)
    assert handle.result() == 2
    assert balances() == {"a": 101, "b": 101, "c": 101}


def test_a_cancelled_attempt_rolls_back_in_the_middle_of_a_statement(bank: WorkflowEnvironment) -> None:
    """A statement that takes for ever is interrupted."""

    @transaction(cancellation_type="WAIT_CANCELLATION_COMPLETED")
    def endless(db: Any) -> None:
        db.execute("UPDATE accounts SET balance = 0")
        calls.append("begun")
        db.execute("SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b").fetchall()

    @workflow
    def cancelled_while_it_runs() -> None:
        endless()

    handle = cancelled_while_it_runs.start()
    wait_until(lambda: bool(calls))
    handle.cancel()
    with pytest.raises(WorkflowFailedError):
        handle.result()
    assert balances() == {"a": 100, "b": 100, "c": 100}
    assert "ActivityTaskCanceled" in event_types(handle)


def test_a_terminated_execution_gets_no_writes(bank: WorkflowEnvironment) -> None:
    """Whoever returns after the end of the execution has nothing to commit to."""

    @transaction
    def late(db: Any) -> None:
        db.execute("UPDATE accounts SET balance = 0")
        try:
            calls.append("begun")
            may_go.wait(5)
        except ActivityCancelled:
            calls.append("cancelled")

    @workflow
    def terminated_while_it_writes() -> None:
        late()

    handle = terminated_while_it_writes.start()
    wait_until(lambda: bool(calls))
    handle.terminate()
    may_go.set()
    wait_until(lambda: bank.client.engine.activities.under_way == 0)
    assert balances() == {"a": 100, "b": 100, "c": 100}
    assert event_types(handle)[-1] == "Terminated"


def test_outside_of_workflows_it_is_a_transaction_of_its_own(bank: WorkflowEnvironment) -> None:
    """Called by a notebook's cell, it commits; when it fails, it does not."""
    assert move("a", "b", 10) == 90
    with pytest.raises(ValueError, match="not enough"):
        move("a", "b", 1000)
    assert balances() == {"a": 90, "b": 110, "c": 100}


def test_conflicts_outside_of_workflows_are_made_again(bank: WorkflowEnvironment) -> None:
    """Threads that use the same rows all get through."""
    threads = [threading.Thread(target=move, args=("a", "b", 1)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert balances() == {"a": 92, "b": 108, "c": 100}


def test_one_transaction_in_another_takes_part_in_it(bank: WorkflowEnvironment) -> None:
    """The inner one's writes commit with the outer one's, or not at all."""

    @transaction(retry=1)
    def both(db: Any, amount: int) -> None:
        move("a", "b", 10)
        move("b", "c", amount)

    @workflow
    def nested(amount: int) -> None:
        both(amount)

    nested(20)
    assert balances() == {"a": 90, "b": 90, "c": 120}
    with pytest.raises(WorkflowFailedError):
        nested(500)
    assert balances() == {"a": 90, "b": 90, "c": 120}


def test_signals_and_transactions_share_a_history_in_order(bank: WorkflowEnvironment) -> None:
    """Event ids stay dense whatever comes while transactions commit."""

    @workflow
    def busy() -> int:
        heard: list[int] = []

        @nbflow.signal
        def hear(n: int) -> None:
            heard.append(n)

        for n in range(30):
            move("abc"[n % 3], "abc"[(n + 1) % 3], 1)
        nbflow.wait_condition(lambda: len(heard) == 60)
        return len(heard)

    handle = busy.start()
    for n in range(60):
        handle.signal("hear", n)
    assert handle.result() == 60
    assert [event.event_id for event in handle.history()] == list(range(1, len(handle.history()) + 1))


def test_what_can_not_be_a_transaction() -> None:
    """It needs a cursor, and a thread."""
    with pytest.raises(DefinitionError, match="needs the cursor"):

        @transaction
        def nothing() -> None: ...

    with pytest.raises(DefinitionError, match="make it a plain def"):

        @transaction
        async def later(db: Any) -> None: ...

    with pytest.raises(nbflow.exceptions.ConfigurationError, match="leave run_in out"):
        transaction(run_in="process")


def test_a_stored_transaction_is_rebuilt_as_one(tmp_path: Path) -> None:
    """A store that is opened without its cells runs the activity with a cursor."""
    path = tmp_path / "store.duckdb"
    client = Client(path, options=EngineOptions(threads=0))
    previous = use_client(client)
    try:
        client.sql("CREATE TABLE accounts AS SELECT 'a' AS name, 100 AS balance", write=True)
        handle = moves.options(id="m").start([("a", "b", 1)])
        assert handle.status == "Running"
        client.close()
        use_client(client := Client(path))
        assert client.get("m").result() == [99]
    finally:
        client.close()
        use_client(previous)


@activity
def add_up(amounts: list[int]) -> int:
    """Use a transaction from another activity."""
    return sum(move("a", "b", amount) for amount in amounts)


def test_an_activity_may_call_a_transaction(bank: WorkflowEnvironment) -> None:
    """It commits at once, by itself."""

    @workflow
    def adding() -> int:
        return add_up([1, 2])

    assert adding() == 99 + 97
    assert balances()["b"] == 103


def test_the_code_hears_of_an_outcome_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends between a transaction's commit and the workflow's reaction loses neither."""
    path = tmp_path / "store.duckdb"
    with WorkflowEnvironment(path) as env:
        env.client.sql("CREATE TABLE accounts AS SELECT unnest(['a', 'b']) AS name, 100 AS balance", write=True)
        store = env.client.store
        commit_transaction = store.commit_transaction

        def fail(batch: Batch) -> None:
            msg = "the disk is gone"
            raise nbflow.exceptions.StoreError(msg)

        def commit_and_lose_the_disk(cursor: Any, batch: Batch) -> None:
            commit_transaction(cursor, batch)
            monkeypatch.setattr(store, "commit", fail)

        monkeypatch.setattr(store, "commit_transaction", commit_and_lose_the_disk)
        handle = moves.options(id="m").start([("a", "b", 30)])
        with pytest.raises(nbflow.exceptions.NbflowError, match="the disk is gone"):
            handle.result()

    with WorkflowEnvironment(path):
        assert nbflow.get("m").result() == [70]
        assert balances() == {"a": 70, "b": 130}
