"""An expense waits for a person, for as long as it takes, and needs no running process to wait.

python main.py            hands in the expense, and says what it is waiting for
python main.py approve    says yes to it; any later process can
python main.py refuse     says no
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbflow
from nbflow import activity, workflow

OUTBOX = Path("outbox.txt")  # stands for the mail and the bank


def send(line: str) -> None:
    """Send a line into the world."""
    with OUTBOX.open("a") as outbox:
        outbox.write(f"{line}\n")


@activity
def ask(employee: str, amount: float) -> None:
    """Tell the manager."""
    send(f"to the manager: {employee} asks for {amount:.2f}")


@activity
def pay(employee: str, amount: float) -> str:
    """Pay, once."""
    send(f"to the bank: {amount:.2f} for {employee}")
    return f"paid {amount:.2f} to {employee}"


@workflow
def expense(employee: str, amount: float) -> str:
    """Ask, wait up to 30 days for an answer, pay if it is yes."""
    ask(employee, amount)
    try:
        answer = nbflow.wait_for_signal("decision", timeout="30 days")
    except TimeoutError:
        return "nobody answered in 30 days"
    return pay(employee, amount) if answer == "approve" else "refused"


def main() -> None:
    """Start the expense or attach to it, pass on an answer, say how things stand."""
    nbflow.open("expenses.duckdb")
    handle = expense.options(id="expense-17").start("Ines", 120.0)
    if sys.argv[1:]:
        handle.signal("decision", sys.argv[1])
    try:
        print(handle.result(timeout=2))
    except TimeoutError:
        print("waiting for a decision: python main.py approve, or refuse")


if __name__ == "__main__":
    main()
