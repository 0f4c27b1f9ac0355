"""What a caller may choose about a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbflow.exceptions import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a headless run.

    Parameters
    ----------
    notebook
        Path of the notebook, or ``-`` for standard input.
    output
        Path of the executed notebook, where ``{name}`` stands for a parameter and ``{run_id}`` for the run's id;
        ``-`` for standard output; None for ``<notebook>.out.ipynb``.
    parameters
        Values of parameters by name, as `nbflow.runner.parameter_values.Given` or plain.
    strict_parameters
        False to accept names that the notebook does not declare.
    run_id
        Id of the run: the same one continues an earlier run. None makes one up.
    store
        Path of the event log; None for the default one.
    cell_timeout, run_timeout
        Seconds that one cell, or all of the run, may take; None for no limit.
    startup_timeout
        Seconds that the kernel may take to answer.
    interrupt_grace
        Seconds that an interrupted cell may take to end after a timeout, before the kernel is killed.
    shutdown_grace
        Seconds that the kernel may take to close its store and end, before it is killed.
    kernel
        Name of the kernel's specification; None for the notebook's own.
    cwd
        Working directory of the kernel; None for the notebook's folder.
    """

    notebook: str
    output: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    strict_parameters: bool = True
    run_id: str | None = None
    store: str | None = None
    cell_timeout: float | None = None
    run_timeout: float | None = None
    startup_timeout: float = 60.0
    interrupt_grace: float = 5.0
    shutdown_grace: float = 10.0
    kernel: str | None = None
    cwd: str | None = None

    def __post_init__(self) -> None:
        for name in ("cell_timeout", "run_timeout", "startup_timeout", "interrupt_grace", "shutdown_grace"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} must be more than 0 seconds, got {value:g}")
        if self.run_id is not None and not self.run_id.strip():
            raise ConfigurationError("a run id must not be empty; leave it out to have one made up")
