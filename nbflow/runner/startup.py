"""Starting a kernel: launched, greeted within a time, and launched again when another process took its ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nbflow.runner.conversation import Conversation, OutputListener
from nbflow.runner.kernel import Kernel
from nbflow.runner.prologue import PROLOGUE

ATTEMPTS = 3
# ports are chosen before the kernel binds them; in between anyone may take one
_PORT_TAKEN = ("Address already in use", "EADDRINUSE", "WSAEADDRINUSE")


class KernelStartError(Exception):
    """The kernel did not come up; for this package only, which turns it into a result.

    Parameters
    ----------
    reason
        What happened.
    last_words
        What the kernel's process wrote to its standard error.
    exit_code
        What the run exits with.
    """

    def __init__(self, reason: str, last_words: str, exit_code: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.last_words = last_words
        self.exit_code = exit_code


async def start_kernel(
    make_kernel: Callable[[], Kernel], nb: Any, *, timeout: float, on_stream: OutputListener, changed: set[int]
) -> tuple[Kernel, Conversation]:
    """Start a kernel that answers.

    Parameters
    ----------
    make_kernel
        Makes a kernel that is not launched yet; called once an attempt.
    nb
        The notebook that outputs go to.
    timeout
        Seconds that each attempt may take.
    on_stream
        Told of all text that cells print.
    changed
        Gets the indices of the cells whose content changes.

    Raises
    ------
    KernelStartError
        If it died or did not answer.
    ConfigurationError
        If the kernel's command can't be run.
    """

    def converse(kernel: Kernel) -> Conversation:
        return Conversation(kernel.manager, kernel.client, nb, on_stream, changed)

    attempt = 1
    while True:
        kernel = make_kernel()
        try:
            conversation, language = await _start_once(kernel, timeout, converse)
        except KernelStartError as error:
            port_taken = any(sign in error.last_words for sign in _PORT_TAKEN)
            if attempt == ATTEMPTS or not port_taken:
                raise
            attempt += 1
        else:
            nb["metadata"]["language_info"] = language
            return kernel, conversation


async def _start_once(
    kernel: Kernel, timeout: float, converse: Callable[[Kernel], Conversation]
) -> tuple[Conversation, dict[str, Any]]:
    conversation = None
    try:
        await kernel.launch()
        conversation = converse(kernel)
        greeting = asyncio.create_task(_greet(conversation))
        exit_ = asyncio.create_task(kernel.wait_for_exit())
        try:
            await asyncio.wait({greeting, exit_}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if greeting.done():
                return conversation, greeting.result()
            raise _failure(kernel, timeout, died=exit_.done())
        finally:
            for task in (greeting, exit_):
                task.cancel()
            await asyncio.gather(greeting, exit_, return_exceptions=True)
    except BaseException:
        if conversation is not None:
            await conversation.close()
        await kernel.kill()
        await kernel.close()
        raise


async def _greet(conversation: Conversation) -> dict[str, Any]:
    language: dict[str, Any] = (await conversation.greet())["language_info"]
    if language.get("name") == "python":
        await conversation.tell(PROLOGUE)
    return language


def _failure(kernel: Kernel, timeout: float, *, died: bool) -> KernelStartError:
    death = kernel.death()
    if died:
        return KernelStartError(f"the kernel did not start: {death.cause}", death.last_words, death.run_exit_code)
    reason = f"the kernel did not answer within {timeout:g} s (--startup-timeout)"
    return KernelStartError(reason, death.last_words, death.run_exit_code)
