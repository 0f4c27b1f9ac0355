"""Start an execution with its first message, or hand the message to the one that runs: in one commit."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from nbflow.core.definitions import Definition
from nbflow.engine.execution import RunState
from nbflow.engine.journal import Journal, refuse
from nbflow.engine.requests import Requests, Start, require_text
from nbflow.engine.updates import UpdateRequest, Updates
from nbflow.exceptions import ConfigurationError

__all__ = ["WithStart"]

Answer = Future[Any]


class WithStart:
    """Serves callers who start with a message, on the engine's thread.

    Parameters
    ----------
    requests
        Starts and signals.
    updates
        Updates.
    journal
        Answers when it is durable.
    """

    def __init__(self, requests: Requests, updates: Updates, journal: Journal) -> None:
        self._requests = requests
        self._updates = updates
        self._journal = journal

    def signal(self, definition: Definition, start: Start, answer: Answer) -> None:
        """Start with a signal, ``start.signal``, or signal the execution that runs; answers with its run."""
        assert start.signal is not None
        name, args = start.signal
        require_text("the name of a signal", name)
        run, is_new = self._requests.start_or_attach(definition, start)
        if is_new:
            self._journal.answer(answer, run)
            return
        sent: Answer = Future()
        sent.add_done_callback(lambda sent: _pass_on(sent, run, answer))
        self._requests.signal(run.workflow_id, run.run_id, name, args, sent)

    def update(self, definition: Definition, start: Start, request: UpdateRequest, answer: Answer) -> None:
        """Start, or attach to the execution that runs, and update it; answers as the update does."""
        if start.options.start_delay:
            msg = "an update can't be sent with a start that is delayed: take start_delay away, or update later"
            raise ConfigurationError(msg)
        run, _ = self._requests.start_or_attach(definition, start)
        self._updates.start(run.workflow_id, run.run_id, request, answer)


def _pass_on(sent: Answer, run: RunState, answer: Answer) -> None:
    error = sent.exception()
    if error is not None:
        refuse(answer, error)
    elif answer.set_running_or_notify_cancel():
        answer.set_result(run)
