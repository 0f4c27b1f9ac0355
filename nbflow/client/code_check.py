"""What came of trying code on executions: which of them it fits, and why not the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from nbflow.core.compatibility import CheckedExecution, Misfit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CodeCheck", "MisfitGroup"]

_COLUMNS = ("workflow_id", "workflow_type", "run_id", "fits", "event_id", "event", "command", "line", "text", "why", "advice")  # fmt: skip  # noqa: E501
_GROUPS_SHOWN = 8
_IDS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class MisfitGroup:
    """Executions that code does not fit for the same reason, as one row of the table shows them."""

    workflow_ids: tuple[str, ...]
    misfit: Misfit

    @property
    def which(self) -> str:
        """A few of their ids, and how many more there are."""
        more = len(self.workflow_ids) - _IDS_SHOWN
        return ", ".join(self.workflow_ids[:_IDS_SHOWN]) + (f" and {more:,} more" if more > 0 else "")

    @property
    def where(self) -> str:
        """The line of code at fault, as people name it, with its text."""
        if not self.misfit.line:
            return ""
        filename, _, number = self.misfit.line.rpartition(":")
        place = f"line {number}"
        if "ipykernel" not in filename and "ipython-input" not in filename and not filename.startswith("<"):
            place = f"{PurePath(filename).name}:{number}"
        return f"{place}: {self.misfit.text}" if self.misfit.text else place


class CodeCheck:
    """What came of trying code on executions.

    Parameters
    ----------
    executions
        Those it was tried on.
    workflow_type
        Of all of them; empty if they are of several.
    definition_hash
        Of the code; empty if it is that of several workflows.
    moved
        True if those that it fits were moved to it; False if it was only tried.
    note
        Why nothing was tried, if so.
    skipped
        How many executions there are of workflows that are not defined here, by type.

    Attributes
    ----------
    fits, misfits
        The executions that it fits, and the others; each has ``workflow_id``, ``run_id``, ``workflow_type`` and
        ``misfit``, which tells ``event_id``, ``event``, ``command``, ``line``, ``text``, ``why`` and ``advice``.
    """

    def __init__(
        self,
        executions: Sequence[CheckedExecution],
        workflow_type: str = "",
        definition_hash: str = "",
        *,
        moved: bool = False,
        note: str = "",
        skipped: Mapping[str, int] | None = None,
    ) -> None:
        self.workflow_type = workflow_type
        self.definition_hash = definition_hash
        self.moved = moved
        self.note = note
        self.skipped = dict(skipped or {})
        self.fits = [execution for execution in executions if execution.misfit is None]
        self.misfits = [execution for execution in executions if execution.misfit is not None]

    @property
    def ok(self) -> bool:
        """True if the code fits all of them."""
        return not self.misfits

    def __len__(self) -> int:
        return len(self.fits) + len(self.misfits)

    def __iter__(self) -> Iterator[CheckedExecution]:
        yield from self.misfits
        yield from self.fits

    def __bool__(self) -> bool:
        return True  # there is one, on however many executions it was tried

    def rows(self) -> list[dict[str, Any]]:
        """Tell each execution as a dict of JSON-native values, misfits first."""
        return [
            {name: getattr(it, name, getattr(it.misfit, name, None)) for name in _COLUMNS} | {"fits": it.misfit is None}
            for it in self
        ]

    def frame(self) -> pd.DataFrame:
        """Return each execution as a row of a DataFrame, misfits first."""
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=list(_COLUMNS))

    def groups(self) -> list[MisfitGroup]:
        """Put misfits of the same reason together, the most frequent first."""
        found: dict[tuple[Any, ...], list[CheckedExecution]] = {}
        for it in self.misfits:
            assert it.misfit is not None
            found.setdefault((it.misfit.event, it.misfit.command, it.misfit.line), []).append(it)
        groups = [MisfitGroup(tuple(it.workflow_id for it in same), _the(same[0].misfit)) for same in found.values()]
        return sorted(groups, key=lambda group: -len(group.workflow_ids))

    def shown_groups(self) -> tuple[list[MisfitGroup], str]:
        """Return the groups worth a row, and a line on those left out; empty if there are none."""
        groups = self.groups()
        left_out = groups[_GROUPS_SHOWN:]
        count = sum(len(group.workflow_ids) for group in left_out)
        more = f"and {_executions(count)} with {len(left_out)} other reasons: .frame() has them all" if left_out else ""
        return groups[:_GROUPS_SHOWN], more

    def headline(self) -> str:
        """Say what came of it, in one line."""
        if self.note:
            return self.note
        of = f" of {self.workflow_type}" if self.workflow_type else ""
        fit, unfit = len(self.fits), len(self.misfits)
        if not self.moved:
            left_out = f"; {', '.join(self.skipped)} not defined here" if self.skipped else ""
            return f"the code fits {fit:,} of {_executions(fit + unfit)}{of}{left_out}"
        if not unfit:
            return f"{_executions(fit)}{of} moved to the new code"
        stay = "stays" if unfit == 1 else "stay"
        if not fit:
            return f"{_executions(unfit)}{of} {stay} on the old code"
        return f"{_executions(fit)}{of} moved to the new code, {unfit:,} {stay} on the old"

    def __repr__(self) -> str:
        lines = [self.headline()]
        groups, more = self.shown_groups()
        for group in groups:
            lines.append(f"  {group.which}: {group.misfit.why}")
            if group.where:
                lines.append(f"    at {group.where}")
            lines.append(f"    to do: {group.misfit.advice}")
        return "\n".join([*lines, *([f"  {more}"] if more else [])])


def _the(misfit: Misfit | None) -> Misfit:
    assert misfit is not None
    return misfit


def _executions(count: int) -> str:
    return "1 execution" if count == 1 else f"{count:,} executions"
