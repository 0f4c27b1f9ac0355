"""Workflow code over rebound globals: deterministic answers under the usual names."""

from __future__ import annotations

import datetime as dt
import functools
import random
import sys
import textwrap
import time

import pytest
from replay_player import START, Player

import nbflow
from nbflow.core.replay import replay
from nbflow.core.sandbox import Sandbox

NOW = (START + 1000) / 1e6
"""Seconds since the epoch in the first activation."""

WALL = time.time()


def cell(source: str) -> dict:
    """Run a notebook cell; returns its globals."""
    namespace: dict = {"__name__": "__main__", "nbflow": nbflow}
    exec(compile(textwrap.dedent(source), "<cell>", "exec"), namespace)
    return namespace


def outcome(function, *args):
    """Run a workflow to its end, check that a replay gives the same, and return the result."""
    player = Player(function, *args).start()
    while player.timers:
        player.fire()
    assert player.status == "Completed", player.failure
    again = player.fresh()
    assert replay(again, player.history) == []
    again.evict()
    player.close()
    return player.result


@pytest.mark.parametrize(
    "source",
    [
        "import time\ndef flow(): return time.time()",
        "import time as t\ndef flow(): return t.time()",
        "from time import time\ndef flow(): return time()",
        "from time import time as now\ndef flow(): return now()",
        "from time import *\ndef flow(): return time()",
        "def flow():\n import time\n return time.time()",
        "def flow():\n from time import time as now\n return now()",
        "import time\ndef flow(): return [time.time() for _ in range(2)][0]",
        "import time\ndef flow():\n def inner(): return time.time()\n return inner()",
        "import time\ndef helper(): return time.time()\ndef flow(): return helper()",
        "import time\nasync def helper(): return time.time()\nasync def flow(): return await helper()",
        "import time\nclock = time.time\ndef flow(): return clock()",
        "import time\ndef flow(clock=time.time): return clock()",
        "import time\ndef flow(*, clock=time.time): return clock()",
        "import time\ndef make(clock):\n def flow(): return clock()\n return flow\nflow = make(time.time)",
        "from datetime import datetime\ndef flow(): return datetime.now().timestamp()",
        "import datetime as dt\ndef flow(): return dt.datetime.now(dt.timezone.utc).timestamp()",
        "import datetime\ndef flow(): return datetime.datetime.today().timestamp()",
        "import time\ndef flow(): return time.time_ns() / 1e9",
        "import time\ndef flow(): return time.monotonic()",
        "import time\ndef flow(): return time.clock_gettime(time.CLOCK_REALTIME)",
        "import nbflow\ndef flow(): return nbflow.now().timestamp()",
    ],
)
def test_the_clock_is_the_executions(source):
    """However it is imported, passed on or wrapped, the time is that of the activation."""
    assert outcome(cell(source)["flow"]) == pytest.approx(NOW, abs=1e-6)


@pytest.mark.parametrize(
    "source",
    [
        "import random\ndef flow(): return random.random()",
        "from random import random\ndef flow(): return random()",
        "import random as r\ndef flow(): return r.randint(1, 10**9)",
        "from random import sample, shuffle\ndef flow():\n x = list(range(50))\n shuffle(x)\n return x + sample(x, 5)",
        "import random\ndef flow(): return random.Random().random()",
        "from random import Random\ndef flow(): return Random().random()",
        "import uuid\ndef flow(): return str(uuid.uuid4())",
        "from uuid import uuid4\ndef flow(): return str(uuid4())",
        "def flow():\n import uuid, random\n return [str(uuid.uuid4()), random.gauss(0, 1)]",
        "def flow(): return [nbflow.random().random(), str(nbflow.uuid4())]",
    ],
)
def test_chance_is_the_executions(source):
    """The same seed gives the same numbers, another seed others."""
    flow = cell(source)["flow"]
    first = outcome(flow)
    assert outcome(flow) == first
    other = Player(flow).start(random_seed=8)
    assert other.result != first
    other.close()


def test_side_effects_see_the_real_world():
    """A value recorded by side_effect is the real time, real chance, and no activity is scheduled by it."""
    flow = cell(
        "import time, random, uuid\ndef flow(): return nbflow.side_effect(lambda: [time.time(), random.random()])"
    )
    first, second = outcome(flow["flow"]), outcome(flow["flow"])
    assert first[0] >= WALL
    assert first[1] != second[1]


