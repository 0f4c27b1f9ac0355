"""A notebook's process is killed, and one that defines nothing goes on: the store alone holds what is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nbflow

ROOT = Path(nbflow.__file__).parent.parent

CELLS = '''
import linecache, json, os, sys, time

def cell(number, source):
    """Run source the way a kernel runs a cell: in __main__, findable by inspect."""
    name = f"<ipython-input-{number}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    exec(compile(source, name, "exec"), globals())

cell(1, """
import asyncio
import math
import os
from dataclasses import dataclass
import nbflow
from nbflow import activity, workflow, RetryPolicy

LIMIT = 3
RATES = {"a": 2, "b": [1, 2.5]}

@dataclass
class Order:
    name: str
    count: int

def helper(x):
    return deeper(x) + LIMIT

def deeper(x):
    return math.floor(x * RATES["b"][1])
""")
cell(2, """
@activity(retry=RetryPolicy(initial_interval=0.02))
def price(order):
    if nbflow.activity_info().attempt == 1:
        raise ConnectionError("first attempts fail")
    return helper(order.count) + RATES["a"]

@activity
async def ship(order: Order, *, fast: bool = False) -> Order:
    await asyncio.sleep(0.05)
    return Order(order.name.upper() + ("!" if fast else ""), order.count + 1)

@activity(run_in="process")
def audit(total):
    return helper(total)
""")
cell(3, """
@workflow
def buy(name):
    order = Order(name, 4)
    total = 0
    for n in range(LIMIT):
        nbflow.sleep(0.1)
        total += price(order) + deeper(n)
        order = ship(order, fast=n == 1)
    return [order.name, order.count, total, audit(total)]

@workflow
async def wait_for_it(name):
    told = []

    @nbflow.signal
    def tell(what):
        told.append(what)

    @nbflow.query
    def heard():
        return list(told)

    await nbflow.wait_condition(lambda: len(told) >= 2)
    results = await asyncio.gather(*[price(Order(what, 1)) for what in told])
    return [told, results, Order(name, sum(results))]
""")
'''
FIRST = (
    CELLS
    + """
nbflow.open(sys.argv[1])
buy.options(id="buy").start("tea")
handle = wait_for_it.options(id="wait").start("me")
handle.signal("tell", "one")
time.sleep(float(sys.argv[2]))
os.kill(os.getpid(), 9)
"""
)
AGAIN = """
import json, os, sys, time
import nbflow
nbflow.open(sys.argv[1])
if sys.argv[2] != "end":
    time.sleep(float(sys.argv[2]))
    os.kill(os.getpid(), 9)
wait = nbflow.get("wait")
asked = wait.query("heard")
wait.signal("tell", "two")
order = wait.result(timeout=20)
print(json.dumps([nbflow.get("buy").result(timeout=20), asked, order[:2], vars(order[2])]))
"""


def run(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.torture
@pytest.mark.parametrize("first", [0.0, 0.05, 0.15, 0.3, 0.5])
def test_executions_go_on_from_stored_definitions(tmp_path, first):
    """Wherever the notebook dies, a process that only opens its store brings every execution to its end."""
    store = tmp_path / "store.duckdb"
    run(FIRST, store, first)
    run(AGAIN, store, 0.15)
    run(AGAIN, store, 0.3)
    ended = run(AGAIN, store, "end")
    assert ended.returncode == 0, ended.stderr
    told, asked, heard, order = json.loads(ended.stdout)
    assert told == ["TEA!", 7, 59, 150]
    assert asked == ["one"]
    assert heard == [["one", "two"], [7, 7]]
    assert order == {"name": "me", "count": 14}
