"""The engine: one thread that owns every execution, fed through an inbox.

A turn of the engine: take what came in, take what is due, run the code that can react, hand what
happened to the journal. The kernel's own loop is never touched.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.events import HistoryEvent
from nbflow.core.payloads import Converter
from nbflow.engine.activities import Activities, Runner
from nbflow.engine.between import Between
from nbflow.engine.blobs import BlobReader
from nbflow.engine.chains import Chains
from nbflow.engine.clock import Clock, RealClock
from nbflow.engine.code_checks import CodeChecks
from nbflow.engine.commits import Commits, Tidying
from nbflow.engine.completions import Completions
from nbflow.engine.deadlines import Deadlines
from nbflow.engine.definitions import Definitions
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.garbage import RestingCollector
from nbflow.engine.interpreter import Interpreter
from nbflow.engine.journal import Journal, refuse
from nbflow.engine.material import MaterialRequests
from nbflow.engine.operators import Operators
from nbflow.engine.options import EngineOptions
from nbflow.engine.output import OutputCapture
from nbflow.engine.parts import Parts
from nbflow.engine.processes import ProcessRunner
from nbflow.engine.requests import Requests, Start
from nbflow.engine.resetting import Resetting
from nbflow.engine.residency import Residency
from nbflow.engine.runners import LoopRunner, ThreadRunner
from nbflow.engine.schedule_requests import ScheduleRequests
from nbflow.engine.schedules import Schedules
from nbflow.engine.transactions import TransactionRunner, Transactions
from nbflow.engine.updates import Updates
from nbflow.engine.watchdog import Watchdog
from nbflow.engine.with_start import WithStart
from nbflow.exceptions import EngineClosedError, MissingDefinitionError, NbflowError
from nbflow.store import EventStore, LogRow

__all__ = ["Engine", "EngineOptions"]

_ITEMS_PER_TURN = 256
_CLEANUP_SECONDS = 1.0
_RUNS_KNOWN = 10_000
"""Open executions whose ids are read at the start, by one query, in place of one query for each that is asked for."""
_LONGEST_SLEEP = 10.0
_TRANSACTIONS = 8
"""Transactions that run at once at most: they commit one at a time, and more would only get into each other's way."""
_OUTPUT = OutputCapture()
_COLLECTOR = RestingCollector()


