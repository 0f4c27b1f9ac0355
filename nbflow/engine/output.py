"""What an activity prints and logs goes to the log table, not into whatever cell happens to run."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any, TextIO

from nbflow.core.activity_context import ActivityContext, running_activity

__all__ = ["OutputCapture"]


class _Router:
    """A stand-in for ``sys.stdout`` or ``sys.stderr`` that sends an activity's lines to its log."""

    def __init__(self, stream: TextIO, name: str, level: int) -> None:
        self._stream = stream
        self._name = name
        self._level = level

    def write(self, text: str) -> int:
        """Write to the running activity's log, or to the real stream."""
        context = running_activity.get()
        if context is None:
            return self._stream.write(text)
        if context.just_logged and context.just_logged in text:
            context.just_logged = ""  # the same line again, through logging's handler of last resort
            return len(text)
        context.write(self._level, self._name, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class OutputCapture:
    """Redirects the output of activities while at least one engine runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._routers: dict[str, _Router] = {}
        self._factory: Any = None

    def start(self) -> None:
        """Begin, or note one more user."""
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            for name, level in (("stdout", logging.INFO), ("stderr", logging.WARNING)):
                router = _Router(getattr(sys, name), name, level)
                self._routers[name] = router
                setattr(sys, name, router)
            previous = self._factory = logging.getLogRecordFactory()

            def make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
                record = previous(*args, **kwargs)
                context = running_activity.get()
                if context is not None:
                    _log_record(context, record)
                return record

            self._make_record = make_record
            logging.setLogRecordFactory(make_record)

    def stop(self) -> None:
        """Note one user less; the last one gives the streams back, where they are still ours."""
        with self._lock:
            self._users -= 1
            if self._users > 0:
                return
            for name, router in self._routers.items():
                if getattr(sys, name) is router:
                    setattr(sys, name, router._stream)  # noqa: SLF001  own class
            self._routers.clear()
            if logging.getLogRecordFactory() is self._make_record:
                logging.setLogRecordFactory(self._factory)


def _log_record(context: ActivityContext, record: logging.LogRecord) -> None:
    message = record.getMessage()
    context.log(record.levelno, record.name, message)
    context.just_logged = message
