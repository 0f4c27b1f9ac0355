"""``run_in="process"``: activities in worker processes of their own, killed on timeout.

A worker rebuilds the activity from its definition, so functions of a notebook need no pickling.
It talks to the engine through a pipe: heartbeats, log lines, requests for large values, the outcome.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe

from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.failures import APPLICATION, Failure
from nbflow.core.payloads import Blob, Payload
from nbflow.engine.attempt import Attempt
from nbflow.engine.execution import Outcome
from nbflow.engine.runners import ThreadRunner
from nbflow.exceptions import ActivityCancelled

__all__ = ["ProcessRunner"]


class _Worker:
    """One worker process and the pipe to it."""

    def __init__(self) -> None:
        ours, theirs = Pipe()
        self.pipe: Connection = ours
        watched, self._lifeline = os.pipe()  # closes when this process ends, however it ends
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "nbflow.engine.process_worker", str(theirs.fileno()), str(watched)]
        self.process = subprocess.Popen(  # noqa: S603  our own module
            command,
            pass_fds=[theirs.fileno(), watched],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        os.close(watched)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if not self.pipe.closed:
            self.pipe.close()
            os.close(self._lifeline)


class ProcessRunner(ThreadRunner):
    """Runs attempts in worker processes, each led by a thread.

    Parameters
    ----------
    capacity
        How many processes there are at most.
    load_blob
        Fetches a large value for a worker.
    """

    def __init__(self, capacity: int, load_blob: Callable[[str], tuple[str, bytes]]) -> None:
        super().__init__(capacity)
        self._load_blob = load_blob
        self._idle_workers: list[_Worker] = []
        self._busy_workers: set[_Worker] = set()

    def _execute(self, attempt: Attempt) -> Outcome:
        worker = self._idle_workers.pop() if self._idle_workers else _Worker()
        self._busy_workers.add(worker)
        with attempt.lock:
            attempt.handle = worker
        try:
            outcome = self._converse(worker, attempt)
        except (EOFError, OSError) as error:
            worker.kill()
            code = worker.process.returncode
            failure = Failure(
                message=f"the worker process ended (exit code {code}) without telling an outcome",
                kind=APPLICATION,
                info={"type": "WorkerProcessDied"},
                cause=Failure(message=str(error), info={"type": type(error).__name__}),
            )
            return Outcome() if attempt.cancel_requested else Outcome(failure=failure)
        except BaseException:
            worker.kill()  # in the middle of a conversation, it is of no use to the next attempt
            raise
        finally:
            attempt.handle = None
            self._busy_workers.discard(worker)
        self._idle_workers.append(worker)
        return outcome

    def _converse(self, worker: _Worker, attempt: Attempt) -> Outcome:
        """Hand over the attempt and answer the worker until it tells the outcome."""
        pipe, scheduled = worker.pipe, attempt.task.scheduled
        keywords = scheduled.keyword_input.text if scheduled.keyword_input else None
        pipe.send((_portable(attempt.definition), scheduled.input.text, keywords, attempt.info))
        while True:
            match pipe.recv():
                case ("heartbeat", text, blobs):
                    pipe.send(self._heartbeat(attempt, text, blobs))
                case ("log", level, logger, message):
                    attempt.log(level, logger, message)
                case ("blob", sha256):
                    pipe.send(self._load_blob(sha256))
                case ("definition", kind, name):
                    found = REGISTRY.current(kind, name)
                    pipe.send(None if found is None else _portable(found))
                case ("class", module, qualname):
                    pipe.send(_definition_with_class(module, qualname))
                case ("completed", text, blobs):
                    return Outcome(result=Payload(text, _blobs(blobs)))
                case ("failed", tree):
                    return Outcome(failure=Failure.from_json(tree))
                case ("canceled",):
                    return Outcome()
                case ("later",):
                    return Outcome(is_left_open=True)

    def _heartbeat(self, attempt: Attempt, text: str | None, blobs: list[tuple[str, str, bytes]]) -> bool:
        """Pass a heartbeat on; True if the worker shall cancel."""
        details = None if text is None else attempt.owner.converter.decode(Payload(text, _blobs(blobs)))
        try:
            attempt.heartbeat(details)
        except ActivityCancelled:
            return True
        return attempt.cancel_requested

    def cancel(self, attempt: Attempt) -> None:
        """Tell the worker at its next heartbeat."""
        attempt.cancel_requested = True

    def abandon(self, attempt: Attempt) -> None:
        """Kill the worker."""
        self._replace_thread(attempt)
        with attempt.lock:
            if attempt.handle is not None:
                attempt.handle.process.kill()

    def close(self) -> None:
        """End all workers: an attempt under way is made again at the next start, and must not meet itself."""
        super().close()
        for worker in list(self._busy_workers):
            worker.process.kill()
        while self._idle_workers:
            self._idle_workers.pop().kill()


def _portable(definition: Definition) -> tuple[str, str, str, str, str]:
    return definition.kind, definition.name, definition.hash, definition.source, definition.manifest


def _definition_with_class(module: str, qualname: str) -> tuple[str, str, str, str, str] | None:
    """Find a definition whose rebuilding brings a notebook's class with it."""
    for definition in REGISTRY.all():
        tree = json.loads(definition.manifest or "{}")
        if tree.get("module") == module and "source" in (tree.get("globals") or {}).get(qualname, {}):
            return _portable(definition)
    return None


def _blobs(blobs: list[tuple[str, str, bytes]]) -> tuple[Blob, ...]:
    return tuple(Blob(*blob) for blob in blobs)
