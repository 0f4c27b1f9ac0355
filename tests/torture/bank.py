"""The process that is killed: workflows that move money between accounts in the store, each transfer a transaction."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

import nbflow
from nbflow import activity_info, transaction, workflow
from nbflow.client import Client, use_client
from nbflow.store import EventStore

ACCOUNTS, OPENING_BALANCE, TRANSFERS, WORKFLOWS = 5, 1000, 12, 6


@transaction
def open_accounts(db):
    """Make the tables; what happens twice would fail."""
    db.execute("CREATE TABLE accounts AS SELECT range AS id, $1 AS balance FROM range($2)", [OPENING_BALANCE, ACCOUNTS])
    db.execute("CREATE TABLE ledger (key VARCHAR, source INT, target INT, amount INT)")


@transaction
def transfer(db, source, target, amount):
    """Move money and write it into the ledger."""
    key = activity_info().idempotency_key
    db.execute("UPDATE accounts SET balance = balance - $1 WHERE id = $2", [amount, source])
    db.execute("INSERT INTO ledger VALUES ($1, $2, $3, $4)", [key, source, target, amount])
    db.execute("UPDATE accounts SET balance = balance + $1 WHERE id = $2", [amount, target])
    return amount


@workflow
def opening():
    """Open the bank."""
    open_accounts()


@workflow
def banking(number):
    """Move money: some transfers one after the other, some at once."""
    moved = 0
    for i in range(TRANSFERS // 2):
        moved += transfer((number + i) % ACCOUNTS, (number + i + 1) % ACCOUNTS, 1 + i)
    orders = [((number + i) % ACCOUNTS, (number + 2) % ACCOUNTS, 1 + i) for i in range(TRANSFERS // 2, TRANSFERS)]
    return moved + sum(transfer.map(*zip(*orders, strict=True)))


def install_kill(point, count):
    """Die at the n-th commit of a transaction: before it, or after it and before anybody hears."""
    commit, left, lock = EventStore.commit_transaction, [count], threading.Lock()

    def passes(here):
        with lock:
            left[0] -= here == point
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def watched(store, cursor, batch):
        passes("before commit")
        commit(store, cursor, batch)
        passes("after commit")

    EventStore.commit_transaction = watched


def main(plan):
    """Open, start or attach to everything, wait, tell."""
    if plan.get("point"):
        install_kill(plan["point"], plan["count"])
    client = Client(plan["store"])
    use_client(client)
    print("opened", flush=True)
    opening.options(id="opening").start().result()
    handles = [banking.options(id=f"bank-{plan['round']}-{n}").start(n) for n in range(WORKFLOWS)]
    results = [handle.result() for handle in handles]
    nbflow.close()
    print(json.dumps(results), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
