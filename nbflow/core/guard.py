"""Real IO from workflow code is stopped where it happens.

Python announces files, sockets, processes and threads as audit events. While workflow code runs
on a thread, such an event on that thread raises NondeterminismError at the line that did it.
Imports are allowed, and so is what Python and nbflow read for themselves: source lines for a
traceback, time zones, stored values.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from threading import get_ident
from types import FrameType

from nbflow.exceptions import NondeterminismError

__all__ = ["Watch", "allow_io"]

_WATCHED = frozenset(
    {
        "open", "builtins.input", "_thread.start_new_thread", "ftplib.connect", "http.client.connect",
        "imaplib.open", "os.chdir", "os.chmod", "os.chown", "os.exec", "os.fork", "os.forkpty", "os.kill", "os.link",
        "os.listdir", "os.mkdir", "os.posix_spawn", "os.putenv", "os.remove", "os.rename", "os.rmdir", "os.scandir",
        "os.spawn", "os.startfile", "os.symlink", "os.system", "os.truncate", "os.unsetenv", "os.utime", "os.walk",
        "poplib.connect", "shutil.copyfile", "shutil.copytree", "shutil.move", "shutil.rmtree", "smtplib.connect",
        "socket.__new__", "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname",
        "sqlite3.connect", "subprocess.Popen", "tempfile.mkdtemp", "tempfile.mkstemp", "urllib.Request",
        "webbrowser.open",
    }
)  # fmt: skip

_PYTHONS_OWN = frozenset(
    {
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "inspect",
        "linecache",
        "tokenize",
        "zipimport",
    }
)
"""Modules that read files on Python's own behalf."""

_OWN_FILES = __file__.rpartition("core")[0]
_BELOW_USER_CODE = (f"{__file__.rpartition('guard')[0]}loop.py", f"{__file__.rpartition('guard')[0]}bridge.py")
_LIBRARY_FILES = (asyncio.__file__.rpartition("asyncio")[0], "<frozen ", "<string>")
_INSTALLED = ("site-packages", "dist-packages")


class Watch:
    """Watches the thread on which an execution's code runs, from :meth:`begin` to :meth:`end`."""

    __slots__ = ("_outer", "_thread", "violation")

    def __init__(self) -> None:
        self.violation: NondeterminismError | None = None
        """What the code did, even if it swallowed the error."""
        self._thread = 0
        self._outer: Watch | None = None

    def begin(self) -> None:
        """Stop real IO of this thread."""
        self._thread = thread = get_ident()
        self._outer = _watches.get(thread)
        _watches[thread] = self

    def end(self) -> None:
        """Let the thread do again what it may do elsewhere."""
        if self._outer is None:
            _watches.pop(self._thread, None)
        else:
            _watches[self._thread] = self._outer
            self._outer = None

    def take_violation(self) -> NondeterminismError | None:
        """Return what the code did, if anything, and forget it."""
        violation, self.violation = self.violation, None
        return violation


_watches: dict[int, Watch] = {}
"""By thread."""


def _on_audit_event(event: str, args: tuple[object, ...]) -> None:
    if not _watches or event not in _WATCHED:
        return
    thread = get_ident()
    watch = _watches.pop(thread, None)  # what follows may itself raise audit events
    if watch is None:
        return
    try:
        line = _line_of_user_code(sys._getframe(1))  # noqa: SLF001  the only way up the stack
        if line is None or _is_time_zone(args):
            return
        what = f"{event}({_describe(args[0]) if args else ''})"
        msg = (
            f"workflow code did real IO: {what} at {line}; replay can't repeat it. Move it into an activity "
            f"(a function marked @activity), or into nbflow.side_effect() if it is cheap and harmless"
        )
        error = NondeterminismError(msg, command=what, line=line)
        watch.violation = watch.violation or error
        raise error
    finally:
        _watches[thread] = watch


# Python has no way to remove an audit hook, so there is one, for good; it returns at once while no workflow code runs.
sys.addaudithook(_on_audit_event)


def _describe(argument: object) -> str:
    """Write an event's argument; others than plain ones may not be ready to be written yet."""
    return repr(argument) if isinstance(argument, (str, bytes, int)) else type(argument).__name__


def _is_time_zone(args: tuple[object, ...]) -> bool:
    """Say whether a file is of the time zone database: all its readers keep it in a folder of this name."""
    return bool(args) and isinstance(args[0], str) and "zoneinfo" in args[0].replace("\\", "/").split("/")


def _line_of_user_code(frame: FrameType | None) -> str | None:
    """Name the line that did it; None if Python, an import, or nbflow itself is at work."""
    user: FrameType | None = None
    installed: FrameType | None = None
    while frame is not None:
        filename = frame.f_code.co_filename
        if frame.f_globals.get("__name__") in _PYTHONS_OWN:
            return None
        if filename.startswith(_OWN_FILES):
            if user is None and (installed is None or filename not in _BELOW_USER_CODE):
                return None
            break
        if any(folder in filename for folder in _INSTALLED):
            installed = frame
        elif not filename.startswith(_LIBRARY_FILES):
            user = user or frame
        frame = frame.f_back
    found = user or installed  # a workflow may itself be part of an installed package
    return None if found is None else f"{found.f_code.co_filename}:{found.f_lineno}"


@contextlib.contextmanager
def allow_io() -> Iterator[None]:
    """Allow real IO of this thread while the block runs."""
    thread = get_ident()
    watch = _watches.pop(thread, None)
    try:
        yield
    finally:
        if watch is not None:
            _watches[thread] = watch
