"""What a run tells while it goes on: the interface, and the version that writes for people."""

from __future__ import annotations

import os
import re
import sys
from typing import Protocol, TextIO

from nbflow.runner.outcomes import ActivityCounts, CellResult, CellStatus, RunResult, RunStatus
from nbflow.runner.plan import Plan, Step

_COLOURS = {
    CellStatus.SUCCEEDED: "32",
    CellStatus.FAILED: "31",
    CellStatus.TIMED_OUT: "31",
    CellStatus.KERNEL_DIED: "31",
    CellStatus.NOT_RUN: "33",
}
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_HEADLINE_WIDTH = 60


class Reporter(Protocol):
    """Told of everything that happens in a run."""

    def run_started(self, plan: Plan) -> None:
        """The first save is done, the kernel is about to start."""

    def cell_started(self, step: Step) -> None:
        """A cell goes to the kernel."""

    def cell_printed(self, step: Step, stream: str, text: str) -> None:
        """A cell wrote to its standard output or error."""

    def cell_ended(self, step: Step, result: CellResult) -> None:
        """A cell has ended, or was passed over."""

    def warned(self, text: str) -> None:
        """Something needs attention and does not stop the run."""

    def run_ended(self, result: RunResult) -> None:
        """The last save is done."""


class SilentReporter:
    """Says nothing."""

    def run_started(self, plan: Plan) -> None:
        pass

    def cell_started(self, step: Step) -> None:
        pass

    def cell_printed(self, step: Step, stream: str, text: str) -> None:
        pass

    def cell_ended(self, step: Step, result: CellResult) -> None:
        pass

    def warned(self, text: str) -> None:
        pass

    def run_ended(self, result: RunResult) -> None:
        pass


def wants_colour(stream: TextIO) -> bool:
    """Return True if a stream shows colours and nobody asked for none (NO_COLOR, FORCE_COLOR)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


class ConsoleReporter:
    """Tells people, line by line.

    Parameters
    ----------
    stream
        Where to; standard error unless given.
    log_output
        True to pass on what cells print.
    quiet
        True to tell only what went wrong.
    continue_command
        The command that continues the run, without ``--run-id``.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        log_output: bool = False,
        quiet: bool = False,
        continue_command: str = "",
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._colour = wants_colour(self._stream)
        self._live = self._stream.isatty() and not log_output and not quiet
        self._log_output = log_output
        self._quiet = quiet
        self._continue_command = continue_command
        self._total = 0
        self._mid_line = False

    def run_started(self, plan: Plan) -> None:
        self._total = len(plan.steps)
        if self._quiet:
            return
        self._line(f"{plan.options.notebook} -> {plan.output.path}")
        if plan.made_up_run_id:
            self._line(f"run id {plan.run_id} (made up); to continue this run later:")
            self._line(f"  {self._continue_command} --run-id {plan.run_id}")
        else:
            self._line(f"run id {plan.run_id}")

    def cell_started(self, step: Step) -> None:
        if self._live:
            self._stream.write(f"{self._place(step)} running      {_short(step.headline)}\r")
            self._stream.flush()

    def cell_printed(self, step: Step, stream: str, text: str) -> None:  # noqa: ARG002  part of the interface
        if self._log_output:
            self._stream.write(text)
            self._stream.flush()
            self._mid_line = not text.endswith("\n")

    def cell_ended(self, step: Step, result: CellResult) -> None:
        if result.status is CellStatus.NOT_RUN and result.reason is None:
            return  # the end of the run says how many
        if self._quiet and result.status in {CellStatus.SUCCEEDED, CellStatus.NOT_RUN}:
            return
        took = "" if result.duration is None else f"{result.duration:.2f} s"
        status = self._paint(f"{result.status:<11}", _COLOURS.get(result.status, ""))
        self._line(f"{self._place(step)} {status} {took:>9}  {_short(step.headline)}".rstrip())
        if result.error is not None and result.status in {CellStatus.FAILED, CellStatus.TIMED_OUT}:
            self._tell_error(step, result)

    def warned(self, text: str) -> None:
        self._line(self._paint("warning: ", "33") + text)

    def run_ended(self, result: RunResult) -> None:
        if self._quiet and result.status is RunStatus.SUCCEEDED:
            return
        told = any(cell.error and cell.status is CellStatus.FAILED for cell in result.cells)
        if result.reason and not (told and result.status is RunStatus.FAILED):
            self._line(result.reason)
        done = sum(cell.status is CellStatus.SUCCEEDED for cell in result.cells)
        verdict = str(result.status).replace("_", " ")
        painted = self._paint(verdict, "32" if result.status is RunStatus.SUCCEEDED else "31")
        cells = f"{done} of {len(result.cells)} {_plural('cell', len(result.cells))} succeeded"
        parts = [f"{painted} in {result.duration:.1f} s", cells]
        if result.activities is not None:
            parts.append(told_activities(result.activities))
        parts.append(f"saved {result.output}" if result.output != "-" else "written to standard output")
        self._line(" · ".join(parts))
        if result.status is not RunStatus.SUCCEEDED and self._continue_command:
            self._line(f"continue with: {self._continue_command} --run-id {result.run_id}")

    def _tell_error(self, step: Step, result: CellResult) -> None:
        assert result.error is not None
        executed = f", In [{result.execution_count}]" if result.execution_count else ""
        self._line(f"cell {step.number} (id {result.cell_id}{executed}): {result.error.summary}")
        for line in "\n".join(result.error.traceback).splitlines():
            self._line("  " + (line if self._colour else _ESCAPES.sub("", line)))

    def _place(self, step: Step) -> str:
        width = len(str(self._total))
        return f"[{step.number:>{width}}/{self._total}]"

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code else text

    def _line(self, text: str) -> None:
        clear = "\x1b[2K\r" if self._live else "\n" if self._mid_line else ""
        self._mid_line = False
        self._stream.write(f"{clear}{text}\n")
        self._stream.flush()


def told_activities(counts: ActivityCounts) -> str:
    """Say what was replayed and what ran, e.g. ``"replayed 14 activities, ran 3"``."""
    parts = [f"ran {counts.ran} {_plural('activity', counts.ran)}"]
    if counts.replayed:
        parts = [f"replayed {counts.replayed} {_plural('activity', counts.replayed)}", f"ran {counts.ran}"]
    if counts.failed:
        parts.append(f"{counts.failed} failed")
    if counts.open_executions:
        parts.append(f"{counts.open_executions} {_plural('execution', counts.open_executions)} still open")
    return ", ".join(parts)


def _plural(word: str, count: int) -> str:
    if count == 1:
        return word
    return f"{word.removesuffix('y')}ies" if word.endswith("y") else f"{word}s"


def _short(text: str) -> str:
    return text if len(text) <= _HEADLINE_WIDTH else text[: _HEADLINE_WIDTH - 1] + "…"
