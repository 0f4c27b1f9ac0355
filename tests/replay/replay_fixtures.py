"""The fixture of tests that play an execution: whatever it lived through, its history replays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from replay_player import Player

from nbflow.core.replay import replay


@pytest.fixture
def play() -> Iterator[Callable[..., Player]]:
    """Start an execution; at the end its history replays, and it leaves memory."""
    players: list[Player] = []

    def start(function: Callable[..., Any], *args: Any) -> Player:
        players.append(Player(function, *args).start())
        return players[-1]

    yield start
    for player in players:
        again = player.fresh()
        assert replay(again, player.history) == []
        again.evict()
        player.close()
