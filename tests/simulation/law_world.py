"""One seed: a random schedule of workflows, callers and faults around the real engine, until all has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from random import Random
from typing import Any

from law_engine import Crash, SimEngine, VirtualTime, ask
from law_programs import draw_program
from law_store import MemoryStore
from law_watch import LawBrokenError, Watch
from law_workflow import VERSIONS, act, evaluate_all

from nbflow.core.definitions import REGISTRY
from nbflow.core.events import (
    CLOSING_EVENTS,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionContinuedAsNew,
    WorkflowExecutionPaused,
    WorkflowExecutionSignaled,
    WorkflowExecutionTerminated,
    WorkflowExecutionUnpaused,
)
from nbflow.core.failures import Failure
from nbflow.core.options import WorkflowOptions
from nbflow.core.payloads import JsonConverter
from nbflow.engine import clock
from nbflow.engine.attempt import Attempt
from nbflow.engine.code_checks import Trial
from nbflow.engine.engine import EngineOptions
from nbflow.engine.execution import Outcome
from nbflow.engine.requests import Start
from nbflow.engine.resetting import ResetRequest
from nbflow.engine.updates import UpdateRequest
from nbflow.exceptions import ActivityCancelled, NbflowError
from nbflow.store import Batch

_SECOND = 1_000_000
_MOST_STEPS = 6000
_ACT = act.definition()
_CONVERTER = JsonConverter()
_FAILURES = {
    "fails": Failure(message="for a while", info={"type": "ConnectionError"}),
    "refuses": Failure(message="for good", info={"type": "ValueError", "non_retryable": True}),
}


class World:
    """A simulated machine with a store, an engine that dies and comes back, and callers.

    Parameters
    ----------
    seed
        Decides everything.
    time
        The machine's clocks.
    """

    def __init__(self, seed: int, time: VirtualTime) -> None:
        self.seed = seed
        self.rng = Random(f"law {seed}")
        self.time = time
        self.store = MemoryStore()
        self.watch = Watch(self.store, self._now)
        self.schedule: list[str] = []
        """What was done, for the report of a broken law."""
        self.counts: Counter[str] = Counter()
        self.broken: LawBrokenError | None = None
        self.is_faulty = True
        self.crash_rate = self.rng.choice([0.0, 0.02, 0.1])
        self.thoroughness = 0.15
        self.version = self.rng.choice(VERSIONS[:2])
        self.programs = {f"w{n}": draw_program(self.rng) for n in range(self.rng.choice([1, 1, 2, 3]))}
        for name in self.programs:  # who is stopped by another one is not calm
            if f"'stop', '{name}'" in repr(self.programs):
                self.programs[name] = replace(self.programs[name], is_calm=False)
        self.started: dict[str, Future[Any]] = {}
        self._disturbed: set[str] = set()
        self._said = 0
        self._resumed: Counter[str] = Counter()
        self._options = EngineOptions(
            resident_executions=self.rng.choice([0, 1, 1000]),
            look_ahead=self.rng.choice([60.0, 3000.0, 1e7]),
            identity="simulation",
        )
        self._capacity = self.rng.choice([1, 2, 5])
        self._dirty: set[str] = set()
        self._open_engine()

    def _now(self) -> int:
        return self.engine.clock.now()

    # Life of the process.

    def _open_engine(self) -> None:
        REGISTRY.register("workflow", "law", lambda: self.version)
        REGISTRY.register("activity", "law_act", lambda: _ACT)
        self.engine = SimEngine(self.store, self._options, self._capacity, self)
        self._watch_queries()

    def _watch_queries(self) -> None:
        """Note, with each answer, how far the execution was."""
        requests = self.engine.requests
        query = requests._query

        def noted(instance: Any, name: str, args: Any) -> Any:
            return (instance.run_id, instance._last_event_id, instance.definition, query(instance, name, args))

        requests._query = noted  # type: ignore[method-assign]

    def _crash(self, how: str) -> None:
        self._tell(f"the process dies {how}")
        self.engine.die()
        self.started = {
            name: answer for name, answer in self.started.items() if answer.done() and not answer.exception()
        }
        if self.rng.random() < 0.15 and self.is_faulty:
            self.version = self.rng.choice(VERSIONS)
            self._tell(f"the code is version {VERSIONS.index(self.version)} now")
        if self.rng.random() < 0.3:
            self.time.pass_by(self.rng.choice([1, 50, 4000]) * _SECOND)
        if self.rng.random() < 0.1 and self.is_faulty:
            self._set_back()
        self._open_engine()

    def _set_back(self) -> None:
        seconds = self.rng.choice([1, 100, 7200])
        self._tell(f"the wall clock is set back by {seconds} s")
        self.time.wall -= seconds * _SECOND

    # What the engine's parts tell.

    def may_start(self, attempt: Attempt) -> None:
        """An attempt's code is about to run."""
        self.counts["attempts"] += 1
        self._law(lambda: self.watch.attempt_starts(attempt))

    def commit(self, batch: Batch) -> None:
        """Make a batch durable; or the process dies before it, or right after."""
        self._may_die("before a commit")
        self.store.commit(batch)
        self._dirty |= self._law(lambda: self.watch.committed(batch)) or set()
        self._may_die("after a commit")

    def _may_die(self, moment: str) -> None:
        if self.is_faulty and self.rng.random() < self.crash_rate:
            self.counts[f"crash {moment}"] += 1
            raise Crash

    def violated(self, law: str, text: str) -> None:
        """Note a broken law; the step in hand ends first."""
        self._law(lambda: self.watch.violated(law.partition(" ")[0], text))

    def _law(self, check: Callable[[], Any]) -> Any:
        """Check a law where an exception would be swallowed."""
        try:
            return check()
        except LawBrokenError as error:
            self.broken = self.broken or error
            return None

    def _tell(self, what: str) -> None:
        self.schedule.append(f"{self.time.wall - 1_800_000_000_000_000:>14} {what}")

    # The run.

    def run(self) -> None:
        """Disturb for a while, then let all end; raises LawBrokenError."""
        for name in self.programs:
            self._start(name)
        self._steps(self.rng.randint(20, 90), self._disturb)
        self.is_faulty = False
        self._steps(_MOST_STEPS, self._calm)
        if not self._all_ended():
            still = [run_id for run_id, it in self.store.histories.items() if type(it[-1]) not in CLOSING_EVENTS]
            self.watch.violated("I14", f"{still} do not end; last events: {[self._last(it) for it in still]}")
        for run_id in self.store.histories:
            self.watch.check_replay(run_id)
            self._check_result(run_id)

    def _last(self, run_id: str) -> list[str]:
        return [type(event).__name__ for event in self.store.histories[run_id][-4:]]

    def _steps(self, most: int, step: Callable[[], bool]) -> None:
        for _ in range(most):
            try:
                more = step()
            except Crash:
                self._crash("at a commit")
                more = True
            if self.broken is None and self.engine._broken is not None:
                self._crash("at a commit")
            if self.broken is not None:
                raise self.broken
            self._replay_some()
            if not more:
                return

    def _replay_some(self) -> None:
        for run_id in sorted(self._dirty):
            if self.rng.random() < self.thoroughness:
                self.watch.check_replay(run_id)
        self._dirty.clear()

    def _all_ended(self) -> bool:
        answered = all(name in self.started and self.started[name].done() for name in self.programs)
        return answered and all(type(it[-1]) in CLOSING_EVENTS for it in self.store.histories.values())

    # Steps.

    def _turn(self) -> None:
        self.engine._turn()

    def _work(self) -> bool:
        """Do what needs no time; False if there is nothing."""
        engine = self.engine
        choices: list[Callable[[], None]] = []
        if engine.queue.work:
            choices += [engine.end_commit] * 2
        if engine.wants_a_turn:
            choices += [self._turn] * 2
        choices += [self._finish] * min(len(engine.runner.running), 3)
        if not choices:
            return False
        self.rng.choice(choices)()
        return True

    def _calm(self) -> bool:
        """Go on without faults; False when all has ended."""
        if not self._work() and not self._release():
            for name in self.programs:
                if name not in self.started or self.started[name].exception():
                    self._start(name)
                    return True
            if self._all_ended():
                return False
            due = self.engine.deadlines.next_due
            if due is None:
                return False
            self.time.pass_by(max(0, due - self.engine.clock.now()))
            self.engine._is_woken = True
        return True

    def _release(self) -> bool:
        """Let what somebody paused, or its own failure, go on; False if there is nothing."""
        reader, operators = self.store.reader(), self.engine.operators
        released = False
        for row in reader.open_runs(100):
            which = row.workflow_id, row.run_id
            if row.status == "Paused":
                self._ask(operators.unpause, *which, "", check=_anything)
            elif row.status == "Suspended" and self._resumed[row.run_id] < 2:
                self._resumed[row.run_id] += 1
                self._ask(operators.resume, *which, check=_anything)
            elif row.status == "Suspended":
                self._ask(self.engine.requests.terminate, *which, "it fails again", check=_anything)
            else:
                paused = [it for it in reader.pending_attempts([row.run_id]).values() if it.is_paused]
                for one in paused:
                    self._ask(operators.unpause_activity, *which, one.scheduled_event_id, "", check=_anything)
                released = released or bool(paused)
                continue
            released = True
        return released

    def _disturb(self) -> bool:
        """Take one step of a troubled time."""
        if self.rng.random() < 0.55 and self._work():
            return True
        rng = self.rng
        kind = rng.choices(list(_TROUBLES), weights=[weight for weight, _ in _TROUBLES.values()])[0]
        self.counts[kind] += 1
        _TROUBLES[kind][1](self)
        return True

    def _pass_time(self) -> None:
        due = self.engine.deadlines.next_due
        if due is not None and self.rng.random() < 0.8:
            self.time.pass_by(max(0, due - self.engine.clock.now()))
        else:
            self.time.pass_by(round(self.rng.choice([0.1, 3, 40, 1500]) * _SECOND))
        self._tell("time passes")
        self._turn()

    def _jump(self) -> None:
        self.time.wall += 86_400 * _SECOND
        self._tell("the wall clock jumps a day ahead")

    def _kill(self) -> None:
        if self.crash_rate:
            self._crash("between two steps")

    def _evict(self) -> None:
        self._tell("all that may leaves memory")
        self.engine.evict_all()

    # Attempts.

    def _finish(self) -> None:
        """End an attempt, one way or another; in troubled times it may hang instead."""
        runner, rng = self.engine.runner, self.rng
        attempt = rng.choice(runner.at_work)
        number = attempt.number
        how = "works"
        if self.is_faulty:
            how = rng.choices(["works", "fails", "refuses", "beats", "hangs"], weights=[60, 18, 4, 8, 10])[0]
            if how == "refuses" and self._is_calm(attempt):
                how = "fails"
        if attempt.cancel_requested and rng.random() < 0.7:
            how = "cancelled"
        self._tell(f"attempt {number} of {attempt.task.key[1]} in {attempt.task.execution.workflow_id} {how}")
        if how == "hangs":
            self.counts["hangs"] += 1
        elif how == "beats":
            try:
                attempt.heartbeat({"done": number})
            except ActivityCancelled:
                self._report(attempt, Outcome())
        elif how == "cancelled":
            self._report(attempt, Outcome())
        elif how == "works":
            args, kwargs = attempt.decode()
            self._report(attempt, Outcome(result=_CONVERTER.encode(attempt.definition.function(*args, **kwargs))))
        else:
            self._report(attempt, Outcome(failure=_FAILURES[how]))

    def _is_calm(self, attempt: Attempt) -> bool:
        return self._is_calm_id(attempt.task.execution.workflow_id)

    def _is_calm_id(self, workflow_id: str) -> bool:
        """Tell by the id of an execution, or of the one at the head of its family."""
        return self.programs[workflow_id[:2]].is_calm

    def _report(self, attempt: Attempt, outcome: Outcome) -> None:
        runner = self.engine.runner
        runner.take(attempt)
        attempt.report(outcome)
        if runner.abandoned and self.rng.random() < 0.5:  # one that nobody waits for any more
            runner.abandoned.pop().report(Outcome(result=_CONVERTER.encode("too late")))

    # Callers.

    def _start(self, name: str) -> None:
        program = self.programs[name]
        options = WorkflowOptions.read({"id": name, **program.options})
        start = Start(_CONVERTER.encode([program.ops]), None, options)
        self._tell(f"somebody starts {name}")
        answer = self.started[name] = ask(self.engine, self.engine.requests.start, self.version, [start])
        answer.add_done_callback(lambda done: self._acknowledged(done, self._check_start))

    def _check_start(self, runs: Any) -> None:
        for run in runs:
            if run.run_id not in self.store.histories:
                self.watch.violated("I9", f"run {run.run_id} was started and is not there")

    def _acknowledged(self, answer: Future[Any], check: Callable[[Any], None]) -> None:
        """Look, at the moment a caller hears, whether what it hears is durable; errors tell nothing."""
        error = answer.exception()
        if error is None:
            self.counts["acknowledged"] += 1
            self._law(lambda: check(answer.result()))
        elif not isinstance(error, NbflowError | Crash):
            self.violated("I15", f"a caller was told {error!r}")

    def _someone(self, *, calm_too: bool = False) -> str | None:
        known = sorted({*self.programs, *self.store.workflow_ids.values()})
        names = [name for name in known if calm_too or not self._is_calm_id(name)]
        return self.rng.choice(names) if names else None

    def _ask(self, request: Callable[..., None], *args: Any, check: Callable[[Any], None]) -> None:
        answer = ask(self.engine, request, *args)
        answer.add_done_callback(lambda done: self._acknowledged(done, check))

    def _signal(self) -> None:
        name = self._someone()
        if name is None:
            return
        self._said += 1
        what, word = self.rng.choice(["go", "tell", "work"]), f"word {self._said}"
        self._tell(f"somebody signals {what} {word!r} to {name}")

        def check(_: Any) -> None:
            said = [event for event in self._events(name, WorkflowExecutionSignaled) if event.input.tree == [word]]
            if not said:
                self.watch.violated("I9", f"signal {word!r} was acknowledged and is not there")

        self._ask(self.engine.requests.signal, name, None, what, _CONVERTER.encode([word]), check=check)

    def _events(self, name: str, kind: type) -> list[Any]:
        store = self.store
        return [
            event
            for run_id, history in store.histories.items()
            if store.workflow_ids[run_id] == name
            for event in history
            if type(event) is kind
        ]

    def _cancel(self) -> None:
        name = self._someone()
        if name is None:
            return
        self._tell(f"somebody cancels {name}")

        def check(was_open: Any) -> None:
            if was_open and not self._events(name, WorkflowExecutionCancelRequested):
                self.watch.violated("I9", f"the cancellation of {name} was acknowledged and is not there")

        self._ask(self.engine.requests.cancel, name, None, "", check=check)

    def _terminate(self) -> None:
        name = self._someone()
        if name is None:
            return
        self._tell(f"somebody terminates {name}")

        def check(_: Any) -> None:
            if not self._events(name, WorkflowExecutionTerminated):
                self.watch.violated("I9", f"the termination of {name} was acknowledged and is not there")

        self._ask(self.engine.requests.terminate, name, None, "", check=check)

    def _fire(self) -> None:
        name = self._someone(calm_too=True)
        self._tell(f"somebody fires the next timer of {name}")
        self._ask(self.engine.operators.fire, name, None, None, check=_anything)

    def _start_again(self) -> None:
        name = self._someone(calm_too=True)
        if name in self.programs and self.started.get(name) is not None and self.started[name].done():
            self._start(name)

    def _pause(self) -> None:
        name = self._someone(calm_too=True)
        pauses = self.rng.random() < 0.5
        self._tell(f"somebody {'pauses' if pauses else 'unpauses'} {name}")
        kind = WorkflowExecutionPaused if pauses else WorkflowExecutionUnpaused

        def check(is_done: Any) -> None:
            if is_done and not self._events(str(name), kind):
                self.watch.violated("I9", f"{kind.__name__} of {name} was acknowledged and is not there")

        operators = self.engine.operators
        self._ask(operators.pause if pauses else operators.unpause, name, None, "", check=check)

    def _resume(self) -> None:
        name = self._someone()
        self._tell(f"somebody resumes {name}")
        if name is not None:
            self._ask(self.engine.operators.resume, name, None, check=_anything)

    def _hold(self) -> None:
        name, rng, operators = self._someone(calm_too=True), self.rng, self.engine.operators
        number = str(rng.randint(1, 4))
        what = rng.choice(["pauses", "unpauses", "retries"])
        self._tell(f"somebody {what} activity {number} of {name}")
        if what == "retries":
            self._ask(operators.retry_now, name, None, None, check=_anything)
        elif what == "pauses":
            self._ask(operators.pause_activity, name, None, number, "", check=_anything)
        else:
            self._ask(operators.unpause_activity, name, None, number, "", check=_anything)

    def _reset(self) -> None:
        name, rng = self._someone(calm_too=True), self.rng
        if name not in self.programs and self._is_calm_id(str(name)):
            return  # its parent would be told of its termination
        point = rng.choice(["first", "last", "last_failure", rng.randint(1, 12), rng.randint(1, 30)])
        again = rng.choice(["signals", "none"])
        self._tell(f"somebody resets {name} to {point}, again: {again}")
        request = ResetRequest(point, "", again)
        self._ask(self.engine.resetting.reset, name, None, request, check=lambda run: self._check_start([run]))

    def _edit(self) -> None:
        """Run the cell with other code: what it fits moves to it."""
        self.version = REGISTRY.remember(self.rng.choice(VERSIONS))
        number = VERSIONS.index(self.version)
        self._tell(f"the cell with version {number} runs")

        def check(trial: Any) -> None:
            moved = {it.run_id for it in trial.checked if it.misfit is None}
            if missing := moved - self.store.reader().pins(sorted(moved)).keys():
                self.watch.violated("I9", f"runs {missing} were moved to version {number}, which is not recorded")

        self._ask(self.engine.code_checks.run, Trial(self.version), check=check)

    def _rewind(self) -> None:
        name = self._someone()
        if name is not None:
            self._tell(f"somebody rewinds {name}")
            rewind = self.engine.resetting.rewind
            self._ask(rewind, name, None, "", check=lambda run: self._check_start([run]))

    def _query(self) -> None:
        name = self._someone(calm_too=True)
        self._tell(f"somebody queries {name}")
        self._ask(self.engine.requests.query, name, None, "look", (), check=self._check_query)

    def _check_query(self, answer: Any) -> None:
        run_id, event_id, code, told = answer
        if len(self.store.histories.get(run_id, ())) < event_id:
            self.watch.violated("I9", f"a query of run {run_id} was answered from event {event_id}: not durable")
        instance = self.watch.rebuild(run_id, event_id, code)
        try:
            expected = instance.query("look", ())
        finally:
            instance.evict()
        if told != expected:
            self.watch.violated("I13", f"run {run_id} at event {event_id} told {told}, replay tells {expected}")

    def _update(self) -> None:
        name = self._someone()
        if name is None:
            return
        self._said += 1
        rng = self.rng
        update_id, waits = f"u{rng.randint(1, self._said)}", rng.random() < 0.5
        amount = rng.choice([-1, 1, 2])
        request = UpdateRequest("add", _CONVERTER.encode([amount, rng.random() < 0.5]), update_id, waits)
        self._tell(f"somebody updates {name} by {amount} as {update_id}, waits: {waits}")

        def check(found: Any) -> None:
            history = self.store.histories.get(found.run.run_id, [])
            kinds = [type(event).__name__ for event in history if getattr(event, "update_id", None) == update_id]
            expected = ["WorkflowExecutionUpdateAccepted", "WorkflowExecutionUpdateCompleted"][: 1 + waits]
            if kinds[: len(expected)] != expected or len(kinds) > 2:
                self.watch.violated("I9", f"update {update_id} of {name} was answered {found}, recorded is {kinds}")

        self._ask(self.engine.updates.start, name, None, request, check=check)

    # The end.

    def _check_result(self, run_id: str) -> None:
        history = self.store.histories[run_id]
        program = self.programs.get(self.store.workflow_ids[run_id])
        if program is None or not program.is_calm:
            return
        closing = history[-1]
        if isinstance(closing, WorkflowExecutionTerminated) and "goes on as run" in closing.reason:
            return
        if isinstance(closing, WorkflowExecutionContinuedAsNew):
            return
        started: Any = history[0]
        if started.reset_run_id is not None and "'child'" in repr(program.ops):
            return  # its children were ended with the run that it replaces
        if not isinstance(closing, WorkflowExecutionCompleted):
            self.watch.violated("I12", f"run {run_id} of a calm program ended by {closing}")
        expected = evaluate_all(program.ops)
        assert isinstance(closing, WorkflowExecutionCompleted)
        if closing.result.tree != expected:
            self.watch.violated("I12", f"run {run_id} returned {closing.result}, not {expected}")


