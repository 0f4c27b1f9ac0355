"""One kernel process: started, watched, interrupted, asked to end, and, when it died, asked why."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from nbflow.exceptions import ConfigurationError
from nbflow.runner.outcomes import ExitCode

_POLL_INTERVAL = 0.05
_CRASH_SIGNALS = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"}
_CRASH = "Fatal Python error:"
# ipykernel says this at every start on a local TCP port
_NOISE = "Kernel is running over TCP without encryption"


@dataclass(frozen=True)
class KernelDeath:
    """How a kernel died.

    Parameters
    ----------
    exit_code
        The process's exit code; negative for the signal that ended it.
    cause
        The same for a reader, with the likely reason.
    last_words
        What the process wrote to its own standard error at the end.
    """

    exit_code: int
    cause: str
    last_words: str

    @property
    def run_exit_code(self) -> int:
        """What ``nbflow run`` exits with."""
        return ExitCode.KERNEL_KILLED if self.exit_code == -signal.SIGKILL else ExitCode.KERNEL_DIED


class Kernel:
    """A kernel process of our own.

    Parameters
    ----------
    name
        Name of the kernel's specification; empty for the default one.
    cwd
        Its working directory.
    environment
        Its environment variables, all of them.
    """

    def __init__(self, name: str, cwd: str, environment: Mapping[str, str]) -> None:
        self._name = name
        self._cwd = cwd
        self._environment = dict(environment)
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed by `close`
        self._oom_kills_before = _oom_kills()
        self.exit_code: int | None = None
        self.manager: Any = None
        self.client: Any = None

    async def launch(self) -> None:
        """Start the process and connect; it may not answer yet.

        Raises
        ------
        ConfigurationError
            If its command can't be run.
        """
        from jupyter_client.manager import AsyncKernelManager

        manager = AsyncKernelManager(kernel_name=self._name) if self._name else AsyncKernelManager()
        extra = ["--HistoryManager.hist_file=:memory:"] if manager.ipykernel else []
        try:
            await manager.start_kernel(
                cwd=self._cwd,
                env=self._environment,
                extra_arguments=extra,
                stdout=self._stderr,
                stderr=self._stderr,
            )
        except OSError as error:
            raise ConfigurationError(f"kernel {self._name or 'python3'!r} can't be started: {error}") from None
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels(hb=False, stdin=False)

    async def wait_for_exit(self) -> None:
        """Return when the process has ended."""
        while not await self.has_exited():  # noqa: ASYNC110  a process sets no event
            await asyncio.sleep(_POLL_INTERVAL)

    async def has_exited(self) -> bool:
        """Return True if the process has ended."""
        if self.exit_code is None and self.manager is not None:
            provisioner = self.manager.provisioner
            self.exit_code = await provisioner.poll() if provisioner.has_process else 0
        return self.exit_code is not None

    async def interrupt(self) -> None:
        """Interrupt the running cell; one that awaits sleeps through the signal until a message wakes its loop."""
        if await self.has_exited():
            return
        with contextlib.suppress(ProcessLookupError):
            await self.manager.interrupt_kernel()
        self.client.kernel_info()

    async def shutdown(self, grace: float) -> None:
        """Ask the kernel to end, so that what it holds is closed in order; kill it if it takes longer.

        Parameters
        ----------
        grace
            Seconds it may take.
        """
        if not await self.has_exited():
            await self.manager.request_shutdown()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wait_for_exit(), grace)
        await self.kill()

    async def kill(self) -> None:
        """End the process and what it started, if any of it is left."""
        if self.manager is None:
            return
        with contextlib.suppress(ProcessLookupError):
            await self.manager.provisioner.kill()
        await self.wait_for_exit()

    async def close(self) -> None:
        """Give back sockets and files; the process must have ended."""
        if self.client is not None:
            self.client.stop_channels()
        if self.manager is not None:
            await self.manager.cleanup_resources()
        self._stderr.close()

    def last_words(self, lines: int = 20) -> str:
        """Return the end of what the process wrote to its standard error, or the Python stack of its crash.

        Parameters
        ----------
        lines
            At most so many.
        """
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 16_384))
        text = self._stderr.read().decode("utf-8", "replace")
        crash = text.rfind(_CRASH)
        if crash >= 0:  # innermost frames come first
            return "\n".join(text[crash:].splitlines()[:lines]).strip()
        kept = [line for line in text.splitlines() if _NOISE not in line]
        return "\n".join(kept[-lines:]).strip()

    def death(self) -> KernelDeath:
        """Return how the process died."""
        code = self.exit_code if self.exit_code is not None else 0
        return KernelDeath(code, self._cause(code), self.last_words())

    def _cause(self, code: int) -> str:
        peak = f"its memory peaked at {_peak_child_memory() / 2**30:.2f} GiB"
        if code >= 0:
            return f"the kernel's process exited with code {code}; the notebook, or a library it uses, ended it"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        if name == "SIGKILL" and _oom_kills() > self._oom_kills_before:
            return f"the kernel was killed by SIGKILL: out of memory, its control group reached the limit; {peak}"
        if name == "SIGKILL":
            return f"the kernel was killed by SIGKILL, most often sent when the system is out of memory; {peak}"
        if name in _CRASH_SIGNALS:
            return f"the kernel crashed in native code ({name}); {peak}"
        return f"the kernel was ended by {name}, sent from outside or by the notebook itself"


def check_kernel(name: str) -> None:
    """Make sure that a kernel is installed.

    Raises
    ------
    ConfigurationError
        If it isn't; the error names those that are.
    """
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        KernelSpecManager().get_kernel_spec(name or "python3")
    except NoSuchKernel:
        there = ", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "none"
        raise ConfigurationError(
            f"there is no kernel {name!r} here (installed: {there}); choose one with --kernel NAME, or install it"
        ) from None


def _peak_child_memory() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _oom_kills() -> int:
    """Count the processes of our control group that the system killed for memory; 0 where nothing counts them."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
        group = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
        for folder in (f"/sys/fs/cgroup{group}", "/sys/fs/cgroup"):
            events = Path(folder, "memory.events")
            if events.is_file():
                counts = dict(line.split() for line in events.read_text(encoding="ascii").splitlines())
                return int(counts.get("oom_kill", 0))
    except (OSError, StopIteration, ValueError):
        pass
    return 0
