"""nbflow.logger: once per line in workflows, the usual logger elsewhere."""

from __future__ import annotations

import logging

from replay_corpus import double
from replay_player import Player

import nbflow


def test_in_a_workflow_a_line_is_logged_once():
    """However often history is replayed; formatted as logging does."""

    def flow():
        nbflow.logger.info("rows: %d of %s", 3, "Oslo")
        nbflow.logger.warning("%(city)s is late", {"city": "Rome"})
        double(1)
        nbflow.logger.error("100%")
        nbflow.logger.debug({"a": 1})

    player = Player(flow).start().run()
    assert player.logs == [(20, "rows: 3 of Oslo"), (30, "Rome is late"), (40, "100%"), (10, "{'a': 1}")]
    again = player.replayed()
    assert again.logs == []
    again.evict()
    player.close()


def test_a_line_that_can_not_be_formatted_is_logged_as_it_is():
    """A mistake in a log line is no reason to fail a workflow."""

    def flow():
        nbflow.logger.info("rows: %d", "many")
        nbflow.logger.info("rows: %s %s", 1)

    player = Player(flow).start()
    assert player.status == "Completed"
    assert player.logs == [(20, "rows: %d ('many',)"), (20, "rows: %s %s (1,)")]
    player.close()


def test_exceptions_are_logged_with_their_text():
    """logger.exception in an except block says what happened."""

    def flow():
        try:
            int("x")
        except ValueError:
            nbflow.logger.exception("could not read")

    player = Player(flow).start()
    ((level, text),) = player.logs
    assert level == 40
    assert text.startswith("could not read\nTraceback (most recent call last):\n")
    assert text.endswith("ValueError: invalid literal for int() with base 10: 'x'")
    player.close()


def test_elsewhere_it_is_a_plain_logger(caplog):
    """Activities and cells."""
    with caplog.at_level(logging.INFO, logger="nbflow.user"):
        nbflow.logger.info("plain %s", 1)
    assert caplog.messages == ["plain 1"]
