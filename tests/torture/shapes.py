"""The workflows that are killed: each activity leaves a line in a log of side effects before and after it works.

The line is written with O_APPEND in one call, so it survives SIGKILL whole, and tells which attempt of which
activity really ran, whatever the store says of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random as random_module
import time

import nbflow
from nbflow import RetryPolicy, activity, workflow

EFFECTS = os.environ.get("TORTURE_EFFECTS", "")
FAST_RETRY = RetryPolicy(initial_interval=0.02, maximum_interval=0.05)

on_phase = None
"""Called with "begin" or "end" after such a line was written; kills the process at chosen points."""


def append_line(path, tree):
    """Append one line of JSON in a single write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (json.dumps(tree) + "\n").encode())
    finally:
        os.close(descriptor)


def effect(phase, **more):
    """Leave a line of the running attempt."""
    info = nbflow.activity_info()
    line = {
        "phase": phase,
        "key": info.idempotency_key,
        "name": info.activity_type,
        "attempt": info.attempt,
        "monotonic": time.monotonic_ns(),
        "wall": time.time_ns() // 1000,
        "pid": os.getpid(),
    }
    append_line(EFFECTS, line | more)
    if on_phase is not None:
        on_phase(phase)


def pause(seconds):
    """Work for a while."""
    time.sleep(seconds)


@activity(retry=FAST_RETRY)
def step(value):
    """Add one, slowly."""
    effect("begin")
    pause(0.01)
    effect("end")
    return value + 1


@activity(retry=FAST_RETRY)
async def astep(value):
    """Add one, slowly, on the engine's loop."""
    effect("begin")
    await asyncio.sleep(0.01)
    effect("end")
    return value + 1


@activity(retry=FAST_RETRY)
def flaky(value, failures):
    """Fail in the first attempts."""
    effect("begin")
    pause(0.005)
    if nbflow.activity_info().attempt <= failures:
        raise ConnectionError(f"attempt {nbflow.activity_info().attempt} finds nobody")
    effect("end")
    return value * 10


@activity(retry=RetryPolicy(initial_interval=0.02, maximum_attempts=3))
def at_most_three(value):
    """Fail in the first attempt; never tried more than three times."""
    effect("begin")
    pause(0.02)
    if nbflow.activity_info().attempt == 1:
        raise ConnectionError("first attempts fail")
    effect("end")
    return value


@activity(retry=RetryPolicy(initial_interval=0.02, maximum_attempts=4))
def queued(value):
    """Wait in the queue of a small pool, with counted attempts."""
    effect("begin")
    pause(0.004)
    effect("end")
    return value * value


@activity(retry=1)
def at_most_once(value):
    """Never tried twice."""
    effect("begin")
    pause(0.01)
    effect("end")
    return value


@activity(retry=FAST_RETRY, heartbeat_timeout=5)
def tracked(count):
    """Go through items; an item that an earlier attempt reported is not done again."""
    effect("begin", resumes_behind=(nbflow.activity_info().heartbeat_details or {}).get("done", 0))
    done = []
    for item in nbflow.track(range(count)):
        pause(0.02)
        done.append(item)
    effect("end", items=done)
    return count


@activity(retry=FAST_RETRY, start_to_close_timeout=0.15)
def hangs_once(value):
    """Exceed the timeout in odd attempts."""
    effect("begin")
    if nbflow.activity_info().attempt % 2:
        pause(0.3)
    effect("end")
    return value


@activity(retry=FAST_RETRY)
def big(letter):
    """Return a value of 400 kB."""
    effect("begin")
    effect("end")
    return letter * 400_000


@activity(retry=FAST_RETRY)
def digest(text):
    """Hash a large argument."""
    effect("begin")
    effect("end")
    return hashlib.sha256(text.encode()).hexdigest()


@activity(retry=FAST_RETRY, run_in="process")
def apart(value):
    """Work in another process."""
    effect("begin")
    pause(0.02)
    effect("end")
    return -value


@activity(retry=FAST_RETRY, cancellation_type="WAIT_CANCELLATION_COMPLETED")
async def cancellable():
    """Wait to be cancelled."""
    effect("begin")
    try:
        await asyncio.sleep(30)
    finally:
        effect("end")


@workflow
def sequential(start):
    """Eight steps, one behind the other."""
    value = start
    for _ in range(8):
        value = step(value)
    return value


@workflow
async def sequential_async(start):
    """Eight steps on the loop."""
    value = start
    for _ in range(8):
        value = await astep(value)
    return value


@workflow
def fan_out(count):
    """Map, then gather mixed handles."""
    first = step.map(range(count))
    second = nbflow.gather(*[step.start(value) for value in first], *[astep.start(value) for value in first])
    return sum(second)


@workflow
async def fan_out_async(count):
    """The same with asyncio, in two waves that overlap."""

    async def chain(value):
        value = await step(value)
        return await astep(value)

    return sum(await asyncio.gather(*[chain(value) for value in range(count)]))


@workflow
def sleeping(start):
    """Timers between steps."""
    value = start
    for _ in range(4):
        nbflow.sleep(0.04)
        value = step(value)
    nbflow.sleep(0.05)
    return value


@workflow
async def racing(start):
    """Timers against activities: waits that expire, timers that are cancelled."""
    won = 0
    for _ in range(3):
        try:
            async with asyncio.timeout(3600):  # never, however long the process stays dead
                won += await astep(start) - start
        except TimeoutError:
            won -= 100
        try:
            await nbflow.wait_condition(lambda: False, timeout=0.03)
        except TimeoutError:
            won += 10
    return won


