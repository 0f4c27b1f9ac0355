"""Money that moves exactly once: transfers as transactions of the store, a hundred at the same time."""

from __future__ import annotations

from typing import Any

import nbflow
from nbflow import activity_info, transaction, workflow

ACCOUNTS = ("Ada", "Bo", "Cy", "Di")

LEDGER = """
    SELECT (SELECT sum(balance) FROM accounts)::INT AS money, count(*) AS transfers, count(DISTINCT key) AS keys
    FROM ledger
"""


@transaction
def open_accounts(db: Any, names: list[str], balance: int) -> None:
    """Make the tables. They are yours, in the schema main of the store."""
    db.execute("CREATE TABLE accounts AS SELECT unnest($1) AS name, $2 AS balance", [names, balance])
    db.execute("CREATE TABLE ledger (key VARCHAR, source VARCHAR, target VARCHAR, amount INT)")


@transaction(retry=1)
def transfer(db: Any, source: str, target: str, amount: int) -> int:
    """Move money and note it; all of it happens, and is recorded as done, or nothing."""
    db.execute("UPDATE accounts SET balance = balance + $1 WHERE name = $2", [amount, target])
    db.execute("UPDATE accounts SET balance = balance - $1 WHERE name = $2", [amount, source])
    (left,) = db.execute("SELECT balance FROM accounts WHERE name = $1", [source]).fetchone()
    if left < 0:
        raise ValueError(f"{source} can't pay {amount}")  # what was written above is undone
    db.execute("INSERT INTO ledger VALUES ($1, $2, $3, $4)", [activity_info().idempotency_key, source, target, amount])
    return int(left)


@workflow
def business(orders: list[tuple[str, str, int]]) -> str:
    """Carry out all orders at once, and tell how many could be."""
    done = transfer.map(*zip(*orders, strict=True), tolerated_failures=len(orders))
    refused = "; ".join(str(error.__cause__) for error in done.failed.values())
    return f"{len(done)} transfers, refused: {refused or 'none'}"


@workflow
def opening() -> None:
    """Open the bank."""
    open_accounts(list(ACCOUNTS), 100)


def main() -> None:
    """Open the bank, do a hundred transfers and an impossible one, and look at the tables."""
    nbflow.open(":memory:")
    opening()
    orders = [(ACCOUNTS[i % 4], ACCOUNTS[(i + 1) % 4], 1) for i in range(100)]
    print(business([*orders, ("Ada", "Bo", 1_000_000)]))
    print(nbflow.sql(LEDGER).to_string(index=False))
    print(nbflow.sql("SELECT name, balance FROM accounts ORDER BY name").to_string(index=False))


if __name__ == "__main__":
    main()
