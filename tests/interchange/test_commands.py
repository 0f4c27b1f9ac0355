"""Export and import from a shell and from a notebook's magic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nbflow
from nbflow.cli import main
from nbflow.exceptions import ConfigurationError
from nbflow.notebook.verbs import run_verb
from nbflow.testing import WorkflowEnvironment

RETRIES = Path(__file__).parent / "histories" / "retries.json"


@pytest.fixture
def shell(tmp_path, capsys):
    """Run a command on a store of its own; gives its exit code, output and messages."""

    def run(*arguments):
        code = main([*map(str, arguments), "--store", str(tmp_path / "s.duckdb")])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_history_goes_through_a_shell(shell, tmp_path):
    """Import makes the store, export prints or writes, and our own form comes back."""
    code, _, said = shell("import", RETRIES)
    assert (code, said.count("28 events")) == (0, 1)
    assert "nothing new" in shell("import", RETRIES)[2]
    code, printed, _ = shell("export", "t-retries")
    assert (code, len(json.loads(printed)["events"])) == (0, 28)
    own = tmp_path / "own.json"
    assert shell("export", "t-retries", "--format", "json", "-o", own)[0] == 0
    assert json.loads(own.read_text())["format"] == "nbflow-history/1"
    assert "nothing new" in shell("import", own)[2]


def test_mistakes_in_a_shell_are_told(shell, tmp_path):
    """Exit code 1 and one line on standard error."""
    shell("import", RETRIES)
    assert shell("export", "nobody")[0] == 1
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    code, _, said = shell("import", bad)
    assert (code, "there is no list of events" in said) == (1, True)


@pytest.fixture
def nb():
    with WorkflowEnvironment():
        yield lambda line, **names: run_verb(line, names)


def test_a_history_goes_through_the_magic(nb, tmp_path):
    """`%nbflow import` and `%nbflow export` say what they did; without a file the history is the cell's result."""
    assert "'t-retries'" in repr(nb(f"import {RETRIES}"))
    tree = nb("export t-retries --format json")
    assert tree["workflow_id"] == "t-retries"
    target = tmp_path / "out.json"
    assert "28 events" in repr(nb(f"export $handle --output {target}", handle=nbflow.get("t-retries")))
    assert len(json.loads(target.read_text())["events"]) == 28
    with pytest.raises(ConfigurationError, match="which files"):
        nb("import")
