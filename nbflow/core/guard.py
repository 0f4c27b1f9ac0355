"""Real IO from workflow code is stopped where it happens.

Python announces files, sockets, processes and threads as audit events. While workflow code runs
on a thread, such an event on that thread raises NondeterminismError at the line that did it.
Imports, and Python's own reading of source lines for a traceback, are allowed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from threading import get_ident
from types import FrameType

from nbflow.exceptions import NondeterminismError

__all__ = ["IoGuard", "allow_io", "guarded"]

_WATCHED = frozenset(
    {
        "open", "builtins.input", "_thread.start_new_thread", "ftplib.connect", "http.client.connect", "imaplib.open",
        "os.chdir", "os.chmod", "os.chown", "os.exec", "os.fork", "os.forkpty", "os.kill", "os.link", "os.listdir",
        "os.mkdir", "os.posix_spawn", "os.putenv", "os.remove", "os.rename", "os.rmdir", "os.scandir", "os.spawn",
        "os.startfile", "os.symlink", "os.system", "os.truncate", "os.unsetenv", "os.utime", "os.walk", "poplib.connect",
        "shutil.copyfile", "shutil.copytree", "shutil.move", "shutil.rmtree", "smtplib.connect", "socket.__new__",
        "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "sqlite3.connect",
        "subprocess.Popen", "tempfile.mkdtemp", "tempfile.mkstemp", "urllib.Request", "webbrowser.open",
    }
)  # fmt: skip
_PYTHONS_OWN = ("importlib._bootstrap", "importlib._bootstrap_external", "linecache", "zipimport", "tokenize", "inspect")


class IoGuard:
    """The switch that the audit hook reads. One per process; workflow code runs on one engine thread at a time per loop."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.violations: dict[int, NondeterminismError] = {}
        self._installed = False

    def install(self) -> None:
        """Add the audit hook; Python has no way to remove one, so it is added once, when first needed."""
        if not self._installed:
            self._installed = True
            sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[object, ...]) -> None:
        if not self.threads or event not in _WATCHED:
            return
        thread = get_ident()
        if thread not in self.threads:
            return
        self.threads.discard(thread)  # what follows may itself raise audit events
        try:
            line = _line_of_user_code(sys._getframe(1))  # noqa: SLF001  the only way up the stack
            if line is None:
                return
            what = f"{event}({', '.join(map(repr, args[:1]))})"
            msg = (
                f"workflow code did real IO: {what} at {line}; replay can't repeat it. Move it into an activity "
                f"(a function marked @activity), or into nbflow.side_effect() if it is cheap and harmless"
            )
            error = NondeterminismError(msg, command=what, line=line)
            self.violations.setdefault(thread, error)
            raise error
        finally:
            self.threads.add(thread)


def _line_of_user_code(frame: FrameType | None) -> str | None:
    """Name the innermost frame outside the standard library; None if Python itself is at work."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module in _PYTHONS_OWN:
            return None
        if not _is_library(module):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def _is_library(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names and module != "__main__"


_GUARD = IoGuard()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Stop real IO of this thread while the block runs.

    Raises
    ------
    NondeterminismError
        At the end of the block too, if the code inside swallowed it.
    """
    _GUARD.install()
    thread = get_ident()
    _GUARD.threads.add(thread)
    try:
        yield
    finally:
        _GUARD.threads.discard(thread)


def take_violation() -> NondeterminismError | None:
    """Return what this thread's workflow code did, if anything, and forget it."""
    return _GUARD.violations.pop(get_ident(), None)


@contextlib.contextmanager
def allow_io() -> Iterator[None]:
    """Allow real IO of this thread while the block runs."""
    thread = get_ident()
    was_guarded = thread in _GUARD.threads
    _GUARD.threads.discard(thread)
    try:
        yield
    finally:
        if was_guarded:
            _GUARD.threads.add(thread)
