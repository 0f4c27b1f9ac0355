"""Running one cell to an end that is known: replied, timed out, stopped from outside, or gone with its kernel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbflow.runner.conversation import Conversation, Request
from nbflow.runner.kernel import Kernel
from nbflow.runner.outcomes import CellError, CellResult, CellStatus, Ending, RunStatus
from nbflow.runner.plan import Step
from nbflow.runner.stopping import StopSwitch

STOP_GRACE = 2.0
"""Seconds that a cell may take to end once a signal or the run's timeout interrupts it."""

TOLERATED_TAG = "raises-exception"
_CLEAN_EXITS = {"", "0", "None"}


@dataclass(frozen=True)
class Verdict:
    """How a cell ended, and whether the run ends with it.

    Parameters
    ----------
    result
        The cell's result.
    ending
        How the run ends; None if it goes on.
    """

    result: CellResult
    ending: Ending | None = None


class CellRunner:
    """Runs cells in one kernel.

    Parameters
    ----------
    kernel, conversation
        The kernel and the talk with it.
    switch
        Thrown when the run must end.
    timeout
        Seconds that a cell may take; None for no limit.
    interrupt_grace
        Seconds that a cell may take to end after its timeout, before the kernel is killed.
    """

    def __init__(
        self,
        kernel: Kernel,
        conversation: Conversation,
        switch: StopSwitch,
        *,
        timeout: float | None,
        interrupt_grace: float,
    ) -> None:
        self._kernel = kernel
        self._conversation = conversation
        self._switch = switch
        self._timeout = timeout
        self._interrupt_grace = interrupt_grace

    async def run(self, step: Step, on_sent: Callable[[], object]) -> Verdict:
        """Send a cell and see it end.

        Parameters
        ----------
        step
            The cell.
        on_sent
            Called while the kernel is at work on it.
        """
        begun = time.monotonic()
        request = self._conversation.execute(step.cell, step.index)
        on_sent()
        answer = asyncio.create_task(self._conversation.answer(request))
        exit_ = asyncio.create_task(self._kernel.wait_for_exit())
        stop = asyncio.create_task(self._switch.wait())
        try:
            await asyncio.wait({answer, exit_, stop}, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
            duration = time.monotonic() - begun
            if answer.done():
                return judge(step, answer.result(), duration)
            if exit_.done():
                return await self._judge_death(step, request, duration)
            verdict = await self._end(step, answer, exit_, begun)
            return verdict or await self._judge_death(step, request, time.monotonic() - begun)
        finally:
            for task in (answer, exit_, stop):
                task.cancel()
            await asyncio.gather(answer, exit_, stop, return_exceptions=True)

    async def _judge_death(self, step: Step, request: Request, duration: float) -> Verdict:
        await self._conversation.drain()
        if request.reply.done() and not request.reply.exception():  # it ended after the cell had
            return judge(step, request.reply.result(), duration)
        death = self._kernel.death()
        reason = f"cell {step.number}: {death.cause}"
        if death.last_words:
            reason += f"\nthe kernel's last words:\n{death.last_words}"
        ending = Ending(RunStatus.KERNEL_DIED, death.run_exit_code, reason)
        return Verdict(_result(step, CellStatus.KERNEL_DIED, duration, reason=death.cause), ending)

    async def _end(
        self, step: Step, answer: asyncio.Task[dict[str, Any]], exit_: asyncio.Task[None], begun: float
    ) -> Verdict | None:
        """Interrupt the cell, first to get its traceback; None if the kernel had died by itself meanwhile."""
        why = self._switch.ending
        await self._kernel.interrupt()
        grace = STOP_GRACE if why else self._interrupt_grace
        await asyncio.wait({answer, exit_}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        duration = time.monotonic() - begun
        why = self._switch.ending
        if not answer.done():
            if exit_.done():
                return None
            await self._kernel.kill()
            return self._stopped(step, duration, why, None, "; it ignored the interrupt, so the kernel was killed")
        reply = answer.result()
        if reply["status"] == "ok":  # it was done before the interrupt came
            return Verdict(judge(step, reply, duration).result, why)
        return self._stopped(step, duration, why, error_of(reply), "")

    def _stopped(
        self, step: Step, duration: float, why: Ending | None, error: CellError | None, remark: str
    ) -> Verdict:
        if why is None:
            reason = f"the cell took longer than its timeout of {self._timeout:g} s{remark}"
            ending = Ending.failure(f"cell {step.number}: {reason}")
            return Verdict(_result(step, CellStatus.TIMED_OUT, duration, error=error, reason=reason), ending)
        status = CellStatus.TIMED_OUT if why.status is RunStatus.TIMED_OUT else CellStatus.FAILED
        return Verdict(_result(step, status, duration, error=error, reason=f"{why.reason}{remark}"), why)


def judge(step: Step, reply: dict[str, Any], duration: float) -> Verdict:
    """Decide by a cell's reply, which unlike its outputs is always true, what became of it and of the run.

    Parameters
    ----------
    step
        The cell.
    reply
        Content of the ``execute_reply``.
    duration
        Seconds it ran.
    """
    if reply["status"] == "ok":
        result = _result(step, CellStatus.SUCCEEDED, duration)
        asked_to_exit = any(it.get("source") == "ask_exit" for it in reply.get("payload", []))
        return Verdict(result, _own_end(step) if asked_to_exit else None)
    error = error_of(reply)
    if error.ename == "SystemExit" and error.evalue in _CLEAN_EXITS:
        return Verdict(_result(step, CellStatus.SUCCEEDED, duration), _own_end(step))
    if TOLERATED_TAG in step.cell["metadata"].get("tags", []):
        reason = f"the error is expected: the cell is tagged {TOLERATED_TAG}"
        return Verdict(_result(step, CellStatus.SUCCEEDED, duration, error=error, reason=reason))
    ending = Ending.failure(f"cell {step.number} failed: {error.summary}")
    return Verdict(_result(step, CellStatus.FAILED, duration, error=error), ending)


def error_of(reply: dict[str, Any]) -> CellError:
    """Return the exception in a cell's reply."""
    if reply["status"] == "aborted":
        return CellError("Aborted", "the kernel refused to run the cell")
    return CellError(reply.get("ename", ""), reply.get("evalue", ""), tuple(reply.get("traceback", ())))


def _own_end(step: Step) -> Ending:
    return Ending.success(f"the notebook ended itself in cell {step.number}")


def _result(
    step: Step, status: CellStatus, duration: float, *, error: CellError | None = None, reason: str | None = None
) -> CellResult:
    count = step.cell.get("execution_count")
    return CellResult(step.number, step.index, step.cell["id"], status, duration, error, reason, count)
