"""The engine's parts that know nothing of each other's users, put together once and handed on together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nbflow.core.payloads import Converter
from nbflow.engine.clock import Clock
from nbflow.engine.deadlines import Deadlines
from nbflow.engine.definitions import Definitions
from nbflow.engine.interpreter import Interpreter
from nbflow.engine.journal import Journal
from nbflow.store import Reader

__all__ = ["Parts"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What activities, residency and requests all work with.

    Parameters
    ----------
    clock
        Tells the time.
    reader
        Reads the log; for the engine's thread only.
    converter
        Encodes and decodes values.
    journal
        Takes down what happens.
    deadlines
        Holds what is due when.
    interpreter
        Runs workflow code.
    definitions
        Finds code.
    post
        Hands a callback to the engine's thread, from any thread.
    """

    clock: Clock
    reader: Reader
    converter: Converter
    journal: Journal
    deadlines: Deadlines
    interpreter: Interpreter
    definitions: Definitions
    post: Callable[..., None]
