"""What the overlap policies make of the times that wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.schedule_state import OVERLAPS, ScheduleState, Waiting, decide


def made_of(policy: str, *, is_running: bool, count: int = 3) -> tuple[list[int], int | None, list[int], list[int]]:
    """Decide about times 1, 2, 3: those beside, the next, those kept, those skipped."""
    decision = decide([Waiting(n + 1) for n in range(count)], policy, is_running=is_running, is_paused=False)
    kept, skipped = ([it.nominal for it in group] for group in (decision.kept, decision.skipped))
    return [it.nominal for it in decision.beside], decision.next and decision.next.nominal, kept, skipped


@pytest.mark.parametrize(
    ("policy", "idle", "running"),
    [
        ("skip", ([], 1, [], [2, 3]), ([], None, [], [1, 2, 3])),
        ("buffer_one", ([], 1, [2], [3]), ([], None, [1], [2, 3])),
        ("buffer_all", ([], 1, [2, 3], []), ([], None, [1, 2, 3], [])),
        ("cancel_other", ([], 3, [], [1, 2]), ([], None, [1, 2, 3], [])),
        ("terminate_other", ([], 3, [], [1, 2]), ([], None, [1, 2, 3], [])),
        ("allow_all", ([1, 2, 3], None, [], []), ([1, 2, 3], None, [], [])),
    ],
)
def test_each_policy_decides_as_temporal_does(policy, idle, running):
    """With nothing under way, and beside a run."""
    assert made_of(policy, is_running=False) == idle
    assert made_of(policy, is_running=True) == running


def test_only_a_run_under_way_is_cancelled_or_terminated():
    """With nothing under way there is nobody to ask."""
    for policy in ("cancel_other", "terminate_other"):
        idle = decide([Waiting(1), Waiting(2)], policy, is_running=False, is_paused=False)
        busy = decide([Waiting(1)], policy, is_running=True, is_paused=False)
        assert not (idle.cancel or idle.terminate)
        assert (busy.cancel, busy.terminate) == (policy == "cancel_other", policy == "terminate_other")


def test_while_paused_only_what_somebody_asked_for_starts():
    """The rest waits on."""
    waiting = [Waiting(1), Waiting(2, None, manual=True)]
    decision = decide(waiting, "skip", is_running=False, is_paused=True)
    assert (decision.next, decision.kept) == (waiting[1], [waiting[0]])


WAITING = st.builds(Waiting, st.integers(0, 9), st.sampled_from([None, *OVERLAPS]), st.booleans())


@given(st.lists(WAITING, max_size=8), st.sampled_from(OVERLAPS), st.booleans(), st.booleans())
def test_every_time_has_one_fate(waiting, policy, is_running, is_paused):
    """None is lost, none is taken twice, and beside a run only what may overlap starts."""
    decision = decide(waiting, policy, is_running=is_running, is_paused=is_paused)
    fates = [*decision.beside, *([decision.next] if decision.next else []), *decision.kept, *decision.skipped]
    assert sorted(map(id, fates)) == sorted(map(id, waiting))
    assert not (is_running and decision.next)


def test_a_state_comes_back_from_its_json():
    """What is stored is what was."""
    state = ScheduleState(5, True, "why", 3, [Waiting(7, "skip", manual=True)], ("w", "r"), "a", "b", 1, 2, 3)
    assert ScheduleState.from_json(state.to_json()).to_json() == state.to_json()
