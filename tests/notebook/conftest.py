"""A plain IPython shell in this process, and a kernel shared by the tests that need a real one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import start_new_kernel
from traitlets.config import Config

from nbflow.notebook import load_ipython_extension, unload_ipython_extension
from nbflow.testing import WorkflowEnvironment


class Shell:
    """A shell whose cells raise what went wrong."""

    def __init__(self) -> None:
        self.ip = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))

    def run(self, cell: str) -> Any:
        """Run a cell and return the value of its last expression; raise its error."""
        result = self.ip.run_cell(cell, store_history=True)
        result.raise_error()
        return result.result

    def __getitem__(self, name: str) -> Any:
        return self.ip.user_ns[name]


@pytest.fixture(scope="session")
def plain_shell():
    """Return a shell without the extension."""
    return Shell()


@pytest.fixture
def shell(plain_shell):
    """Return the shell with the extension loaded and an empty namespace, its tracebacks kept off the screen."""
    plain_shell.ip.reset(new_session=False)
    plain_shell.ip.showtraceback = lambda *_, **__: None
    load_ipython_extension(plain_shell.ip)
    yield plain_shell
    unload_ipython_extension(plain_shell.ip)


@pytest.fixture
def env():
    """Return a store in memory on a skipping clock, as the default."""
    with WorkflowEnvironment() as environment:
        yield environment


@dataclass
class Reply:
    """What a kernel answered to one cell."""

    status: str
    error: str = ""
    traceback: str = ""
    text: str = ""
    errors: str = ""
    displays: list[dict[str, str]] = field(default_factory=list)
    updates: list[dict[str, str]] = field(default_factory=list)
    result: dict[str, str] = field(default_factory=dict)
    seconds_after_interrupt: float = 0.0

    def take(self, kind: str, content: dict[str, Any]) -> None:
        """Take in one message."""
        if kind == "stream":
            name = "text" if content["name"] == "stdout" else "errors"
            setattr(self, name, getattr(self, name) + content["text"])
        elif kind == "error":
            self.error, self.traceback = content["ename"], "\n".join(content["traceback"])
        elif kind == "display_data":
            self.displays.append(content["data"])
        elif kind == "update_display_data":
            self.updates.append(content["data"])
        elif kind == "execute_result":
            self.result = content["data"]


_BEGIN = """
%reload_ext nbflow
import nbflow, nbflow.client
nbflow.close()
_ = nbflow.open(":memory:")
"""


class Kernel:
    """A kernel of this interpreter, spoken to as front ends do."""

    def __init__(self) -> None:
        self._manager, self._client = start_new_kernel(kernel_name="python3", extra_arguments=["--log-level=ERROR"])

    def run(self, code: str, interrupt_on: str = "") -> Reply:
        """Run a cell; interrupt it when a display contains the given text."""
        reply, sent = Reply(""), 0.0
        message_id = self._client.execute(code)
        while True:
            message = self._client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            reply.take(kind, content)
            if interrupt_on and not sent and interrupt_on in str(content.get("data", "")):
                sent = time.monotonic()
                self._manager.interrupt_kernel()
        if sent:
            reply.seconds_after_interrupt = time.monotonic() - sent
        while True:
            answer = self._client.get_shell_msg(timeout=60)
            if answer["parent_header"].get("msg_id") == message_id:
                reply.status = answer["content"]["status"]
                return reply

    def is_complete(self, code: str) -> str:
        """Ask whether a cell is complete."""
        self._client.is_complete(code)
        return self._client.get_shell_msg(timeout=60)["content"]["status"]

    def complete(self, code: str) -> list[str]:
        """Ask how a cell may go on at its end."""
        self._client.complete(code, len(code))
        return self._client.get_shell_msg(timeout=60)["content"]["matches"]

    def close(self) -> None:
        """End it."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@pytest.fixture(scope="session")
def shared_kernel():
    """Return the kernel of this test run."""
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(shared_kernel):
    """Return the kernel with the extension loaded and an empty store open."""
    reply = shared_kernel.run(_BEGIN)
    assert reply.status == "ok", reply.traceback
    return shared_kernel
