"""How much history an execution has: the same number live and in a replay, and little memory to know it."""

from __future__ import annotations

import json

from replay_corpus import double
from replay_player import Player

from nbflow.core.event_json import attributes_json, event_from_attributes
from nbflow.core.replay import replay


async def doubles(n):
    return [await double(i) for i in range(n)]


def test_a_long_history_is_not_kept_to_be_measured():
    """Of the values read from the log a few wait to be measured, and the size is what it was live."""
    player = Player(doubles, 300).start()
    for i in range(300):
        player.complete(0, {"row": [i, "x" * i]})
    read = [
        event_from_attributes(type(it).__name__, it.event_id, it.event_time, json.loads(attributes_json(it)))
        for it in player.history
    ]
    again = player.fresh()
    assert replay(again, read) == []
    assert len(again.history_size._unmeasured) <= 100
    assert again.history_size.bytes == player.instance.history_size.bytes > 300 * 200
    again.evict()
    player.close()
