"""The garbage collector rests in bursts, sees to what is young, and is put back."""

from __future__ import annotations

import gc
import weakref

from nbflow.engine.garbage import RestingCollector


class Cycle:
    """Holds itself."""

    def __init__(self) -> None:
        self.itself = self
        self.more = [[] for _ in range(1000)]


def test_the_threshold_is_put_back_when_the_last_engine_ends():
    """Engines may overlap; the first to end leaves the others theirs."""
    collector, before = RestingCollector(), gc.get_threshold()
    collector.begin()
    resting = gc.get_threshold()
    collector.begin()
    collector.end()
    assert gc.get_threshold() == resting > before
    collector.end()
    assert gc.get_threshold() == before


def test_young_cycles_go_once_a_second():
    """What user code left behind is collected when the engine waits, but not at every turn."""
    collector = RestingCollector()
    collector.begin()
    try:
        first = weakref.ref(Cycle())
        collector.when_idle(lambda: 10.0)
        assert first() is None
        second = weakref.ref(Cycle())
        collector.when_idle(lambda: 10.5)
        assert second() is not None
        collector.when_idle(lambda: 11.5)
        assert second() is None
    finally:
        collector.end()