def _anything(_: Any) -> None:
    """Any answer will do."""


_TROUBLES: dict[str, tuple[int, Callable[[World], None]]] = {
    "time": (30, World._pass_time),
    "signal": (12, World._signal),
    "cancel": (2, World._cancel),
    "terminate": (1, World._terminate),
    "query": (4, World._query),
    "update": (6, World._update),
    "fire": (3, World._fire),
    "evict": (6, World._evict),
    "kill": (5, World._kill),
    "start again": (4, World._start_again),
    "pause": (3, World._pause),
    "resume": (1, World._resume),
    "hold": (4, World._hold),
    "reset": (3, World._reset),
    "rewind": (1, World._rewind),
    "edit": (4, World._edit),
    "jump": (1, World._jump),
    "set back": (1, World._set_back),
}


def simulate(seed: int) -> World:
    """Run one seed.

    Raises
    ------
    LawBrokenError
        With the program, the schedule, and the line that runs it again.
    """
    before = clock.time, clock._chance.getstate()
    world: World | None = None
    try:
        with REGISTRY.preserved():
            clock._chance.seed(seed)
            time = VirtualTime()
            clock.time = time  # type: ignore[assignment]
            world = World(seed, time)
            world.run()
            return world
    except LawBrokenError as error:
        assert world is not None
        raise LawBrokenError(explain(world, error)) from error
    except Exception as error:
        if world is not None:
            error.add_note(explain(world, error))
        raise
    finally:
        if world is not None:
            world.engine.die()
        clock.time = before[0]
        clock._chance.setstate(before[1])


def explain(world: World, error: Exception) -> str:
    """Tell all that is needed to understand a broken law."""
    programs = [f"  {name} {program.options}: {program.ops}" for name, program in world.programs.items()]
    return "\n".join(
        [
            str(error),
            f"run again: python -m pytest tests/simulation -k law --seed {world.seed}",
            "programs:",
            *programs,
            "schedule (microseconds, what):",
            *world.schedule,
        ]
    )
