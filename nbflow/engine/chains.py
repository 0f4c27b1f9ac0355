"""Runs that follow one another under one workflow id: continue-as-new, and a workflow's RetryPolicy.

The closing event of a run, the first event of the next one and what its code asks for first are one batch.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from nbflow.core.branching import OF_ONE_RUN
from nbflow.core.definitions import Definition
from nbflow.core.events import (
    HistoryEvent,
    WorkflowExecutionContinuedAsNew,
    WorkflowExecutionFailed,
    WorkflowExecutionStarted,
    WorkflowExecutionTimedOut,
)
from nbflow.core.failures import Failure, RetryState, TimeoutType, timeout_failure
from nbflow.core.payloads import Payload
from nbflow.core.retry import GiveUp, RetryPolicy, next_attempt
from nbflow.core.run_times import execution_deadline
from nbflow.engine.clock import new_run_id, new_seed
from nbflow.engine.execution import Execution, RunState
from nbflow.engine.parts import Parts
from nbflow.engine.requests import Requests
from nbflow.exceptions import MissingDefinitionError

__all__ = ["Chains"]

_MICROSECOND = 1_000_000
_PAUSE = 1.0
"""Seconds: a run that continues as new without having waited for anything makes the next one wait so long."""

Answer = Future[Any]


class Chains:
    """Starts the runs that follow a run.

    Parameters
    ----------
    parts
        The engine's parts.
    requests
        Takes runs in, and finds them.
    """

    def __init__(self, parts: Parts, requests: Requests) -> None:
        self._clock = parts.clock
        self._converter = parts.converter
        self._interpreter = parts.interpreter
        self._definitions = parts.definitions
        self._reader = parts.reader
        self._requests = requests
        self._exact: set[Answer] = set()
        """Who waits for one run only."""
        requests.chains = self

    # Is there a next run?

    def before_closing(self, execution: Execution, event: HistoryEvent) -> HistoryEvent:
        """Complete a closing event that the code asked for: it names the run that follows, if one does.

        Raises
        ------
        MissingDefinitionError
            When the next run's code can't be found.
        """
        if isinstance(event, WorkflowExecutionContinuedAsNew):
            self._definition(execution, event.workflow_type)
            backoff = max(event.backoff_start_interval or 0, self._pause(execution, event.event_time))
            run_id = new_run_id(event.event_time)
            return replace(event, new_execution_run_id=run_id, backoff_start_interval=backoff or None)
        if isinstance(event, WorkflowExecutionFailed) and execution.started.retry_policy:
            retry_state, delay = self._retry(execution, event.failure, event.event_time)
            new = None if delay is None else new_run_id(event.event_time)
            return replace(event, retry_state=retry_state, new_execution_run_id=new)
        return event

    def timed_out(self, execution: Execution, event_id: int, now: int) -> WorkflowExecutionTimedOut:
        """Make the closing event of a run whose time is up; a next one follows if only this run's was."""
        deadline = execution_deadline(execution.started)
        if deadline is not None and deadline <= now:
            return WorkflowExecutionTimedOut(event_id=event_id, event_time=now, retry_state=RetryState.TIMEOUT)
        retry_state, delay = self._retry(execution, _RUN_TIMED_OUT, now)
        new = None if delay is None else new_run_id(now)
        return WorkflowExecutionTimedOut(
            event_id=event_id, event_time=now, retry_state=retry_state, new_execution_run_id=new
        )

    def _retry(self, execution: Execution, failure: Failure, now: int) -> tuple[str, float | None]:
        """Say why no run follows a failed one, or after how many seconds one does."""
        started = execution.started
        if not started.retry_policy:
            return RetryState.RETRY_POLICY_NOT_SET, None
        if execution.instance.cancel_requested:
            return RetryState.CANCEL_REQUESTED, None
        policy = RetryPolicy.from_json(dict(started.retry_policy))
        deadline = execution_deadline(started)
        left = None if deadline is None else (deadline - now) / _MICROSECOND
        decision = next_attempt(policy, started.attempt, failure, 0.0, left)
        if isinstance(decision, GiveUp):
            return decision.retry_state, None
        return RetryState.IN_PROGRESS, decision.seconds

    def _pause(self, execution: Execution, now: int) -> float:
        """Seconds by which a next run must be slowed down: a chain of runs that wait for nothing would never rest."""
        started = execution.started
        begun = started.event_time + round((started.first_workflow_task_backoff or 0) * _MICROSECOND)
        if execution.instance.loop.now * _MICROSECOND > begun + 0.5:  # something came after the first activation
            return 0.0
        return max(0.0, _PAUSE - (now - begun) / _MICROSECOND)

    # The next run.

    def after_closing(self, execution: Execution, event: HistoryEvent) -> None:
        """Start the run that a closing event names."""
        run_id = getattr(event, "new_execution_run_id", None)
        if not run_id:
            return
        execution.run.next_run_id = run_id
        if isinstance(event, WorkflowExecutionContinuedAsNew):
            started = self._continued(execution, event)
        else:
            failure = event.failure if isinstance(event, WorkflowExecutionFailed) else _RUN_TIMED_OUT
            _, delay = self._retry(execution, failure, event.event_time)
            started = self._retried(execution, failure, delay or 0, event.event_time)
        definition = self._definition(execution, started.workflow_type)
        started = replace(started, definition_hash=definition.hash)
        run = RunState(run_id, started.workflow_id, started.workflow_type, "Running", definition.hash)
        self._interpreter.begin(self._requests.take_in(run, definition, started))

    def _definition(self, execution: Execution, name: str) -> Definition:
        """Return today's code."""
        definition = self._definitions.latest_workflow(name)
        if definition is None and name == execution.definition.name:
            return execution.definition
        if definition is None:
            msg = f"no workflow {name!r} is defined, as which {execution.workflow_id!r} is to continue: run its cell"
            raise MissingDefinitionError(msg)
        return definition

    def _continued(self, execution: Execution, event: WorkflowExecutionContinuedAsNew) -> WorkflowExecutionStarted:
        old = execution.started
        memo, attributes = self._carried(execution)
        return replace(
            self._next(execution, event.event_time, event.backoff_start_interval or 0),
            workflow_type=event.workflow_type,
            input=event.input,
            keyword_input=event.keyword_input,
            initiator=event.initiator,
            workflow_run_timeout=event.workflow_run_timeout or old.workflow_run_timeout,
            retry_policy=event.retry_policy or old.retry_policy,
            memo=memo if event.memo is None else event.memo,
            search_attributes=attributes if event.search_attributes is None else event.search_attributes,
            attempt=1,
            continued_failure=None,
        )

    def _retried(self, execution: Execution, failure: Failure, delay: float, now: int) -> WorkflowExecutionStarted:
        memo, attributes = self._carried(execution)
        return replace(
            self._next(execution, now, delay),
            initiator="RETRY",
            attempt=execution.started.attempt + 1,
            continued_failure=failure,
            memo=memo,
            search_attributes=attributes,
        )

    def _next(self, execution: Execution, now: int, delay: float) -> WorkflowExecutionStarted:
        """Write the first event of a next run that is like this one."""
        old = execution.started
        return replace(
            old,
            event_time=max(now, old.event_time + 1),  # of two runs of an id, the later one counts
            random_seed=new_seed(),
            workflow_execution_expiration_time=execution_deadline(old),
            first_workflow_task_backoff=delay or None,
            first_execution_run_id=old.first_execution_run_id or execution.run_id,
            continued_execution_run_id=execution.run_id,
            **OF_ONE_RUN,
        )

    def _carried(self, execution: Execution) -> tuple[Payload | None, dict[str, Any] | None]:
        """Memo and search attributes as they are at the end of a run."""
        info = execution.instance.info
        memo = self._converter.encode(dict(info.memo)) if info.memo else None
        return memo, dict(info.search_attributes) or None

    # Finding the last run.

    def newest(self, run: RunState) -> RunState:
        """Return the last of the runs that follow a run; itself if none does."""
        last = run
        while last.status in _MAY_BE_FOLLOWED and (following := self._following(last)) is not None:
            last = self._requests.find(run.workflow_id, following)
        if last is not run:
            run.next_run_id = last.run_id  # the way is shorter next time
        return last

    def _following(self, run: RunState) -> str | None:
        if run.next_run_id is None:
            event = run.closing_event or self._reader.closings([run.run_id]).get(run.run_id)
            run.next_run_id = getattr(event, "new_execution_run_id", None)
        return run.next_run_id

    # Waiting for the last run.

    def wait_closed(self, workflow_id: str, run_id: str | None, answer: Answer) -> None:
        """Answer with the closing event of the last of the runs that follow one another."""
        run = self.newest(self._requests.find(workflow_id, run_id))
        self._requests.wait_closed(workflow_id, run.run_id, answer)

    def wait_run_closed(self, workflow_id: str, run_id: str | None, answer: Answer) -> None:
        """Answer with the closing event of this very run."""
        self._exact.add(answer)
        answer.add_done_callback(self._exact.discard)
        self._requests.wait_closed(workflow_id, run_id, answer)

    def still_waiting(self, answers: list[Answer], event: HistoryEvent) -> tuple[str, list[Answer]]:
        """Say for which run those wait who waited for one that has closed, and who they are; empty if for none."""
        following: str | None = getattr(event, "new_execution_run_id", None)
        return (following, [answer for answer in answers if answer not in self._exact]) if following else ("", [])


_MAY_BE_FOLLOWED = frozenset({"ContinuedAsNew", "Failed", "TimedOut"})
"""Statuses after which there may be another run."""
_RUN_TIMED_OUT = timeout_failure(TimeoutType.START_TO_CLOSE, "the run's time was up")
