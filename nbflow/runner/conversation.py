"""The talk with a kernel: requests go out, replies come back to who asked, outputs to the cell they belong to.

Unlike nbclient's own loop, this one listens all the time: what a background thread prints after its cell has ended
still reaches that cell, and a widget's state is followed to the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete

from nbflow.runner import wall_time

IOPUB_GRACE = 4.0
"""Seconds that outputs may arrive after the reply of their cell."""

_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n\r])")
_ERASED = re.compile(r"[^\n]\x08")

OutputListener = Callable[[Any, str, str], None]
"""Called with the cell, the stream's name and its new text."""


@dataclass(eq=False)
class Request:
    """One request to the kernel.

    Parameters
    ----------
    msg_id
        Id of its message.
    reply
        Becomes the content of the reply.
    idle
        Set when the kernel has sent all outputs.
    cell, index
        The cell that the outputs belong to, if any.
    """

    msg_id: str
    reply: asyncio.Future[dict[str, Any]]
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    cell: Any = None
    index: int = -1


class _Outputs(NotebookClient):
    """nbclient's bookkeeping of outputs, display ids and widgets; streams are joined as they come."""

    changed: set[int]

    def _update_display_id(self, display_id: str, msg: dict[str, Any]) -> None:
        self.changed.update(self._display_id_map.get(display_id, ()))
        super()._update_display_id(display_id, msg)

    def output(self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        last = outs[-1] if outs else None
        if msg["msg_type"] != "stream" or hooked or last is None or self.clear_before_next_output:
            return super().output(outs, msg, display_id, cell_index)
        if last["output_type"] != "stream" or last["name"] != msg["content"]["name"]:
            return super().output(outs, msg, display_id, cell_index)
        last["text"] = as_on_a_terminal(last["text"] + msg["content"]["text"])
        return last


def as_on_a_terminal(text: str) -> str:
    """Apply carriage returns and backspaces, so that a progress bar leaves its last state only."""
    while "\x08" in text:
        shorter = _ERASED.sub("", text)
        if shorter == text:
            break
        text = shorter
    return _OVERWRITTEN.sub("", text) if "\r" in text else text


class Conversation:
    """The messages between us and one kernel.

    Parameters
    ----------
    kernel_manager, client
        The kernel's manager and a client with open channels.
    nb
        The notebook that outputs go to.
    on_stream
        Told of all text that cells print.
    changed
        Gets the indices of the cells whose content changes.
    """

    def __init__(self, kernel_manager: Any, client: Any, nb: Any, on_stream: OutputListener, changed: set[int]) -> None:
        self._client = client
        self._changed = changed
        self._outputs = _Outputs(nb, km=kernel_manager)
        self._outputs.kc = client
        self._outputs.changed = changed
        self._on_stream = on_stream
        self._requests: dict[str, Request] = {}
        self._greeted = asyncio.Event()
        self._pumps = [asyncio.create_task(self._listen_shell()), asyncio.create_task(self._listen_iopub())]
        for pump in self._pumps:
            pump.add_done_callback(self._pump_ended)

    async def greet(self) -> dict[str, Any]:
        """Wait until the kernel answers on both channels, and return what it says about itself."""
        while True:
            # what was published before our subscription arrived is lost, so ask until an answer is seen there too
            request = self._send("kernel_info_request", {})
            reply = await request.reply
            try:
                await asyncio.wait_for(request.idle.wait(), 0.05)
            except TimeoutError:
                continue
            return reply

    async def tell(self, code: str) -> None:
        """Run code of our own, silently: it leaves no trace in the notebook nor in the kernel's history."""
        content = {"code": code, "silent": True, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        await self._send("execute_request", content).reply

    def execute(self, cell: Any, index: int) -> Request:
        """Send a cell; its outputs are collected from now on.

        Parameters
        ----------
        cell
            The code cell.
        index
            Its place in the notebook.
        """
        tolerated = "raises-exception" in cell["metadata"].get("tags", [])
        content = {
            "code": cell["source"],
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": not tolerated,
        }
        self._outputs.clear_before_next_output = False
        return self._send("execute_request", content, {"cellId": cell["id"]}, cell=cell, index=index)

    async def answer(self, request: Request) -> dict[str, Any]:
        """Return a cell's reply when its outputs have come too."""
        reply = await request.reply
        with contextlib.suppress(TimeoutError):  # outputs that come later still find their cell
            await asyncio.wait_for(request.idle.wait(), IOPUB_GRACE)
        return reply

    async def drain(self, quiet: float = 0.1) -> None:
        """Take what has arrived already, until nothing came for a while.

        Parameters
        ----------
        quiet
            Seconds of silence that end it.
        """
        while True:
            waiting = await self._client.iopub_channel.socket.poll(int(quiet * 1000))
            if not waiting or self._pumps[1].done():
                return
            await asyncio.sleep(0)

    def write_widget_state(self) -> None:
        """Store the widgets' present state in the notebook, for readers without a kernel."""
        self._outputs.set_widgets_metadata()

    async def close(self) -> None:
        """Stop listening."""
        for pump in self._pumps:
            pump.remove_done_callback(self._pump_ended)
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def _send(self, msg_type: str, content: dict[str, Any], metadata: Any = None, **whose: Any) -> Request:
        message = self._client.session.msg(msg_type, content, metadata=metadata)
        request = Request(message["header"]["msg_id"], asyncio.get_running_loop().create_future(), **whose)
        self._requests[request.msg_id] = request
        self._client.shell_channel.send(message)
        return request

    async def _listen_shell(self) -> None:
        while True:
            message = await self._client.shell_channel.get_msg(timeout=None)
            request = self._requests.get(message["parent_header"].get("msg_id"))
            if request is None or request.reply.done():
                continue
            if request.cell is not None:
                self._changed.add(request.index)
                request.cell["metadata"]["execution"]["shell.execute_reply"] = _stamp(message)
            request.reply.set_result(message["content"])

    async def _listen_iopub(self) -> None:
        while True:
            message = await self._client.iopub_channel.get_msg(timeout=None)
            request = self._requests.get(message["parent_header"].get("msg_id"))
            if request is not None:
                self._take(request, message)

    def _take(self, request: Request, message: dict[str, Any]) -> None:
        content = message["content"]
        if request.cell is None:
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                request.idle.set()
            return
        self._changed.add(request.index)
        try:
            self._outputs.process_message(message, request.cell, request.index)
        except CellExecutionComplete:
            request.idle.set()
        if message["msg_type"] == "stream":
            self._on_stream(request.cell, content["name"], content["text"])

    def _pump_ended(self, pump: asyncio.Task[None]) -> None:
        """Hand what ended a listener to those who wait for it."""
        error = ConnectionError("the connection to the kernel was closed") if pump.cancelled() else pump.exception()
        for request in self._requests.values():
            if not request.reply.done():
                request.reply.set_exception(error or ConnectionError("the connection to the kernel ended"))
            request.idle.set()


def _stamp(message: dict[str, Any]) -> str:
    date = message["header"].get("date")
    return wall_time.iso(date if hasattr(date, "strftime") else wall_time.now())
