"""The workloads: what each one is, its sizes, the figures it yields and how they are told in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Workload:
    """One column of the table.

    Parameters
    ----------
    name
        `w1` to `w9`.
    title
        Head of the column.
    full, quick
        Parameters of a real run, and of a smoke test that takes about a second.
    headline
        The figure that ratios are made of.
    lower_is_better
        Whether the headline is a duration.
    cell
        Writes the figures of one cell.
    phases
        Functions of the adapter, each in a fresh process on the same store; the one before was killed with SIGKILL.
    target
        What the project asks of nbflow, for the last row of the table.
    """

    name: str
    title: str
    full: Mapping[str, int]
    quick: Mapping[str, int]
    headline: str
    lower_is_better: bool
    cell: Callable[[Figures], str]
    phases: tuple[str, ...] = ()
    target: str = ""

    def functions(self) -> tuple[str, ...]:
        return self.phases or (self.name,)

    def sized(self, overrides: Mapping[str, int]) -> Workload:
        """Return this workload with other sizes; they are told in its title."""
        unknown = sorted(set(overrides) - set(self.full))
        if unknown:
            raise SystemExit(f"{self.name} has no parameter {', '.join(unknown)}; it has {', '.join(self.full)}")
        told = " ".join(f"{key}={value}" for key, value in overrides.items())
        return replace(
            self,
            title=f"{self.title} [{told}]" if told else self.title,
            full={**self.full, **overrides},
            quick={**self.quick, **overrides},
        )


def number(value: float) -> str:
    """Write three significant digits, no exponents."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _p50_p99(figures: Figures) -> str:
    return f"{number(figures['ms_p50'])} ({number(figures['ms_p99'])})"


def _sleepers(figures: Figures) -> str:
    recovered = f"{number(figures['recover_s'])}" if "recover_s" in figures else "?"
    return f"{number(figures['starts_s'])}; {number(figures['rss_mb'])}; {recovered}"


def _large(figures: Figures) -> str:
    return f"{number(figures['mb_s'])}; {_p50_p99(figures)}"


def _log(figures: Figures) -> str:
    views = "; ".join(number(figures[key]) for key in ("executions_s", "timers_s", "history_s"))
    return f"{views}; {number(figures['replay_events_s'])}"


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "w1",
            "W1 ms/step p50 (p99)",
            {"steps": 500},
            {"steps": 20},
            "ms_p50",
            True,
            _p50_p99,
            target="1.5x its commits",
        ),
        Workload(
            "w2",
            "W2 steps/s",
            {"steps": 1000},
            {"steps": 50},
            "steps_s",
            False,
            lambda it: number(it["steps_s"]),
            target="20,000",
        ),
        Workload(
            "w3",
            "W3 steps/s",
            {"workflows": 500, "steps": 10},
            {"workflows": 10, "steps": 3},
            "steps_s",
            False,
            lambda it: number(it["steps_s"]),
            target="10,000",
        ),
        Workload(
            "w4",
            "W4 start/s; RSS MB; recover s",
            {"n": 2000},
            {"n": 50},
            "starts_s",
            False,
            _sleepers,
            phases=("w4", "w4_recover"),
            target="10,000; 1,000; 3 (n=100000)",
        ),
        Workload(
            "w5",
            "W5 wf/s (s)",
            {"n": 300, "steps": 20},
            {"n": 5, "steps": 3},
            "wf_s",
            False,
            lambda it: f"{number(it['wf_s'])} ({number(it['seconds'])})",
            phases=("w5", "w5_recover"),
            target="(0.7) (n=1000)",
        ),
        Workload(
            "w6",
            "W6 MB/s; ms/step p50 (p99)",
            {"steps": 50, "bytes": 1_000_000},
            {"steps": 5, "bytes": 100_000},
            "mb_s",
            False,
            _large,
            target="0.8x raw; (50)",
        ),
        Workload(
            "w7",
            "W7 s to first result (import)",
            {},
            {},
            "first_result_s",
            True,
            lambda it: f"{number(it['first_result_s'])} ({number(it['import_s'])})",
            target="0.3 (0.15)",
        ),
        Workload(
            "w8",
            "W8 ms p50 (p99)",
            {"signals": 50},
            {"signals": 5},
            "ms_p50",
            True,
            _p50_p99,
            target="3",
        ),
        Workload(
            "w9",
            "W9 s executions; timers; one history; replay events/s",
            {"events": 4_000_000, "replayed": 10_000},
            {"events": 4000, "replayed": 300},
            "executions_s",
            True,
            _log,
            target="0.5; 0.5; 0.5; 50,000",
        ),
    )
}


def parse(text: str) -> Workload:
    """Read `w4` or `w4:n=100000` (several: `w5:n=1000,steps=5`)."""
    name, _, rest = text.lower().partition(":")
    if name not in WORKLOADS:
        raise SystemExit(f"no workload {name!r}; there are {', '.join(WORKLOADS)}")
    overrides = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        overrides[key.strip()] = int(value.replace("_", ""))
    return WORKLOADS[name].sized(overrides)
