"""A whole headless run: the notebook is saved, a kernel started, its cells run, and all of it told truthfully."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from nbflow.exceptions import ConfigurationError
from nbflow.runner import cell_metadata, history, store_gate, wall_time
from nbflow.runner.cells import CellRunner
from nbflow.runner.conversation import Conversation
from nbflow.runner.kernel import Kernel
from nbflow.runner.notebook_text import NotebookText
from nbflow.runner.options import RunOptions
from nbflow.runner.outcomes import ActivityCounts, CellResult, CellStatus, Ending, RunResult, RunStatus
from nbflow.runner.plan import Plan, Step, make_plan
from nbflow.runner.reporter import Reporter, SilentReporter
from nbflow.runner.settings import kernel_environment
from nbflow.runner.startup import KernelStartError, start_kernel
from nbflow.runner.stopping import StopSwitch, signals_throw, timeout_throws

STOPPED_SHUTDOWN_GRACE = 1.5
"""Seconds that the kernel may take to end once a signal has come: all must be over within five."""


def run_notebook(options: RunOptions, reporter: Reporter | None = None) -> RunResult:
    """Run a notebook top to bottom in a fresh kernel and save it after every cell.

    Under the run id of an earlier run this continues it: cells run again, and activities that had completed answer
    from the event log. Call it where no asyncio loop runs; `run_notebook_async` is for elsewhere.

    Parameters
    ----------
    options
        What to run and how.
    reporter
        Told of what happens; silent unless given.

    Raises
    ------
    ConfigurationError
        If an option, a parameter or the notebook makes a run impossible. What goes wrong later is in the result.
    """
    return asyncio.run(run_notebook_async(options, reporter))


async def run_notebook_async(options: RunOptions, reporter: Reporter | None = None) -> RunResult:
    """Do what `run_notebook` does, on the running loop."""
    return await _Run(make_plan(options), reporter or SilentReporter()).execute()


class _Run:
    def __init__(self, plan: Plan, reporter: Reporter) -> None:
        self._plan = plan
        self._reporter = reporter
        self._switch = StopSwitch()
        self._text = NotebookText(plan.nb)
        self._changed: set[int] = set()
        self._results: dict[int, CellResult] = {}
        self._warnings: list[str] = []
        self._step_of_cell = {id(step.cell): step for step in plan.steps}
        self._started = wall_time.now()
        self._begun = time.monotonic()

    async def execute(self) -> RunResult:
        self._begin()
        try:
            with signals_throw(self._switch), timeout_throws(self._switch, self._plan.options.run_timeout):
                ending = await self._run()
                return self._conclude(ending, self._count_activities())
        except ConfigurationError as error:  # a kernel whose command is not there
            self._conclude(Ending(RunStatus.FAILED, 2, str(error)), None)
            raise
        except BaseException as error:
            self._conclude(Ending.failure(f"the runner failed: {type(error).__name__}: {error}"), None)
            raise

    def _begin(self) -> None:
        plan = self._plan
        for step in plan.steps:
            if step.skipped is None:
                cell_metadata.mark_pending(step.cell)
        self._mark_notebook(RunStatus.RUNNING)
        try:
            plan.output.save(self._text.text())
        except OSError as error:
            raise ConfigurationError(f"can't write {plan.output.path}: {error.strerror or error}") from None
        self._reporter.run_started(plan)

    async def _run(self) -> Ending:
        started = await self._start_kernel()
        if isinstance(started, Ending):
            return started
        kernel, conversation = started
        try:
            await self._wait_for_store()
            return await self._run_cells(kernel, conversation)
        finally:
            await self._end_kernel(kernel, conversation)

    async def _start_kernel(self) -> tuple[Kernel, Conversation] | Ending:
        plan = self._plan
        environment = kernel_environment(run_id=plan.run_id, store=plan.store, notebook=plan.notebook_path)
        starting = asyncio.create_task(
            start_kernel(
                lambda: Kernel(plan.kernel_name, plan.cwd, environment),
                plan.nb,
                timeout=plan.options.startup_timeout,
                on_stream=self._on_stream,
                changed=self._changed,
            )
        )
        stop = asyncio.create_task(self._switch.wait())
        await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not starting.done():
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
            assert self._switch.ending is not None
            return self._switch.ending
        try:
            return starting.result()
        except KernelStartError as error:
            reason = f"{error.reason}\n{error.last_words}".rstrip()
            return Ending(RunStatus.KERNEL_DIED, error.exit_code, reason)

    async def _wait_for_store(self) -> None:
        waiting = asyncio.create_task(store_gate.wait_until_free(self._plan.store))
        stop = asyncio.create_task(self._switch.wait())
        await asyncio.wait({waiting, stop}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done() and not waiting.result():
            self._warn(f"another process holds the store {self._plan.store}")
        for task in (waiting, stop):
            task.cancel()
        await asyncio.gather(waiting, stop, return_exceptions=True)

    async def _run_cells(self, kernel: Kernel, conversation: Conversation) -> Ending:
        options = self._plan.options
        runner = CellRunner(
            kernel, conversation, self._switch, timeout=options.cell_timeout, interrupt_grace=options.interrupt_grace
        )
        for step in self._plan.steps:
            if step.skipped is not None:
                self._record(step, _not_run(step, step.skipped))
                continue
            if self._switch.ending is not None:
                return self._switch.ending
            started = wall_time.now()
            cell_metadata.mark_running(step.cell, started)
            self._changed.add(step.index)
            self._reporter.cell_started(step)
            # one save tells that the cell before has ended and that this one runs; the kernel works meanwhile
            verdict = await runner.run(step, on_sent=self._save)
            cell_metadata.mark_ended(step.cell, verdict.result, started, wall_time.now())
            self._record(step, verdict.result)
            if verdict.ending is not None:
                return verdict.ending
        return Ending.success()

    async def _end_kernel(self, kernel: Kernel, conversation: Conversation) -> None:
        conversation.write_widget_state()
        self._save()
        ending = asyncio.create_task(kernel.shutdown(self._plan.options.shutdown_grace))
        stop = asyncio.create_task(self._switch.wait())
        await asyncio.wait({ending, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            await asyncio.wait({ending}, timeout=STOPPED_SHUTDOWN_GRACE)
        for task in (ending, stop):
            task.cancel()
        await asyncio.gather(ending, stop, return_exceptions=True)
        await kernel.kill()
        await conversation.drain()
        conversation.write_widget_state()
        await conversation.close()
        await kernel.close()

    def _count_activities(self) -> ActivityCounts | None:
        try:
            return history.count_activities(self._plan.store, self._plan.run_id, wall_time.microseconds(self._started))
        except history.UnreadableStoreError as error:
            self._warn(f"what was replayed can't be told: {error}")
            return None

    def _conclude(self, ending: Ending, activities: ActivityCounts | None) -> RunResult:
        for step in self._plan.steps:
            if step.number not in self._results:
                self._record(step, _not_run(step, None))
        self._mark_notebook(ending.status, ending, activities)
        saved = self._save(final=True)
        if not saved and ending.exit_code == 0:
            ending = Ending.failure("the executed notebook could not be saved")
        result = RunResult(
            status=ending.status,
            exit_code=ending.exit_code,
            reason=ending.reason,
            run_id=self._plan.run_id,
            notebook=self._plan.options.notebook,
            output=self._plan.output.path,
            store=self._plan.store,
            duration=time.monotonic() - self._begun,
            cells=tuple(self._results[step.number] for step in self._plan.steps),
            activities=activities,
            warnings=tuple(self._warnings),
        )
        self._reporter.run_ended(result)
        return result

    def _record(self, step: Step, result: CellResult) -> None:
        self._results[step.number] = result
        self._changed.add(step.index)
        if result.status is CellStatus.NOT_RUN:
            cell_metadata.mark_ended(step.cell, result, None, None)
        self._reporter.cell_ended(step, result)

    def _mark_notebook(
        self, status: RunStatus, ending: Ending | None = None, activities: ActivityCounts | None = None
    ) -> None:
        over = ending is not None
        cell_metadata.mark_notebook(
            self._plan.nb,
            run_id=self._plan.run_id,
            status=str(status),
            exit_code=int(ending.exit_code) if ending else None,
            reason=ending.reason if ending else None,
            start_time=wall_time.iso(self._started),
            end_time=wall_time.iso(wall_time.now()) if over else None,
            duration=round(time.monotonic() - self._begun, 6) if over else None,
            parameters=self._plan.parameters or None,
            activities=dict(vars(activities)) if activities else None,
        )

    def _save(self, *, final: bool = False) -> bool:
        try:
            text = self._text.text(self._changed)
            self._changed.clear()
            self._plan.output.save(text, final=final)
        except OSError as error:
            path = self._plan.output.path
            self._warn(f"can't save {path}: {error.strerror or error}; the file holds an earlier state")
            return False
        return True

    def _warn(self, text: str) -> None:
        if text not in self._warnings:
            self._warnings.append(text)
            self._reporter.warned(text)

    def _on_stream(self, cell: Any, stream: str, text: str) -> None:
        self._reporter.cell_printed(self._step_of_cell[id(cell)], stream, text)


def _not_run(step: Step, reason: str | None) -> CellResult:
    return CellResult(step.number, step.index, step.cell["id"], CellStatus.NOT_RUN, reason=reason)
