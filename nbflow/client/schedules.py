"""Schedules from outside: ``nbflow.schedule``, ``get_schedule``, ``schedules``, and the handle of one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from nbflow.authoring.workflow import Workflow
from nbflow.client.client import Client
from nbflow.client.default import default_client
from nbflow.client.handle import WorkflowHandle, wait_for
from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.durations import Duration, parse_duration
from nbflow.core.options import WorkflowOptions
from nbflow.core.runtime import runtime_or_none
from nbflow.core.schedule_body import CATCHUP_WINDOW, SHORTEST_CATCHUP_WINDOW, ScheduleBody
from nbflow.core.schedule_reading import TIMES, moment, read_spec
from nbflow.core.schedule_spec import zone_named
from nbflow.core.schedule_state import OVERLAPS, Overlap
from nbflow.engine.schedule_requests import ScheduleSnapshot
from nbflow.exceptions import ConfigurationError, DefinitionError, NbflowError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ScheduleHandle", "get_schedule", "schedule", "schedules"]

_NOT_OF_A_SCHEDULE = ("id", "id_conflict", "id_reuse", "name")
_POLICIES = ("overlap", "catchup_window", "remaining_actions", "pause_on_failure", "paused", "note")


def schedule(
    id: str,  # noqa: A002  as everywhere else
    workflow: Workflow[..., Any],
    *args: Any,
    cron: str | Sequence[str] | None = None,
    every: Duration | Sequence[Duration] | None = None,
    offset: Duration | None = None,
    at: Any = None,
    timezone: str | None = None,
    jitter: Duration | None = None,
    start: datetime | date | str | None = None,
    end: datetime | date | str | None = None,
    skip: Any = None,
    overlap: Overlap = "skip",
    catchup_window: Duration = CATCHUP_WINDOW,
    remaining_actions: int | None = None,
    pause_on_failure: bool = False,
    paused: bool = False,
    note: str = "",
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> ScheduleHandle:
    """Start a workflow again and again, at given times. Running the cell again changes the schedule of this id.

    Parameters
    ----------
    id
        Names the schedule. Executions are called ``<id>-<time>``, such as ``daily-2026-11-22T09:00:00Z``.
    workflow
        What to start; ``workflow.options(...)`` as usual.
    *args
        Its arguments.
    cron
        Expressions such as ``"0 9 * * MON-FRI"`` or ``"@daily"``. Times of several add up, also with the next two.
    every, offset
        Intervals, counted from midnight UTC, and how much later than that.
    at
        Calendars such as ``{"hour": 9, "day_of_week": "MON-FRI"}``, ``"09:30"``, or dates and times.
    timezone
        Of cron, ``at`` and ``skip``: an IANA name; default UTC.
    jitter
        Put each run off by a random time, at most so long. The same time always gets the same.
    start, end
        The first and the last moment.
    skip
        Calendars or dates to leave out; fields not named match anything.
    overlap
        When the run before has not ended: ``"skip"`` this one, ``"buffer_one"``, ``"buffer_all"``,
        ``"cancel_other"``, ``"terminate_other"`` or ``"allow_all"``.
    catchup_window
        Times missed while no engine ran are made up for, unless they are overdue by more than this; 10 s or more.
    remaining_actions
        Stop after so many runs.
    pause_on_failure
        Pause when a run fails or times out.
    paused, note
        Begin paused; a remark.
    kwargs
        Keyword arguments of the workflow.
    **options
        Fields of :class:`~nbflow.core.options.WorkflowOptions` for each execution, such as ``memo``,
        ``search_attributes`` and ``run_timeout``.

    Returns
    -------
    ScheduleHandle
        Once it is durable.

    Raises
    ------
    ConfigurationError
        When something makes no sense.
    """
    times = {
        "cron": cron, "every": every, "offset": offset, "at": at, "skip": skip, "timezone": timezone,
        "start": start, "end": end, "jitter": jitter,
    }  # fmt: skip
    policies = {
        "overlap": overlap, "catchup_window": catchup_window, "remaining_actions": remaining_actions,
        "pause_on_failure": pause_on_failure, "paused": paused, "note": note,
    }  # fmt: skip
    client = default_client()
    body, definition = _body(client, workflow, args, kwargs or {}, options)
    body = replace(body, spec=read_spec(times), **_checked_policies(policies))
    handle = ScheduleHandle(client, _checked_id(id))
    handle._put(body, definition)  # noqa: SLF001  own module
    return handle


def get_schedule(id: str) -> ScheduleHandle:  # noqa: A002  as everywhere else
    """Return the handle of a schedule.

    Parameters
    ----------
    id
        Its id.

    Raises
    ------
    ScheduleNotFoundError
        When there is none.
    """
    handle = ScheduleHandle(default_client(), str(id))
    handle._snapshot()  # noqa: SLF001  own module
    return handle


def schedules() -> pd.DataFrame:
    """List schedules, the one that acts next first."""
    return default_client().sql("SELECT * FROM schedules ORDER BY next_time NULLS LAST, schedule_id")


class ScheduleHandle:
    """One schedule.

    Parameters
    ----------
    client
        Whose store has it.
    id
        Its id.
    """

    def __init__(self, client: Client, id: str) -> None:  # noqa: A002  as everywhere else
        self._client = client
        self.id = id

    def _call(self, request: Callable[..., None], *args: Any) -> Any:
        if runtime_or_none() is not None:
            msg = f"workflow code can't ask schedule {self.id!r}: its answer may change; do it in an activity"
            raise DefinitionError(msg)
        return wait_for(self._client.engine.submit(request, self.id, *args))

    def _snapshot(self) -> ScheduleSnapshot:
        return self._call(self._client.engine.schedule_requests.describe)  # type: ignore[no-any-return]

    def _put(self, body: ScheduleBody, definition: Definition | None) -> str:
        return str(self._call(self._client.engine.schedule_requests.put, body, definition))

    # What there is to see.

    def describe(self) -> dict[str, Any]:
        """Return the schedule's row of the ``schedules`` view, with ``running`` and ``problem`` beside it.

        ``running`` is the workflow id of the run that others may not overlap; ``problem`` says why nothing can
        be started, if so.
        """
        snapshot = self._snapshot()
        (row,) = self._client.rows("SELECT * FROM schedules WHERE schedule_id = ?", [self.id])
        return {
            **row,
            "running": None if snapshot.running is None else snapshot.running[0],
            "problem": snapshot.problem,
        }

    def next_times(self, n: int = 10) -> list[datetime]:
        """Return the next times, in the schedule's time zone; without jitter, and whether it is paused or not.

        Parameters
        ----------
        n
            How many, at most.
        """
        snapshot = self._snapshot()
        zone = zone_named(snapshot.body.spec.timezone)
        after = max(snapshot.position, self._client.engine.clock.now())
        return [_local(time, zone) for time in islice(snapshot.body.spec.times(after), n)]

    @property
    def recent(self) -> list[WorkflowHandle]:
        """The last ten executions that it started, the newest first."""
        self._snapshot()
        rows = self._client.rows(_RECENT, [self.id])
        return [WorkflowHandle(self._client, row["workflow_id"], row["run_id"]) for row in rows]

    def events(self) -> pd.DataFrame:
        """Return what happened to it: changes, runs started, times left out."""
        self._snapshot()
        return self._client.sql("SELECT * FROM schedule_events WHERE schedule_id = $id", {"id": self.id})

    # What there is to do.

    def pause(self, note: str = "paused") -> None:
        """Let it rest: nothing starts but what is triggered or backfilled, and times that pass are left out."""
        self._call(self._client.engine.schedule_requests.pause, str(note))

    def unpause(self, note: str = "") -> None:
        """Let it act again, from now on."""
        self._call(self._client.engine.schedule_requests.unpause, str(note))

    def trigger(self, overlap: Overlap | None = None) -> WorkflowHandle | None:
        """Start a run now, also while it is paused.

        Parameters
        ----------
        overlap
            Policy for this run; default the schedule's.

        Returns
        -------
        WorkflowHandle or None
            The run; None if the policy left it out or made it wait.
        """
        run = self._call(self._client.engine.schedule_requests.trigger, _checked_overlap(overlap))
        return None if run is None else WorkflowHandle(self._client, run.workflow_id, run.run_id, run.workflow_type)

    def backfill(
        self, start: datetime | date | str, end: datetime | date | str, overlap: Overlap | None = None
    ) -> list[WorkflowHandle]:
        """Act on the times of a span of the past.

        Parameters
        ----------
        start, end
            The span; both ends belong to it. Without a zone of their own, they are in the schedule's.
        overlap
            Policy for these runs; default the schedule's, which may leave most of them out. ``"buffer_all"`` runs
            them one after the other, ``"allow_all"`` all at once.

        Returns
        -------
        list of WorkflowHandle
            The runs started at once; others follow as the policy says.

        Raises
        ------
        ClientError
            When the span is too long or has not passed.
        """
        zone = zone_named(self._snapshot().body.spec.timezone)
        first, last = moment("start", start, zone), moment("end", end, zone)
        if first > last:
            msg = f"a backfill goes from the earlier to the later: {start} to {end} goes backwards"
            raise ConfigurationError(msg)
        runs = self._call(self._client.engine.schedule_requests.backfill, first, last, _checked_overlap(overlap))
        return [WorkflowHandle(self._client, run.workflow_id, run.run_id, run.workflow_type) for run in runs]

    def update(
        self,
        workflow: Workflow[..., Any] | None = None,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        """Change it; what is not named stays.

        Parameters
        ----------
        workflow, args, kwargs
            What to start, and with which arguments.
        **changes
            Any other parameter of :func:`nbflow.schedule`. Changed times count from now on.

        Raises
        ------
        ConfigurationError
            When something makes no sense.
        """
        body = self._snapshot().body
        definition: Definition | None = None
        times = {name: changes.pop(name) for name in TIMES if name in changes}
        policies = {name: changes.pop(name) for name in _POLICIES if name in changes}
        if workflow is not None or args is not None or kwargs is not None or changes:
            body, definition = self._with_workflow(body, workflow, args, kwargs, changes)
        if times:
            kept = body.spec
            written = {
                "cron": kept.cron, "every": [it.every for it in kept.intervals] or None,
                "offset": next((it.phase for it in kept.intervals if it.phase), None), "at": kept.calendars,
                "skip": kept.skip, "timezone": kept.timezone, "jitter": kept.jitter,
                "start": _iso(kept.start), "end": _iso(kept.end),
            }  # fmt: skip
            body = replace(body, spec=read_spec({**written, **times}))
        self._put(replace(body, **_checked_policies(policies)), definition)

    def _with_workflow(
        self,
        body: ScheduleBody,
        workflow: Workflow[..., Any] | None,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> tuple[ScheduleBody, Definition | None]:
        codec = self._client.codec
        if workflow is None and args is None and kwargs is None:
            return _with_options(self._client, body, WorkflowOptions.read(body.options), options), None
        if workflow is None:
            current = REGISTRY.current("workflow", body.workflow_type)
            if current is None:
                msg = f"workflow {body.workflow_type!r} is not defined here: run its cell first, or pass workflow="
                raise ConfigurationError(msg)
            workflow = Workflow(current.function, WorkflowOptions.read({**body.options, "name": body.workflow_type}))
        chosen = codec.decode(body.input) if args is None else args
        named = kwargs if kwargs is not None else codec.decode(body.keyword_input) if body.keyword_input else {}
        new, definition = _body(self._client, workflow, tuple(chosen), named, options)
        return replace(
            body,
            workflow_type=new.workflow_type,
            definition_hash=new.definition_hash,
            input=new.input,
            keyword_input=new.keyword_input,
            options=new.options,
            memo=new.memo or body.memo,
        ), definition

    def delete(self) -> None:
        """Delete it; executions that it started go on."""
        self._call(self._client.engine.schedule_requests.delete)

    def __repr__(self) -> str:
        return f"<ScheduleHandle {self.id!r}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002  IPython's protocol
        """Show, in a notebook, what it is and when it acts next."""
        try:
            snapshot = self._snapshot()
        except NbflowError as error:
            printer.text(f"{self!r}: {error}")
            return
        spec = snapshot.body.spec
        said = [f"schedule {self.id!r} of {snapshot.body.workflow_type}: {spec.describe()}"]
        if snapshot.paused:
            said.append(f"paused{f' ({snapshot.note})' if snapshot.note else ''}")
        elif snapshot.next_due is None:
            said.append("no further time")
        else:
            said.append(f"next {_local(snapshot.next_due, zone_named(spec.timezone)):%a %Y-%m-%d %H:%M:%S %Z}")
        printer.text(", ".join(said))


_RECENT = """
SELECT workflow_id, run_id FROM schedule_events
WHERE schedule_id = ? AND kind = 'Fired' ORDER BY time DESC, nominal_time DESC LIMIT 10
"""


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _local(microseconds: int, zone: Any) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, zone)


def _body(
    client: Client,
    workflow: Workflow[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> tuple[ScheduleBody, Definition]:
    """Encode what a schedule starts; its times and policies are still to be set."""
    if not isinstance(workflow, Workflow):
        msg = f"a schedule starts a workflow: mark the function with @workflow first, {workflow!r} is none"
        raise ConfigurationError(msg)
    positional, keywords, chosen = workflow.request(*args, **kwargs)
    definition = REGISTRY.remember(workflow.definition())
    body = ScheduleBody(
        spec=read_spec({"every": 1}),
        workflow_type=definition.name,
        definition_hash=definition.hash,
        input=client.codec.encode(list(positional)),
        keyword_input=client.codec.encode(keywords) if keywords else None,
    )
    return _with_options(client, body, chosen, options), definition


def _with_options(
    client: Client, body: ScheduleBody, chosen: WorkflowOptions, changes: Mapping[str, Any]
) -> ScheduleBody:
    for name in _NOT_OF_A_SCHEDULE:
        if name in changes:
            msg = f"{name}= has no meaning for a schedule: its executions are named by its own id and their time"
            raise ConfigurationError(msg)
    known = {f.name for f in fields(WorkflowOptions)}
    mine = [*TIMES, *_POLICIES, "kwargs"]
    for name in changes:
        near = difflib.get_close_matches(name, [*mine, *known], 1)
        if name not in known:
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(mine)} and workflow options"
            msg = f"a schedule has no option {name!r}{hint} (arguments of the workflow go into kwargs={{...}})"
            raise ConfigurationError(msg)
    options = WorkflowOptions.read(changes, chosen)
    memo = client.codec.encode(dict(options.memo)) if options.memo else body.memo
    return replace(body, options=_options_json(options), memo=memo)


def _options_json(options: WorkflowOptions) -> dict[str, Any]:
    """Write the options of executions as JSON-native values that ``WorkflowOptions.read`` takes again."""
    tree: dict[str, Any] = {}
    for f in fields(WorkflowOptions):
        value = getattr(options, f.name)
        if f.name in (*_NOT_OF_A_SCHEDULE, "memo") or value == f.default:
            continue
        tree[f.name] = value.to_json() if hasattr(value, "to_json") else value
    return tree


def _checked_id(schedule_id: object) -> str:
    if not isinstance(schedule_id, str) or not schedule_id.strip():
        msg = f"a schedule's id must be text, not {schedule_id!r}"
        raise ConfigurationError(msg)
    return schedule_id


def _checked_overlap(overlap: Any) -> Overlap | None:
    if overlap is not None and overlap not in OVERLAPS:
        near = difflib.get_close_matches(str(overlap).lower(), OVERLAPS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        msg = f"overlap must be one of {', '.join(map(repr, OVERLAPS))}, not {overlap!r}{hint}"
        raise ConfigurationError(msg)
    return overlap  # type: ignore[no-any-return]


def _checked_policies(given: Mapping[str, Any]) -> dict[str, Any]:
    checked = dict(given)
    if "overlap" in checked:
        checked["overlap"] = _checked_overlap(checked["overlap"]) or "skip"
    if "catchup_window" in checked:
        checked["catchup_window"] = parse_duration(checked["catchup_window"])
        if checked["catchup_window"] < SHORTEST_CATCHUP_WINDOW:
            msg = f"catchup_window must be 10 s or more, not {given['catchup_window']!r}: what is due is never early"
            raise ConfigurationError(msg)
    left = checked.get("remaining_actions")
    if left is not None and (isinstance(left, bool) or not isinstance(left, int) or left < 0):
        msg = f"remaining_actions must be a whole number, 0 or more, or None for any number, not {left!r}"
        raise ConfigurationError(msg)
    for name in ("paused", "pause_on_failure"):
        if not isinstance(checked.get(name, False), bool):
            msg = f"{name} must be True or False, not {checked[name]!r}"
            raise ConfigurationError(msg)
    if not isinstance(checked.get("note", ""), str):
        msg = f"note must be text, not {checked['note']!r}"
        raise ConfigurationError(msg)
    return checked
