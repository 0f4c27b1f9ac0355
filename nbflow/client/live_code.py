"""Editing code while its executions are in flight: new code is tried on them as soon as it is defined.

That is when a workflow is defined, when a cell has run that changed what a workflow uses, and when a
store is opened. Whoever runs the cell waits for the answer, within a budget; after that it comes later.
"""

from __future__ import annotations

import ast
import builtins
import json
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from nbflow.authoring.sources import global_names
from nbflow.client.code_check import CodeCheck
from nbflow.client.handle import wait_for
from nbflow.core.definitions import REGISTRY, Definition
from nbflow.engine.code_checks import Trial
from nbflow.engine.engine import Engine
from nbflow.exceptions import NbflowError

__all__ = ["LiveCode", "show_code_checks"]

BUDGET = 5.0
"""Seconds that a cell waits for the check."""

_show: Callable[[CodeCheck], None] | None = None


def show_code_checks(show: Callable[[CodeCheck], None] | None) -> None:
    """Let a front end show what came of a check; default is text on stderr.

    Parameters
    ----------
    show
        Called with each result that has something to tell.
    """
    global _show  # noqa: PLW0603  the one front end of the process
    _show = show


class LiveCode:
    """Tries new code on the open executions of one store.

    Parameters
    ----------
    engine
        The store's engine.

    Attributes
    ----------
    last
        The latest result of each workflow that had any, by name, the latest last.
    """

    def __init__(self, engine: Engine) -> None:
        self.last: dict[str, CodeCheck] = {}
        self._engine = engine
        self._tried: dict[str, str] = {}
        """Hash of the version tried last, by name."""
        self._lock = threading.RLock()

    def begin(self) -> None:
        """Try what is defined already, and hear of what will be."""
        REGISTRY.workflow_listeners.append(self._on_definition)
        self.look_again()

    def end(self) -> None:
        """Hear no more."""
        if self._on_definition in REGISTRY.workflow_listeners:
            REGISTRY.workflow_listeners.remove(self._on_definition)

    def _on_definition(self, name: str) -> None:
        self._look([name])

    def look_again(self) -> None:
        """Try every workflow that changed since the last look, be it by a helper or a value that it uses."""
        self._look(REGISTRY.names("workflow"))

    def _look(self, names: Iterable[str]) -> None:
        engine = self._engine
        if self._has_stopped() or engine.is_own_thread:
            return  # code that defines workflows on the engine's thread can't wait for it
        changed: dict[str, Definition] = {}
        with self._lock:
            for name in names:
                definition = REGISTRY.current("workflow", name)
                if definition is not None and self._tried.get(name) != definition.hash:
                    self._tried[name] = definition.hash
                    changed[name] = definition
        if not changed:
            return
        engine.post(engine.operators.resume_mended)  # a helper may be what a suspended execution lacked
        try:
            versions = {name: definition.hash for name, definition in changed.items()}
            behind = wait_for(engine.submit(engine.code_checks.behind, versions))
            for name, count in behind.items():
                self._try(changed[name], count)
        except NbflowError:
            if not self._has_stopped():
                raise

    def _has_stopped(self) -> bool:
        return self._engine.is_closed or self._engine.is_broken

    def _try(self, definition: Definition, count: int) -> None:
        name = definition.name
        missing = _missing_names(definition)
        if name in REGISTRY.kept_on_edit:
            self._tell(_untried(definition, f'{_stay(count, name)} on the old code: on_edit="keep"'))
            return
        if missing:
            self._tried.pop(name, None)  # what is missing may come with the next cell
            uses = ", ".join(missing)
            self._tell(_untried(definition, f"{_stay(count, name)} on the old code until {uses} is defined"))
            return
        trial = Trial(definition)
        answer: Future[Trial] = self._engine.submit(self._engine.code_checks.run, trial)
        try:
            wait_for(answer, BUDGET)
        except (FutureTimeoutError, KeyboardInterrupt) as error:
            if answer.done() and not isinstance(error, KeyboardInterrupt):
                raise
            done = f"{len(trial.checked):,} of {trial.total:,} executions of {name}"
            note = f"the new code was tried on {done} so far; this goes on, nbflow.code_check() tells how it ends"
            self._tell(_untried(definition, note))
            answer.add_done_callback(self._on_late_answer)
            if isinstance(error, KeyboardInterrupt):
                raise
            return
        self._done(trial)

    def _on_late_answer(self, answer: Future[Trial]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._done(answer.result())

    def _done(self, trial: Trial) -> None:
        definition = trial.definition
        if trial.checked:
            self._tell(CodeCheck(trial.checked, definition.name, definition.hash, moved=True))

    def _tell(self, check: CodeCheck) -> None:
        previous = self.last.pop(check.workflow_type, None)
        self.last[check.workflow_type] = check
        if check.note and previous is not None and previous.note == check.note:
            return
        if _show is not None:
            _show(check)
        else:
            sys.stderr.write(f"nbflow: {check!r}\n")


def _untried(definition: Definition, note: str) -> CodeCheck:
    return CodeCheck([], definition.name, definition.hash, note=note)


def _stay(count: int, name: str) -> str:
    return f"1 execution of {name} stays" if count == 1 else f"{count:,} executions of {name} stay"


def _missing_names(definition: Definition) -> list[str]:
    """Name the globals that the code uses and the notebook does not have yet: their cells are still to run."""
    if not definition.source:
        return []
    entries: dict[str, Any] = json.loads(definition.manifest or "{}").get("globals") or {}
    function = definition.function
    scope = getattr(function, "__globals__", {})
    known = {function.__name__, *entries, *vars(builtins), *scope}
    return [name for name in global_names(_body(definition.source), function) if name not in known]


def _body(source: str) -> str:
    """Return a function's source without what was evaluated when it was defined."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.decorator_list, node.returns = [], None
            names = [ast.arg(argument.arg) for argument in ast.walk(node.args) if isinstance(argument, ast.arg)]
            node.args = ast.arguments(posonlyargs=[], args=names, kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.unparse(tree)
