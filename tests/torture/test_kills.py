"""SIGKILL at random and chosen moments: nothing promised is lost, nothing recorded runs again."""

from __future__ import annotations

import os

import pytest

from .harness import Campaign

KILLS = int(os.environ.get("NBFLOW_TORTURE_KILLS", "40"))
MIXES = [
    ["sequential", "sequential_async", "fan_out", "fan_out_async"],
    ["sleeping", "racing", "chance", "cancelling", "small"],
    ["retrying", "limited", "crowded", "timing_out"],
    ["signalled", "awaiting_signals", "tracking", "large", "other_process"],
]


@pytest.mark.torture
@pytest.mark.slow
@pytest.mark.parametrize("names", MIXES, ids="-".join)
def test_nothing_is_lost_and_nothing_runs_again(names, tmp_path):
    """After every kill the laws hold, and in the end every execution has the right result."""
    campaign = Campaign(tmp_path, names, kills=-(-KILLS // len(MIXES)), seed=20261122 + MIXES.index(names))
    campaign.run()
    print(f"{campaign.killed} in {campaign.round + 1} rounds, {len(campaign.before.events)} executions")
