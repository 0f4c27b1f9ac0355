"""Executions leave memory at once, whatever their cleanup code does, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import textwrap
import warnings
import weakref

import pytest
from replay_corpus import CORPUS, double, flaky
from replay_player import Player

import nbflow
from nbflow.exceptions import ActivityError, ApplicationError, WorkflowEvicted


@contextlib.contextmanager
def nothing_to_complain_about(capsys):
    """No warning, no unraisable exception, nothing printed, the garbage collector's findings included."""
    complaints = []
    hook, sys.unraisablehook = sys.unraisablehook, complaints.append
    capsys.readouterr()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
            gc.collect()
    finally:
        sys.unraisablehook = hook
    assert [str(it.exc_value) for it in complaints] == []
    assert capsys.readouterr() == ("", "")


async def swallows_everything():
    while True:
        try:
            await nbflow.sleep(1)
        except BaseException:
            continue


def swallows_everything_def():
    while True:
        try:
            nbflow.sleep(1)
        except BaseException:
            continue


async def swallows_without_asking():
    waiting = asyncio.Event()
    while True:
        try:
            await waiting.wait()
        except BaseException:
            continue


async def swallows_and_yields():
    await nbflow.sleep(1)
    while True:
        try:
            await asyncio.sleep(0)
        except BaseException:
            continue


async def cleans_up_with_everything():
    try:
        await nbflow.sleep(1)
    finally:
        print("cleaning up")
        nbflow.logger.info("cleaning up")
        task = asyncio.create_task(_leaf())
        task.add_done_callback(print)
        asyncio.get_running_loop().call_soon(print, "called")
        with contextlib.suppress(WorkflowEvicted):
            await double(1)
        with contextlib.suppress(WorkflowEvicted):
            nbflow.side_effect(lambda: print("effect"))
        await asyncio.Event().wait()
        print("never")


async def _leaf():
    await flaky(1)


def cleans_up_def():
    try:
        nbflow.sleep(1)
    finally:
        print("cleaning up")
        double(1)


async def raises_in_cleanup():
    try:
        await nbflow.sleep(1)
    finally:
        raise ValueError("in cleanup")


async def cancels_others_in_cleanup():
    tasks = [asyncio.create_task(_leaf()) for _ in range(3)]
    try:
        await nbflow.sleep(1)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def suspended_in_generators():
    async def numbers():
        try:
            yield await double(1)
            yield 2
        finally:
            await double(2)

    async for _ in numbers():
        await nbflow.sleep(1)


async def swallowing_generator():
    async def numbers():
        while True:
            try:
                yield 1
            except BaseException:
                continue

    async for _ in numbers():
        await nbflow.sleep(1)


async def tasks_not_begun():
    task = asyncio.create_task(_leaf())
    return task.done()


async def fails_with_tasks():
    task = asyncio.create_task(_leaf())
    assert not task.done()
    raise ValueError("x")


async def unretrieved_failure():
    async def fail():
        raise ValueError("nobody looks")

    task = asyncio.create_task(fail())
    await nbflow.sleep(1)
    return task.done()


BODIES = [
    swallows_everything,
    swallows_everything_def,
    swallows_without_asking,
    cleans_up_with_everything,
    cleans_up_def,
    raises_in_cleanup,
    cancels_others_in_cleanup,
    suspended_in_generators,
    swallowing_generator,
    tasks_not_begun,
    fails_with_tasks,
    unretrieved_failure,
]


@pytest.mark.parametrize("function", BODIES, ids=lambda function: function.__name__)
def test_eviction_is_quick_and_quiet(function, capsys):
    """Nothing is printed, recorded, logged or complained about, at once or when the collector comes."""
    with nothing_to_complain_about(capsys):
        player = Player(function).start()
        logs = list(player.logs)
        player.close()
        assert player.instance.outstanding == []
        assert player.instance.logs == []
        assert player.logs == logs
        del player


@pytest.mark.parametrize("body", CORPUS, ids=lambda body: body.name)
def test_an_evicted_execution_is_freed_at_once(body):
    """No reference cycle keeps it until the collector comes: thousands leave memory in a second."""
    player = Player(body.function, *body.args).start()
    if player.activities:
        player.run()
    instance = weakref.ref(player.instance)
    gc.collect()
    gc.disable()
    try:
        player.close()
        player.instance = None
        assert instance() is None
    finally:
        gc.enable()


async def catches_failures():
    for _ in range(2):
        with contextlib.suppress(ActivityError):
            await flaky(1)
    await nbflow.sleep(60)


