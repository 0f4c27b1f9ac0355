"""Who may start now: places of the runners, limits of activity types, and the lines of those that wait.

Rule 1: an activity of a type with a limit waits in the line of that limit, so that it holds up nobody else.
Rule 2: lower priority numbers go first; among equals executions take turns, a few activities at a time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nbflow.core.definitions import Definition
from nbflow.engine.clock import Clock
from nbflow.engine.deadlines import Deadline, Deadlines
from nbflow.engine.execution import ActivityTask

__all__ = ["Lane", "Places", "priority_of"]

_AHEAD = 3
"""Attempts handed to a runner per place: those behind the first wait in its own queue, so that it never idles."""

_LEVELS = 5
_USUAL_LEVEL = 3
_TURN = 16
"""Activities of one execution that start before the next execution has its turn."""


def priority_of(task: ActivityTask) -> int:
    """Return an activity's priority: its own, or its execution's, or the usual one."""
    return task.scheduled.priority or task.execution.started.priority or _USUAL_LEVEL


class _Line:
    """Tasks that wait, in the order in which they are to start."""

    def __init__(self) -> None:
        self._levels: list[OrderedDict[str, deque[ActivityTask]]] = [OrderedDict() for _ in range(_LEVELS)]
        self._taken_in_turn = 0
        self.length = 0
        """Also counts those that wait no more and have not come up yet."""

    def add(self, task: ActivityTask) -> None:
        level = self._levels[priority_of(task) - 1]
        level.setdefault(task.execution.run_id, deque()).append(task)
        self.length += 1

    def head(self) -> ActivityTask | None:
        """Return who is next; None if nobody waits."""
        if not self.length:
            return None
        for level in self._levels:
            while level:
                run_id = next(iter(level))
                tasks = level[run_id]
                while tasks and tasks[0].state != "Queued":
                    tasks.popleft()
                    self.length -= 1
                if tasks:
                    return tasks[0]
                del level[run_id]
        return None

    def take_head(self, task: ActivityTask) -> None:
        """Take away who was next."""
        level, run_id = self._levels[priority_of(task) - 1], task.execution.run_id
        tasks = level[run_id]
        tasks.popleft()
        self.length -= 1
        self._taken_in_turn += 1
        if not tasks:
            del level[run_id]
            self._taken_in_turn = 0
        elif self._taken_in_turn >= _TURN:
            level.move_to_end(run_id)
            self._taken_in_turn = 0


@dataclass(slots=True, eq=False)
class _Limit:
    """What one activity type may do at once, and in a span of time."""

    max_concurrency: int | None = None
    rate: tuple[int, int] | None = None
    """So many starts in so many microseconds."""
    running: int = 0
    starts: deque[int] = field(default_factory=deque)
    line: _Line = field(default_factory=_Line)
    alarm: Deadline | None = None

    def may_start(self, now: int) -> bool:
        if self.max_concurrency is not None and self.running >= self.max_concurrency:
            return False
        return self.rate is None or len(self.starts) < self.rate[0] or self.starts[0] + self.rate[1] <= now

    def note_start(self, now: int) -> None:
        self.running += 1
        if self.rate is not None:
            self.starts.append(now)
            while len(self.starts) > self.rate[0]:
                self.starts.popleft()

    def next_start(self, now: int) -> int | None:
        """Tell when the rate alone allows another start; None if it is not the rate that forbids it."""
        if self.rate is None or len(self.starts) < self.rate[0] or self.starts[0] + self.rate[1] <= now:
            return None
        return self.starts[0] + self.rate[1]


@dataclass(slots=True, eq=False)
class _Pool:
    """The places of one runner."""

    name: str
    occupied: int = 0
    line: _Line = field(default_factory=_Line)
    limits: list[_Limit] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """Where activities of one definition run, and what limits them."""

    pool: _Pool
    limit: _Limit | None

    @property
    def kind(self) -> str:
        """Name of the runner."""
        return self.pool.name


class _HasCapacity(Protocol):
    capacity: int


class Places:
    """Hands out places.

    Parameters
    ----------
    runners
        By the value of ``run_in``.
    clock, deadlines
        For rates.
    on_granted
        Hears that a task that waited may start.
    """

    def __init__(
        self,
        runners: Mapping[str, _HasCapacity],
        clock: Clock,
        deadlines: Deadlines,
        on_granted: Callable[[ActivityTask, Lane], None],
    ) -> None:
        self._runners = runners
        self._clock = clock
        self._deadlines = deadlines
        self._on_granted = on_granted
        self._pools = {name: _Pool(name) for name in runners}
        self._plain_lanes = {name: Lane(pool, None) for name, pool in self._pools.items()}
        self._limits: dict[str, _Limit] = {}
        self.running = 0
        """Attempts that are authorised or under way."""
        self._lanes: dict[Definition, Lane] = {}
        self.is_draining = False
        """True if nothing starts any more."""

    def lane_of(self, definition: Definition) -> Lane:
        """Return the lane of a definition's activities."""
        lane = self._lanes.get(definition)
        return lane or self._new_lane(definition)

    def _new_lane(self, definition: Definition) -> Lane:
        options = definition.options
        pool = self._pools[options.get("run_in") or ("loop" if definition.is_async else "thread")]
        max_concurrency, rate = options.get("max_concurrency"), options.get("rate_limit")
        limit = None
        if max_concurrency is not None or rate is not None or definition.name in self._limits:
            # one for all versions of a type: attempts of the one before are still under way
            limit = self._limits.setdefault(definition.name, _Limit())
            limit.max_concurrency = max_concurrency
            limit.rate = None if rate is None else (rate[0], round(rate[1] * 1_000_000))
            for other in self._pools.values():
                if limit in other.limits:
                    other.limits.remove(limit)
            pool.limits.append(limit)
        lane = self._lanes[definition] = self._plain_lanes[pool.name] if limit is None else Lane(pool, limit)
        return lane

    def take(self, task: ActivityTask, lane: Lane) -> bool:
        """Give a task a place; False if it must wait in line."""
        pool, limit = lane.pool, lane.limit
        if limit is None:
            if not pool.line.length and self._has_room(task, lane):
                self._occupy(task, lane)
                return True
            pool.line.add(task)
            return False
        if limit.line.head() is None and limit.may_start(self._clock.now()) and self._has_room(task, lane):
            self._occupy(task, lane)
            return True
        limit.line.add(task)
        task.lane = lane
        self._watch_rate(limit, pool)
        return False

    def _has_room(self, task: ActivityTask, lane: Lane) -> bool:
        """True if the task may be authorised now; one that counts attempts or time is never ahead of its turn."""
        capacity = 0 if self.is_draining else self._runners[lane.pool.name].capacity
        is_strict = lane.limit is not None or _is_strict(task)
        return lane.pool.occupied < (capacity if is_strict else _AHEAD * capacity)

    def _occupy(self, task: ActivityTask, lane: Lane) -> None:
        task.state = "Authorised"
        task.lane = lane
        lane.pool.occupied += 1
        self.running += 1
        if lane.limit is not None:
            lane.limit.note_start(self._clock.now())

    def free(self, lane: Lane) -> None:
        """Take a place back, and give it to those that wait."""
        lane.pool.occupied -= 1
        self.running -= 1
        if lane.limit is not None:
            lane.limit.running -= 1
        self._grant(lane.pool)

    def _grant(self, pool: _Pool) -> None:
        if not pool.line.length and not pool.limits:
            return
        most = _AHEAD * self._runners[pool.name].capacity
        while pool.occupied < most and (found := self._next(pool)) is not None:
            line, task, lane = found
            if not self._has_room(task, lane):
                return
            line.take_head(task)
            self._occupy(task, lane)
            self._on_granted(task, lane)
        for limit in pool.limits:
            self._watch_rate(limit, pool)

    def _next(self, pool: _Pool) -> tuple[_Line, ActivityTask, Lane] | None:
        """Choose among those that may start: by priority, and one with a limit of its own before others."""
        task = pool.line.head()
        found = None if task is None else (pool.line, task, self._plain_lanes[pool.name])
        if not pool.limits:
            return found
        best = (_LEVELS + 1, 0) if task is None else (priority_of(task), 1)
        now = self._clock.now()
        for limit in pool.limits:
            task = limit.line.head() if limit.may_start(now) else None
            if task is not None and (priority_of(task), 0) < best:
                best, found = (priority_of(task), 0), (limit.line, task, task.lane)
        return found

    def _watch_rate(self, limit: _Limit, pool: _Pool) -> None:
        """Look again when the rate allows another start."""
        if limit.alarm is None and limit.line.length:
            due = limit.next_start(self._clock.now())
            if due is not None:
                limit.alarm = self._deadlines.add(due, self._on_alarm, limit, pool)

    def _on_alarm(self, limit: _Limit, pool: _Pool) -> None:
        limit.alarm = None
        self._grant(pool)


def _is_strict(task: ActivityTask) -> bool:
    event = task.scheduled
    return bool(
        task.last_failure  # one that was lost may be what kills the process: count it exactly
        or task.policy.maximum_attempts
        or event.start_to_close_timeout
        or event.heartbeat_timeout
        or event.schedule_to_start_timeout
    )
