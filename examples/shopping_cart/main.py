"""A shopping cart that lives for days: updates change it and answer, a validator says no, a timer empties it.

The cart is a workflow. Whoever puts something in hears the new total, and what the shop can't sell is refused before
anything is recorded. A client that is not sure whether its request arrived asks again with the same id.
"""

from __future__ import annotations

import nbflow
from nbflow import activity, workflow
from nbflow.exceptions import WorkflowUpdateFailedError
from nbflow.testing import WorkflowEnvironment

PRICES = {"kettle": 39.0, "teapot": 24.5, "cup": 4.0}


@activity(summary="ask the shop")
def price_of(item: str) -> float:
    """Ask the shop."""
    return PRICES[item]


@activity
def charge(customer: str, total: float) -> str:
    """Take the money."""
    return f"{customer} paid {total:.2f}"


@workflow
def cart(customer: str) -> str:
    """Take items until checkout; forget the cart after three days without a change."""
    lines: dict[str, float] = {}
    changes: list[str] = []
    receipts: list[str] = []

    def total() -> float:
        return round(sum(lines.values()), 2)

    @nbflow.update
    def add(item: str, count: int = 1) -> float:
        lines[item] = lines.get(item, 0.0) + count * price_of(item)
        changes.append(item)
        nbflow.upsert_search_attributes({"items": sorted(lines), "total": total()})
        nbflow.set_details("\n".join(f"- {name}: {price:.2f}" for name, price in lines.items()))
        return total()

    @add.validator
    def can_be_sold(item: str, count: int = 1) -> None:
        if item not in PRICES:
            msg = f"we have no {item}"
            raise ValueError(msg)
        if not 1 <= count <= 12:
            msg = f"{count} is too many of {item}" if count > 12 else "how many?"
            raise ValueError(msg)

    @nbflow.update
    def checkout() -> str:
        receipts.append(charge(customer, total()))
        return receipts[0]

    @checkout.validator
    def has_items() -> None:
        if not lines or receipts:
            msg = "there is nothing to pay"
            raise ValueError(msg)

    while not receipts:
        seen = len(changes)
        try:
            nbflow.wait_condition(
                lambda seen=seen: receipts or len(changes) > seen,
                timeout="3 days",
                summary="until the cart is forgotten",
            )
        except TimeoutError:
            return f"{customer} left {total():.2f} behind"
    return receipts[0]


def main() -> None:
    """Fill a cart, be refused, ask twice, pay; and let another one be forgotten."""
    with WorkflowEnvironment() as env:
        first = cart.options(id="cart-ines").update_with_start("add", "teapot", start_args=("Ines",), id="request-1")
        handle = first.workflow
        print("teapot:", first.result())
        print("cups:", handle.update("add", "cup", 6, id="request-2"))
        print("cups, asked again:", handle.update("add", "cup", 6, id="request-2"))
        for item, count in (("samovar", 1), ("cup", 100)):
            try:
                handle.update("add", item, count)
            except WorkflowUpdateFailedError as refused:
                print("refused:", refused.__cause__)
        print(handle.details)
        print(handle.update("checkout"))

        forgotten = cart.options(id="cart-jon").update_with_start("add", "kettle", start_args=("Jon",)).workflow
        env.sleep("3 days")
        print(forgotten.result())

        print(nbflow.sql("SELECT workflow_id, update_name, input, result FROM updates ORDER BY accepted_time"))
        print(nbflow.executions("(search_attributes ->> 'total')::DOUBLE > 40")["workflow_id"].tolist())


if __name__ == "__main__":
    main()
