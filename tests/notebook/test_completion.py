"""Completion behind `%flowsql` and `%nbflow`."""

from __future__ import annotations

import pytest

from nbflow.notebook.completion import complete_flowsql, complete_verb


def complete(ip, text, matcher=complete_flowsql):
    """Return what the shell offers at the end of a text, without asking Jedi."""
    ip.Completer.use_jedi = False
    completions = [it.text for it in ip.Completer.completions(text, len(text))]
    assert matcher in ip.Completer.custom_matchers
    return completions


@pytest.mark.filterwarnings("ignore")
def test_relations_and_columns_are_offered(shell, env):
    """Both come from the catalogue of the open store."""
    assert "executions" in complete(shell.ip, "%%flowsql\nSELECT * FROM exec")
    assert "workflow_type" in complete(shell.ip, "%flowsql SELECT workflow_t")
    assert "failure_message" in complete(shell.ip, "%%flowsql\nSELECT a.failure_m")


@pytest.mark.filterwarnings("ignore")
def test_nothing_is_offered_elsewhere(shell, env):
    """Python cells keep Python's completion."""
    assert "executions" not in complete(shell.ip, "x = exec")


@pytest.mark.filterwarnings("ignore")
def test_without_an_open_store_there_is_nothing_to_offer(shell):
    """Completion opens no store, since that would make a file."""
    assert "executions" not in complete(shell.ip, "%%flowsql\nSELECT * FROM executio")


@pytest.mark.filterwarnings("ignore")
def test_verbs_are_offered(shell):
    """Only as the first word."""
    assert complete(shell.ip, "%nbflow ter", complete_verb) == ["terminate"]
    assert "terminate" not in complete(shell.ip, "%nbflow show ter", complete_verb)