class Engine:
    """Runs the executions of one store.

    Parameters
    ----------
    store
        The event log.
    converter
        Encodes and decodes values.
    clock
        Default the real one.
    options
        Limits.
    """

    def __init__(
        self, store: EventStore, converter: Converter, clock: Clock | None = None, options: EngineOptions | None = None
    ) -> None:
        self.store = store
        self.clock: Clock = clock or RealClock()
        self.options = options or EngineOptions()
        self.problems: dict[str, Exception] = {}
        """Why parked executions can't go on, by run id."""
        self._converter = converter
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._is_woken = False
        self._is_closing = False
        self._is_released = False
        self._is_stopped = False
        self._broken: BaseException | None = None
        self._wake_handle: asyncio.TimerHandle | None = None
        self._loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._skip_limit: int | None = None
        self._assemble()
        self._thread = threading.Thread(target=self._run, name="nbflow-engine", daemon=True)

    def _assemble(self) -> None:
        options, clock, reader = self.options, self.clock, self.store.reader()
        self.journal = Journal(Commits(self.store), self._post_urgent, self._on_commit_failed, self._guarded)
        self._tidying = Tidying(self._loop, self.journal)
        self.deadlines = Deadlines()
        self.interpreter = Interpreter(clock, self.journal, self.deadlines, self._on_closed, self._on_problem_of)
        self.definitions = Definitions(reader, self.journal, clock)
        parts = Parts(
            clock=clock,
            reader=reader,
            converter=self._converter,
            journal=self.journal,
            deadlines=self.deadlines,
            interpreter=self.interpreter,
            definitions=self.definitions,
            post=self.post,
        )
        transactions = TransactionRunner(min(_TRANSACTIONS, options.threads), self.store)
        self._runners: dict[str, Runner] = {
            "transaction": transactions,
            "thread": ThreadRunner(options.threads),
            "loop": LoopRunner(self._loop, options.loop_tasks),
            "process": ProcessRunner(options.processes, BlobReader(self.store)),
        }
        self.activities = self.interpreter.activities = Activities(parts, self._runners)
        self.activities.transactions = Transactions(parts, self.activities, transactions)
        self.residency = Residency(parts, self.activities, self._on_problem, options.resident_executions)
        self.requests = Requests(parts, self.residency, self.problems, options.run_key, options.identity)
        self.chains = self.interpreter.chains = Chains(parts, self.requests)
        self.between = Between(parts, self.requests, self.residency, self._guarded, options.identity)
        self.completions = Completions(parts, self.activities, self.requests)
        self.updates = Updates(parts, self.requests, options.identity)
        self.with_start = WithStart(self.requests, self.updates, self.journal)
        self.operators = Operators(parts, self.residency, self.activities, self.requests, options.identity)
        self.schedules = Schedules(parts, self.requests, acts=options.schedules)
        self.schedule_requests = ScheduleRequests(self.schedules)
        self.resetting = Resetting(parts, self.residency, self.activities, self.requests, options.identity)
        self.material = MaterialRequests(parts, self.requests)
        self.code_checks = CodeChecks(parts, self.residency, self.problems, self.requests.wait_for_time)
        self._reader = reader
        self._watchdog = Watchdog(
            self.interpreter, self._report_deadlock, options.deadlock_warning, options.deadlock_interrupt
        )

    # Life.

    def start(self) -> None:
        """Begin: bring back what was running, and serve."""
        _OUTPUT.start()
        _COLLECTOR.begin()
        self._thread.start()
        self._watchdog.start()
        REGISTRY.listeners.append(self._on_definition)
        atexit.register(self.close)
        self.call(self._recover)

    def _recover(self, answer: Future[Any]) -> None:
        self.requests.know(self._reader.open_runs(_RUNS_KNOWN))
        self.operators.know_suspended(self._reader.suspended_runs())
        self.residency.recover(self._reader.open_runs_with_pending_activities())
        self.between.recover(self._reader.owes_something())
        self.residency.look_ahead(round(self.options.look_ahead * 1_000_000))
        self.schedules.recover()
        answer.set_result(None)

    @property
    def is_closed(self) -> bool:
        """True after :meth:`close`."""
        return self._is_closing

    @property
    def is_own_thread(self) -> bool:
        """True on the engine's thread, which can't wait for itself."""
        return threading.get_ident() == self._thread.ident

    @property
    def is_broken(self) -> bool:
        """True after a commit failed: nothing goes on until the store is opened again."""
        return self._broken is not None

    @property
    def is_idle(self) -> bool:
        """True if nothing moves until a deadline or a caller comes; to be asked on the engine's thread."""
        waits = self._inbox or self.residency.has_wanted or self.between.is_busy or not self.journal.is_idle
        return not (waits or self.activities.running)

    def close(self) -> None:
        """Commit what happened and stop; open executions go on at the next start. Safe to call twice.

        One that Ctrl-C broke off is finished by the next call.

        Raises
        ------
        EngineClosedError
            When called from an activity or workflow that runs on the engine's own thread.
        """
        if self._is_released or os.getpid() != self._pid:
            return
        if threading.get_ident() == self._thread.ident:
            msg = "code that runs on the engine's own thread can't close the store; call nbflow.close() outside"
            raise EngineClosedError(msg)
        if not self._is_closing:
            self._is_closing = True
            REGISTRY.listeners.remove(self._on_definition)
            self._loop.call_soon_threadsafe(self._shut_down)
        self._thread.join()
        self._is_released = True
        atexit.unregister(self.close)
        self._watchdog.stop()
        self.journal.stop()
        for runner in self._runners.values():
            runner.close()
        _OUTPUT.stop()
        _COLLECTOR.end()
        self.store.close()

    def _shut_down(self) -> None:
        """Wait for the commits under way, then take down coroutines and stop the loop."""
        if not self.journal.failed:
            if self.journal.is_full:  # nothing may move while a transaction commits
                self._loop.call_later(0.002, self._shut_down)
                return
            self._take_inbox(len(self._inbox))
            if self.between.is_busy:
                self.between.settle()
            self._guarded(self.schedules.pin_all, ())
            self.journal.flush()
            if not self.journal.is_idle:
                self._loop.call_later(0.002, self._shut_down)
                return
        error = EngineClosedError("the store was closed; open it again and executions go on")
        self.requests.fail_all(error)
        self.residency.give_up(error)
        for execution in list(self.residency.executions.values()):
            self.residency.remove(execution)
        self._is_stopped = True  # what activities report while they are taken down is left to the next start
        self._loop.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._end_tasks()
        finally:
            self._is_stopped = True
            self._refuse_inbox()
            self._loop.close()

    def _end_tasks(self) -> None:
        """Cancel activities on the loop and give them a moment to clean up; they go on at the next start."""
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=_CLEANUP_SECONDS))
        for task in asyncio.all_tasks(self._loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  asyncio's own switch

    # The inbox.

    def post(self, callback: Callable[..., None], *args: Any) -> None:
        """Run a callback on the engine's thread; from any thread."""
        self._inbox.append((callback, args))
        if not self._is_woken:
            self._is_woken = True
            if threading.get_ident() == self._thread.ident:
                self._loop.call_soon(self._turn)
                return
            try:
                self._loop.call_soon_threadsafe(self._turn)
            except RuntimeError:  # closed in the meantime: whoever waits has been told
                return

    def _post_urgent(self, callback: Callable[..., None], *args: Any) -> None:
        """Run a callback, then a turn, ahead of the inbox: so comes the news that a commit is done."""
        try:
            self._loop.call_soon_threadsafe(self._run_urgent, callback, args)
        except RuntimeError:  # closed in the meantime: whoever waits has been told
            return

    def _run_urgent(self, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._guarded(callback, args)
        if not self._is_woken:
            self._turn()

    def submit(self, request: Callable[..., None], *args: Any) -> Future[Any]:
        """Post a request whose last parameter is its answer.

        Parameters
        ----------
        request
            A method of :class:`~nbflow.engine.requests.Requests`.
        *args
            Its arguments, without the answer.

        Returns
        -------
        Future
            The answer.

        Raises
        ------
        EngineClosedError
            When the engine has stopped.
        """
        if self._is_closing or self._broken:
            raise self._stopped_error()
        if os.getpid() != self._pid:
            msg = "a forked process can't use the store of its parent; use it there, or start a process afresh (spawn)"
            raise EngineClosedError(msg)
        answer: Future[Any] = Future()
        self.post(self._serve, request, args, answer)
        if self._is_stopped:  # it ended in between, and nobody looks at the inbox any more
            self._refuse_inbox()
        return answer

    def _stopped_error(self) -> EngineClosedError:
        reason = f": {self._broken}" if self._broken else ""
        return EngineClosedError(
            f"the engine has stopped{reason}; nbflow.close() and nbflow.open(...) start it again, "
            f"nothing recorded was lost"
        )

    def call(self, request: Callable[..., None], *args: Any) -> Any:
        """Post a request and wait for its answer."""
        return self.submit(request, *args).result()

    def _serve(self, request: Callable[..., None], args: tuple[Any, ...], answer: Future[Any]) -> None:
        if self._broken is not None or self._is_stopped:
            refuse(answer, self._stopped_error())
            return
        try:
            request(*args, answer)
        except Exception as error:  # noqa: BLE001  the caller's to handle
            refuse(answer, error)

    def start_executions(self, definition: Definition, starts: Sequence[Start]) -> Future[list[RunState]]:
        """Start executions; the answer comes when they are durable."""
        return self.submit(self.requests.start, definition, starts)

    # One turn.

    def _turn(self) -> None:
        self._is_woken = False
        self._tidying.watch()
        if self.journal.is_full:
            return  # the end of the commit under way brings the next turn
        self.definitions.begin_turn()
        if self._broken is not None or self._is_stopped:
            self._refuse_inbox()
            return
        self._take_inbox(_ITEMS_PER_TURN)
        for deadline in self.deadlines.take_due(self.clock.now()):
            callback, args = deadline.callback, deadline.args
            if callback is not None:
                deadline.callback = None
                self._guarded(callback, args)
        if self.residency.has_wanted:
            self.residency.load_wanted()
        if self.between.is_busy:
            self.between.settle()
        self.journal.flush(inline=not self._inbox and self.activities.under_way == 0)
        self.residency.evict_surplus()
        if self.journal.is_full:
            return  # the end of the commit under way brings the next turn
        if (self._inbox or self.residency.has_wanted or self.between.is_busy) and not self._is_woken:
            self._is_woken = True
            self._loop.call_soon(self._turn)
        else:
            self._sleep_until_next_deadline()

    def _take_inbox(self, count: int) -> None:
        inbox, journal = self._inbox, self.journal
        for _ in range(min(count, len(inbox))):
            if journal.is_full:
                return
            callback, args = inbox.popleft()
            self._guarded(callback, args)

    def _refuse_inbox(self) -> None:
        """Tell callers that the engine has stopped; nothing else in the inbox matters any more."""
        while True:
            try:
                callback, args = self._inbox.popleft()
            except IndexError:  # emptied, maybe by another thread
                return
            if callback == self._serve:
                self._guarded(callback, args)

    def _guarded(self, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Run a callback; an error in nbflow itself is told and does not stop the engine."""
        try:
            callback(*args)
        except BaseException as error:  # noqa: BLE001  the engine must live
            traceback.print_exception(error, file=sys.__stderr__)

    def _sleep_until_next_deadline(self) -> None:
        _COLLECTOR.when_idle(self._loop.time)
        if self._wake_handle is not None:
            self._wake_handle.cancel()
            self._wake_handle = None
        due = self.deadlines.next_due
        if due is None:
            return
        if self._may_skip(due) and self.clock.skip_to(due):
            self.post(_nothing)
            return
        # the loop's clock stands still while a laptop sleeps: look at the real one often
        self._wake_handle = self._loop.call_later(min(self.clock.seconds_until(due), _LONGEST_SLEEP), self._turn)

    def _may_skip(self, due: int) -> bool:
        """True if time may jump: nothing runs, and somebody waits for what the future brings."""
        if not self.is_idle:
            return False
        if self.between.is_busy:
            return False
        if self._skip_limit is not None:
            return due <= self._skip_limit
        return self.requests.anyone_waits

    def skip(self, microseconds: int, answer: Future[Any]) -> None:
        """Let a skipping clock run ahead, deadline by deadline; answers when it is there."""
        self._skip_limit = self.clock.now() + microseconds
        self.requests.wait_for_time(answer)
        self.deadlines.add(self._skip_limit, self._end_skip, answer)

    def _end_skip(self, answer: Future[Any]) -> None:
        self._skip_limit = None
        self.journal.answer(answer)

    # Reports.

    def _on_definition(self) -> None:
        self.post(self._look_again)

    def _look_again(self) -> None:
        """Something was defined: what lacked it may go on."""
        self.activities.unblock()
        self.operators.resume_mended()
        self.schedules.look_again()
        self.between.look_again()
        lacking = [run_id for run_id, error in self.problems.items() if isinstance(error, MissingDefinitionError)]
        for run_id in lacking:
            del self.problems[run_id]
        self.residency.recover(lacking)

    def _on_closed(self, execution: Execution, event: HistoryEvent) -> None:
        self.requests.on_closed(execution, event)

    def _on_problem_of(self, execution: Execution, error: Exception) -> None:
        self.activities.drop(execution)
        for deadline in execution.deadlines.values():
            deadline.cancel()
        execution.deadlines.clear()
        self.residency.remove(execution)
        self._on_problem(execution.run, error)

    def _on_problem(self, run: RunState, error: Exception) -> None:
        """Park an execution that can't go on; it stays open."""
        if not isinstance(error, NbflowError):
            traceback.print_exception(error, file=sys.__stderr__)
        message = f"the execution is parked: {type(error).__name__}: {error}"
        self.journal.batch.logs.append(
            LogRow(run.run_id, run.workflow_id, None, None, self.clock.now(), "ERROR", "nbflow.engine", message)
        )
        self.requests.on_problem(run, error)

    def _report_deadlock(self, execution: Execution, seconds: float, stack: str) -> None:
        run = execution.run
        message = (
            f"suspected deadlock: workflow {run.workflow_type} ({run.workflow_id}) has not yielded "
            f"for {seconds:.1f} s; move long work into an activity. It is here:\n{stack}"
        )
        row = LogRow(run.run_id, run.workflow_id, None, None, self.clock.now(), "WARNING", "nbflow.engine", message)
        self.post(lambda: self.journal.batch.logs.append(row))
        sys.stderr.write(f"nbflow: {message}\n")

    def _on_commit_failed(self, error: BaseException) -> None:
        """Stop: what is in memory is ahead of the log, and only the log counts."""
        self._broken = error
        self.requests.fail_all(error)
        self.residency.give_up(self._stopped_error())
        self._refuse_inbox()


def _nothing() -> None:
    pass