def test_a_seeded_generator_is_left_alone():
    """Random(42) is deterministic by itself, and still a Random."""
    flow = cell(
        "import random\ndef flow():\n r = random.Random(42)\n return [r.random(), isinstance(r, random.Random)]"
    )
    assert outcome(flow["flow"]) == [random.Random(42).random(), True]


@pytest.mark.parametrize(
    ("first_line", "call"),
    [
        ("import uuid", "uuid.uuid1()"),
        ("import random", "random.SystemRandom()"),
        ("import secrets", "secrets.token_hex()"),
        ("from secrets import choice", "choice([1, 2])"),
        ("import threading", "threading.Thread(target=print)"),
        ("from threading import Thread", "Thread(target=print)"),
        ("from concurrent.futures import ThreadPoolExecutor", "ThreadPoolExecutor()"),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_what_can_not_be_repeated_is_refused(first_line, call, inside):
    """The machine's identity, the system's randomness and threads have no deterministic twin."""
    source = f"def flow():\n {first_line}\n {call}" if inside else f"{first_line}\ndef flow(): {call}"
    player = Player(cell(source)["flow"]).start()
    assert player.failure.type_name == "NondeterminismError"
    assert "is not the same in every replay" in player.failure.message
    player.close()


def test_sleep_is_durable_in_def():
    """time.sleep is a timer."""
    flow = cell("import time\ndef flow():\n began = time.time()\n time.sleep(3600)\n return time.time() - began")[
        "flow"
    ]
    assert outcome(flow) == pytest.approx(3600, abs=1e-5)


def test_sleep_is_refused_in_async_def():
    """It would block everything; the error says what to write."""
    player = Player(cell("import time\nasync def flow(): time.sleep(1)")["flow"]).start()
    assert "await nbflow.sleep" in player.failure.message
    player.close()


def test_nothing_global_is_patched():
    """While workflow code runs, everybody else has the real modules."""
    originals = {name: dict(vars(sys.modules[name])) for name in ("time", "random", "uuid", "datetime", "builtins")}
    seen = []

    def flow():
        time.time()
        seen.extend(name for name in originals if originals[name] != dict(vars(sys.modules[name])))

    outcome(flow)
    assert seen == []


def test_types_stay_what_they_are():
    """Values are real datetimes, and isinstance says so inside workflow code."""

    def flow():
        now, today = dt.datetime.now(), dt.date.today()
        return [
            isinstance(now, dt.datetime),
            isinstance(now, dt.date),
            isinstance(today, dt.datetime),
            issubclass(dt.datetime, dt.date),
            dt.datetime(2025, 1, 2).isoformat(),
            dt.datetime.fromisoformat("2025-01-02").year,
            dt.datetime.strptime("2025", "%Y").isoformat(),
            dt.date(2025, 1, 2).isoformat(),
            dt.datetime.combine(dt.date(2025, 1, 2), dt.time(3)).isoformat(),
            dt.datetime.fromordinal(1).isoformat(),
            str(dt.timedelta(days=1)),
            dt.datetime.max.year,
        ]

    assert outcome(flow) == [
        True, True, False, True, "2025-01-02T00:00:00", 2025, "2025-01-01T00:00:00", "2025-01-02",
        "2025-01-02T03:00:00", "0001-01-01T00:00:00", "1 day, 0:00:00", 9999,
    ]  # fmt: skip


def test_helpers_may_refer_to_themselves_and_each_other():
    """Recursion through globals and through closures ends."""
    flow = cell(
        """
        import time
        def even(n): return time.time() if n == 0 else odd(n - 1)
        def odd(n): return even(n - 1)
        def make():
            def down(n): return even(0) if n == 0 else down(n - 1)
            return down
        down = make()
        def flow(): return [even(4), down(3)]
        """
    )["flow"]
    assert outcome(flow) == [pytest.approx(NOW), pytest.approx(NOW)]


def test_closures_of_a_factory_that_refer_to_themselves():
    """A workflow made by a function, whose helpers close over each other."""
    flow = cell(
        """
        import time
        def make():
            def fact(n): return 1 if n == 0 else n * fact(n - 1)
            def flow(): return [fact(5), time.time()]
            return flow
        flow = make()
        """
    )["flow"]
    assert outcome(flow) == [120, pytest.approx(NOW)]


def timed(function):
    """A decorator of another module."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        began = time.time()
        result = function(*args, **kwargs)
        return [result, time.time() - began]

    return wrapper


def test_decorators_of_other_modules_do_not_break_the_sandbox():
    """Neither what is decorated nor the decorator's wrapper sees the real clock."""
    namespace = cell("import time\ndef flow(): return time.time()")
    assert outcome(timed(namespace["flow"])) == [pytest.approx(NOW), 0.0]


def test_a_plain_decorator_around_async_def():
    """A wrapper that only passes on what an async def returned."""
    namespace = cell("import time\nasync def flow():\n await nbflow.sleep(5)\n return time.time()")

    def passing_on(function):
        @functools.wraps(function)
        def wrapper():
            return function()

        return wrapper

    assert outcome(passing_on(namespace["flow"])) == pytest.approx(NOW + 5)


def test_global_assignments_stay_within_the_execution():
    """`global` writes to the execution's own globals; another execution begins anew."""
    namespace = cell("count = 0\ndef flow():\n global count\n count += 1\n return count")
    assert [outcome(namespace["flow"]) for _ in range(2)] == [1, 1]
    assert namespace["count"] == 0


def test_globals_are_looked_up_once():
    """A cell that runs while an execution waits does not change what the execution sees."""
    namespace = cell("rate = 2\ndef flow():\n a = rate\n nbflow.sleep(5)\n return [a, rate]")
    player = Player(namespace["flow"]).start()
    namespace["rate"] = 3
    assert player.fire().result == [2, 2]
    player.close()


def test_a_missing_name_is_a_name_error():
    """The usual one."""
    player = Player(cell("def flow(): return unknown")["flow"]).start()
    assert player.failure.headline() == "NameError: name 'unknown' is not defined"
    player.close()


def test_the_notebooks_own_print_wins():
    """A name that the user defined is not exchanged."""
    flow = cell("out = []\ndef print(*a): out.append(a)\ndef flow():\n print(1)\n return out")["flow"]
    assert outcome(flow) == [[1]]


def test_print_is_silent_on_replay(capsys):
    """What was printed once is not printed again, and is logged once."""

    def flow():
        print("hello", "there", sep="-")
        nbflow.sleep(1)
        print("again")

    player = Player(flow).start().fire()
    assert capsys.readouterr().out == "hello-there\nagain\n"
    assert player.logs == [(20, "hello-there"), (20, "again")]
    again = player.replayed()
    assert capsys.readouterr().out == ""
    assert again.logs == []
    again.evict()
    player.close()


def test_asyncio_run_waits_on_the_loop_that_there_is():
    """A plain def workflow may call asyncio.run, as notebook code does."""
    flow = cell(
        """
        import asyncio
        async def main(x):
            await asyncio.sleep(60)
            return x + 1
        def flow(): return asyncio.run(main(1))
        """
    )["flow"]
    assert outcome(flow) == 2


def test_asyncio_run_in_async_def_says_await():
    """As everywhere in asyncio, and without a coroutine that was never awaited."""
    player = Player(cell("import asyncio\nasync def g(): pass\nasync def flow(): asyncio.run(g())")["flow"]).start()
    assert "write 'await' instead" in player.failure.message
    player.close()


def test_as_completed_takes_coroutines_in_their_order():
    """asyncio's own would make tasks of a set of coroutines, whose order is chance."""

    async def flow():
        import asyncio

        async def value(i):
            return i

        return [await future for future in asyncio.as_completed([value(i) for i in range(20)])]

    assert outcome(flow) == list(range(20))


def test_a_captured_table_may_hold_what_has_no_copies():
    """Activities, modules and functions in a dict are shared; the dict itself is the execution's own."""

    def sandbox_tabled(x):
        return x

    pinned = {"table": {"activity": nbflow.activity(sandbox_tabled), "module": sys}}
    flow = cell("def flow():\n table['new'] = 1\n return table")["flow"]
    sandbox = Sandbox(flow, pinned)
    assert sandbox.function() == {**pinned["table"], "new": 1}
    assert "new" not in pinned["table"]
    sandbox.close()
