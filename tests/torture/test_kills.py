"""SIGKILL at random and chosen moments: nothing promised is lost, nothing recorded runs again.

The campaigns run beside each other, each in a process of its own, so that two cores are busy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from .harness import ROOT
from .shapes import SHAPES

KILLS = int(os.environ.get("NBFLOW_TORTURE_KILLS", "40"))
MIXES = [
    ["sequential", "sequential_async", "fan_out", "fan_out_async"],
    ["sleeping", "racing", "chance", "cancelling", "small"],
    ["retrying", "limited", "crowded", "timing_out"],
    ["signalled", "awaiting_signals", "tracking", "large", "other_process"],
]
PER_MIX = -(-KILLS // len(MIXES))
ENOUGH = 50
"""Kills of a mix after which every shape of it must have been hit."""

RUN = """
import json, sys
from pathlib import Path
from tests.torture.harness import Campaign
folder, names, kills, seed = json.loads(sys.argv[1])
campaign = Campaign(Path(folder), names, kills=kills, seed=seed)
campaign.run()
print(json.dumps({"killed": campaign.killed, "lost": campaign.lost_by_shape(), "rounds": campaign.round + 1}))
"""


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory):
    """All campaigns, begun at once; each is waited for by its test."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begun = []
    for number, names in enumerate(MIXES):
        folder = tmp_path_factory.mktemp(f"campaign-{number}")
        plan = json.dumps([str(folder), names, PER_MIX, 20261122 + number])
        with (folder / "campaign.txt").open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN, plan], env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
            )
        begun.append((folder, process))
    yield begun
    for _, process in begun:
        process.kill()
        process.wait()


@pytest.mark.torture
@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(MIXES)), ids=["-".join(names) for names in MIXES])
def test_nothing_is_lost_and_nothing_runs_again(campaigns, number):
    """After every kill the laws hold, in the end every execution has the right result, and kills really hit."""
    folder, process = campaigns[number]
    code = process.wait(timeout=240 + 8 * PER_MIX)
    told = (folder / "campaign.txt").read_text()
    assert code == 0, f"kept in {folder}:\n{told[-6000:]}"
    summary = json.loads(told.splitlines()[-1])
    print(summary)
    assert sum(summary["killed"].values()) >= PER_MIX
    assert sum(summary["lost"].values()) >= PER_MIX / 4, "hardly a kill hit an activity"
    if PER_MIX >= ENOUGH:
        missed = [name for name in MIXES[number] if not summary["lost"].get(name)]
        assert missed == [], "no kill came between an activity's schedule and its outcome"


def test_every_shape_is_in_a_mix():
    """No shape is forgotten, none is tortured twice."""
    assert Counter(name for names in MIXES for name in names) == Counter(list(SHAPES))