async def waits_in_vain():
    with contextlib.suppress(TimeoutError):
        await nbflow.wait_for_signal("go", timeout=1)
    with contextlib.suppress(TimeoutError):
        await nbflow.wait_condition(lambda: False, timeout=1)
    await nbflow.sleep(60)


def fails_twice(player):
    player.fail(0, ApplicationError("no")).fail(0, ApplicationError("no"))


def fires_twice(player):
    player.fire().fire()


@pytest.mark.parametrize(("function", "live"), [(catches_failures, fails_twice), (waits_in_vain, fires_twice)])
def test_errors_that_were_caught_keep_nothing(function, live):
    """What failed or was waited for too long holds its error, whose traceback does not hold it in turn."""
    player = Player(function).start()
    instance = weakref.ref(player.instance)
    gc.collect()
    gc.disable()
    try:
        live(player)
        player.close()
        player.instance = None
        assert instance() is None
    finally:
        gc.enable()


async def asks_and_is_let_go():
    handles = [double(1), nbflow.sleep(5)]
    await asyncio.wait(handles, return_when=asyncio.FIRST_COMPLETED)


def test_what_is_not_recorded_keeps_nothing():
    """An execution that leaves before its commands are recorded is freed at once, too."""
    player = Player(asks_and_is_let_go).start()
    instance = player.replayed(1)
    assert len(instance.outstanding) == 2
    found = weakref.ref(instance)
    gc.collect()
    gc.disable()
    try:
        instance.evict()
        del instance
        assert found() is None
    finally:
        gc.enable()
    player.close()


def test_what_can_not_be_ended_is_quiet_at_exit(tmp_path):
    """A coroutine that swallows every exception stays in memory; the process ends without a word about it."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import nbflow
            from nbflow.core.definitions import Definition
            from nbflow.core.events import WorkflowExecutionStarted
            from nbflow.core.instance import WorkflowInstance
            from nbflow.core.payloads import JsonConverter, Payload

            async def stubborn():
                while True:
                    try:
                        await nbflow.sleep(1)
                    except BaseException:
                        continue

            def stubborn_def():
                while True:
                    try:
                        nbflow.sleep(1)
                    except BaseException:
                        continue

            for function in (stubborn, stubborn_def):
                definition = Definition(kind="workflow", name="stubborn", function=function, hash="h")
                instance = WorkflowInstance("run", definition, JsonConverter())
                instance.activate([WorkflowExecutionStarted(
                    event_id=1, event_time=10**15, workflow_type="stubborn", workflow_id="w", input=Payload("[]"))])
                instance.evict()
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_generator_that_the_collector_finds_asks_for_nothing(capsys):
    """Dropped in a reference cycle, its cleanup comes at a moment that replay does not know: it gets no answer."""

    async def flow():
        async def numbers():
            try:
                yield 1
                yield 2
            finally:
                double(100)

        generator = numbers()
        await generator.__anext__()
        cycle = [generator]
        cycle.append(cycle)
        del generator, cycle
        await nbflow.sleep(1)

    player = Player(flow).start()
    with nothing_to_complain_about(capsys):
        gc.collect()
    assert player.instance.outstanding == []
    assert player.fire().types == ["Started", "TimerStarted", "TimerFired", "Completed"]
    player.close()


def test_a_generator_left_early_cleans_up_in_the_execution():
    """`break` drops it there and then: its cleanup is workflow code and may ask for activities."""

    async def flow():
        async def numbers():
            try:
                yield 1
                yield 2
            finally:
                await double(100)

        async for _ in numbers():
            break
        await nbflow.sleep(1)

    player = Player(flow).start()
    assert player.types == ["Started", "TimerStarted", "ActivityTaskScheduled"]
    player.close()


def test_the_outer_loops_generator_hooks_come_back():
    """The engine's own loop has hooks too; an activation borrows their place."""
    before = sys.get_asyncgen_hooks()
    player = Player(swallowing_generator).start()
    assert sys.get_asyncgen_hooks() == before
    player.close()
    assert sys.get_asyncgen_hooks() == before


def test_asking_after_eviction_is_control_flow():
    """Cleanup code that asks for something gets WorkflowEvicted, which `except Exception` lets pass."""
    caught = []

    async def flow():
        try:
            await nbflow.sleep(1)
        finally:
            for ask in (double, flaky, nbflow.sleep, lambda x: nbflow.wait_for_signal("x"), nbflow.side_effect):
                try:
                    ask(1)
                except Exception:
                    caught.append("eaten")
                except WorkflowEvicted as error:
                    caught.append(str(error))

    player = Player(flow).start()
    player.close()
    assert caught == ["run-1"] * 5
