"""The worker process of ``run_in="process"`` activities: ``python -m nbflow.engine.process_worker FD``."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from nbflow.core.activity_context import ActivityContext, ActivityInfo, running_activity
from nbflow.core.definitions import Definition, DefinitionKind
from nbflow.core.failures import failure_of_exception
from nbflow.core.payloads import Payload
from nbflow.core.restore import restore_definition
from nbflow.engine.output import OutputCapture
from nbflow.exceptions import ActivityCancelled, CompleteLater
from nbflow.store.codec import Codec

__all__ = ["main"]


class _Context(ActivityContext):
    """An attempt in a worker process: what it says goes through the pipe."""

    __slots__ = ("_given", "_worker")

    def __init__(self, worker: _Worker, info: ActivityInfo) -> None:
        super().__init__()
        self._worker = worker
        self._given = info

    def describe(self) -> ActivityInfo:
        return self._given

    def heartbeat(self, details: Any) -> None:
        self._worker.heartbeat(details)

    def log(self, level: int, logger: str, message: str) -> None:
        self._worker.log(level, logger, message)


class _Worker:
    """Serves attempts that come through a pipe, one at a time."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._codec = Codec(self._load_blob, resolve_class=self._find_class)
        self._definitions: dict[str, Definition] = {}

    def _load_blob(self, sha256: str) -> tuple[str, bytes]:
        self._pipe.send(("blob", sha256))
        encoding, data = self._pipe.recv()
        return encoding, data

    def _find_class(self, module: str, qualname: str) -> type | None:
        for definition in self._definitions.values():
            found = definition.bindings.get(qualname)
            if isinstance(found, type) and found.__module__ == module:
                return found
        self._pipe.send(("class", module, qualname))
        portable = self._pipe.recv()
        return None if portable is None else self._definition(portable).bindings.get(qualname)

    def _lookup(self, kind: DefinitionKind, name: str) -> Definition | None:
        self._pipe.send(("definition", kind, name))
        portable = self._pipe.recv()
        return None if portable is None else self._definition(portable)

    def _definition(self, portable: tuple[Any, ...]) -> Definition:
        kind, name, hash_, source, manifest = portable
        if hash_ not in self._definitions:
            self._definitions[hash_] = restore_definition(kind, name, hash_, source, manifest, self._lookup)
        return self._definitions[hash_]

    def serve(self) -> None:
        """Run attempts until the pipe closes."""
        while True:
            try:
                portable, args, kwargs, info = self._pipe.recv()
                self._pipe.send(self._run(portable, args, kwargs, info))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                return  # the engine's process has ended

    def _run(self, portable: tuple[Any, ...], args: str, kwargs: str | None, info: ActivityInfo) -> tuple[Any, ...]:
        try:
            definition = self._definition(portable)
            positional = self._codec.decode(Payload(args))
            keywords = self._codec.decode(Payload(kwargs)) if kwargs else {}
            with self._context(info):
                result = definition.function(*positional, **keywords)
            payload = self._codec.encode(result)
        except ActivityCancelled:
            return ("canceled",)
        except CompleteLater:
            return ("later",)
        except BaseException as error:  # noqa: BLE001  every way out of user code is an outcome
            return ("failed", failure_of_exception(error, self._codec).to_json())
        return ("completed", payload.text, _plain(payload))

    @contextmanager
    def _context(self, info: ActivityInfo) -> Iterator[None]:
        context = _Context(self, info)
        token = running_activity.set(context)
        try:
            yield
        finally:
            running_activity.reset(token)
            context.finish()

    def heartbeat(self, details: Any) -> None:
        payload = None if details is None else self._codec.encode(details)
        self._pipe.send(("heartbeat", payload and payload.text, _plain(payload) if payload else []))
        if self._pipe.recv():
            msg = "cancellation was requested"
            raise ActivityCancelled(msg)

    def log(self, level: int, logger: str, message: str) -> None:
        self._pipe.send(("log", level, logger, message))


def _plain(payload: Payload) -> list[tuple[str, str, bytes]]:
    return [(blob.sha256, blob.encoding, blob.data) for blob in payload.blobs]


def _die_with_parent(descriptor: int) -> None:
    """End this process when the engine's does, whatever user code is doing: the pipe then closes."""
    os.read(descriptor, 1)
    os._exit(1)


def main() -> None:
    """Serve the pipe whose file descriptor is the first argument; the second closes when the engine's process ends."""
    threading.Thread(target=_die_with_parent, args=(int(sys.argv[2]),), daemon=True).start()
    OutputCapture().start()
    _Worker(Connection(int(sys.argv[1]))).serve()


if __name__ == "__main__":
    main()