@workflow
def retrying(start):
    """Activities that fail first."""
    return [flaky(start, 2), *nbflow.gather(*[flaky.start(value, value % 3) for value in range(4)])]


@workflow
def limited(count):
    """Activities with few attempts, some of which are lost in kills: every end is told apart."""
    handles = [at_most_three.start(value) for value in range(count)] + [
        at_most_once.start(value) for value in range(count)
    ]
    outcomes = nbflow.gather(*handles, return_exceptions=True)
    return [outcome if isinstance(outcome, int) else type(outcome).__name__ for outcome in outcomes]


@workflow
def crowded(count):
    """Far more activities than the pool has room for, with counted attempts."""
    outcomes = queued.map(range(count), return_exceptions=True)
    return [outcome if isinstance(outcome, int) else type(outcome).__name__ for outcome in outcomes]


@workflow
async def signalled(slots):
    """Collect signals by a handler until every slot was told of; each is [slot, nonce]."""
    seen = []

    @nbflow.signal
    async def told(slot, nonce):
        value = await astep(slot)
        assert value == slot + 1
        seen.append([slot, nonce])

    await nbflow.wait_condition(lambda: {slot for slot, _ in seen} >= set(range(slots)))
    return seen


@workflow
def awaiting_signals(slots):
    """Wait for signals one by one, with work in between."""
    seen, filled = [], set()
    while len(filled) < slots:
        slot, nonce = nbflow.wait_for_signal("told")
        seen.append([slot, nonce])
        filled.add(slot)
        step(slot)
    return seen


@workflow
def tracking(count):
    """Activities that report how far they got."""
    return sum(tracked.map([count, count]))


@workflow
def timing_out(start):
    """Activities that run into their timeout, and again."""
    return nbflow.gather(*[hangs_once.start(start + n) for n in range(3)])


@workflow
def small(value):
    """One activity; there are many of these."""
    return step(value)


@workflow
def large(letter):
    """Values of 400 kB as results and arguments."""
    texts = [big(letter), big(letter.upper())]
    return [digest(texts[0]), digest(texts[1]), len(texts[0] + texts[1])]


@workflow
def other_process(start):
    """An activity in a process of its own."""
    return apart(step(start))


@workflow
async def chance(start):
    """Random numbers, ids, side effects, and time: the same whenever the execution is rebuilt."""
    drawn = [nbflow.random().random(), str(nbflow.uuid4()), nbflow.side_effect(random_module.random)]
    before = nbflow.now()
    for _ in range(3):
        await asyncio.sleep(0.02)
        drawn += [nbflow.random().random(), await astep(start)]
    return [drawn, (nbflow.now() - before).total_seconds() > 0.05]


@workflow
async def cancelling(start):
    """Cancel an activity, wait until it has let go, and go on."""
    handle = cancellable.start()
    await nbflow.sleep(0.05)
    handle.cancel()
    try:
        await handle
    except asyncio.CancelledError:
        return await astep(start)
    return "not cancelled"


def expected_digests(letter):
    """Return what ``large`` returns."""
    return [hashlib.sha256((text * 400_000).encode()).hexdigest() for text in (letter, letter.upper())] + [800_000]


class Shape:
    """One kind of execution: how many are started, with what, and which results are right."""

    def __init__(self, definition, argument, is_right, executions=2, signals=0):
        self.definition = definition
        self.argument = argument
        self.is_right = is_right
        self.executions = executions
        self.signals = signals

    @property
    def name(self):
        """The workflow's name."""
        return self.definition.name


def equals(value):
    """Return a check for one value."""
    return lambda result: result == value


def limited_is_right(result):
    """Every outcome is the value, or the failure of an activity that used up its attempts."""
    return all(outcome in (value % 5, "ActivityError") for value, outcome in enumerate(result)) and len(result) == 10


SHAPES = {
    shape.name: shape
    for shape in (
        Shape(sequential, 10, equals(18)),
        Shape(sequential_async, 20, equals(28)),
        Shape(fan_out, 12, equals(2 * (sum(range(12)) + 24))),
        Shape(fan_out_async, 12, equals(sum(range(12)) + 24)),
        Shape(sleeping, 5, equals(9), executions=6),
        Shape(racing, 3, equals(33)),
        Shape(retrying, 7, equals([70, 0, 10, 20, 30])),
        Shape(limited, 5, limited_is_right),
        Shape(crowded, 60, lambda r: len(r) == 60 and all(v in (n * n, "ActivityError") for n, v in enumerate(r)), 1),
        Shape(signalled, 8, lambda r: {slot for slot, _ in r} == set(range(8)), signals=8),
        Shape(awaiting_signals, 6, lambda r: {slot for slot, _ in r} == set(range(6)), signals=6),
        Shape(tracking, 12, equals(24), 1),
        Shape(timing_out, 4, equals([4, 5, 6]), 1),
        Shape(small, 1, equals(2), executions=40),
        Shape(large, "x", equals(expected_digests("x"))),
        Shape(other_process, 3, equals(-4), 1),
        Shape(chance, 1, lambda r: r[1] and r[0][4::2] == [2, 2, 2]),
        Shape(cancelling, 1, equals(2)),
    )
}
