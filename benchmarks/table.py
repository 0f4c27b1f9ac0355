"""One Markdown table of a series: medians, and each engine's headline as a ratio against nbflow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from benchmarks.engines import REFERENCE, Engine
from benchmarks.runner import Outcome
from benchmarks.workloads import Workload, number

Medians = dict[tuple[str, str], dict[str, float]]


def medians(outcomes: Iterable[Outcome]) -> Medians:
    """Return the median of each figure over the repetitions, by engine and column."""
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        for name, value in outcome.figures.items():
            if not outcome.error:
                values[outcome.engine, outcome.workload][name].append(value)
    return {key: {name: median(of) for name, of in figures.items()} for key, figures in values.items()}


def best(outcomes: Iterable[Outcome], workloads: Iterable[Workload]) -> Medians:
    """Return the figures of the run with the best headline: the one least disturbed, on a machine that others use."""
    columns = {it.title: it for it in workloads}
    found: Medians = {}
    for outcome in outcomes:
        column = columns[outcome.workload]
        if outcome.error or column.headline not in outcome.figures:
            continue
        sign = 1 if column.lower_is_better else -1
        kept = found.get((outcome.engine, outcome.workload))
        if kept is None or sign * outcome.figures[column.headline] < sign * kept[column.headline]:
            found[outcome.engine, outcome.workload] = outcome.figures
    return found


def ratio(workload: Workload, figures: Mapping[str, float], reference: Mapping[str, float] | None) -> str:
    """Say how many times better the reference is: above 1 it beats this engine."""
    if not reference or workload.headline not in reference or not reference[workload.headline]:
        return ""
    share = figures[workload.headline] / reference[workload.headline]
    return f" x{number(share if workload.lower_is_better else 1 / share)}" if share else ""


def markdown(
    outcomes: Sequence[Outcome],
    engines: Sequence[Engine],
    workloads: Sequence[Workload],
    *,
    reference: str = REFERENCE,
    pick_best: bool = False,
) -> str:
    """Draw the table: an engine a row, a workload a column."""
    found = best(outcomes, workloads) if pick_best else medians(outcomes)
    notes = _notes(outcomes)
    params = {(it.engine, it.workload): it.params for it in outcomes}
    lines = [
        "| engine | " + " | ".join(it.title for it in workloads) + " |",
        "|---" * (len(workloads) + 1) + "|",
    ]
    for engine in engines:
        cells = []
        for workload in workloads:
            key = engine.name, workload.title
            figures = found.get(key)
            if figures is None:
                cells.append(notes.get(key, "n/a"))
                continue
            against = None if engine.name == reference else found.get((reference, workload.title))
            cells.append(workload.cell(figures) + ratio(workload, figures, against) + _smaller(workload, params[key]))
        lines.append(f"| {engine.name} | " + " | ".join(cells) + " |")
    lines.append("| *asked of nbflow* | " + " | ".join(it.target for it in workloads) + " |")
    picked = "The best run of each" if pick_best else "Medians over the repetitions"
    legend = f"xN: {reference} is N times better. {picked}."
    return "\n".join([*lines, "", legend, *_errors(outcomes)])


def _smaller(workload: Workload, params: Mapping[str, int]) -> str:
    """Tell the sizes of a run that an engine's cap made smaller than the column's."""
    expected = {name: (workload.full[name], workload.quick[name]) for name in params}
    told = [f"{name}={value}" for name, value in params.items() if value not in expected[name]]
    return f" [{' '.join(told)}]" if told else ""


def _notes(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], str]:
    return {(it.engine, it.workload): "failed" for it in outcomes if it.error}


def _errors(outcomes: Sequence[Outcome]) -> list[str]:
    failed = [it for it in outcomes if it.error]
    told = dict.fromkeys(f"- {it.engine}, {it.workload}: {it.error.strip().splitlines()[-1]}" for it in failed)
    return ["", *told] if told else []
