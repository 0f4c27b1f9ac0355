"""The command line: data on stdout, words on stderr, exit codes that mean something, and guesses at typing errors."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nbflow
from nbflow.cli import main
from nbflow.client import Client, use_client


@nbflow.activity
def double(x: int) -> int:
    return 2 * x


@nbflow.activity
def fail() -> None:
    raise ValueError("not\ntoday")


@nbflow.workflow
def good(x: int) -> int:
    return double(double(x))


@nbflow.workflow
def bad() -> None:
    fail()


@nbflow.workflow
def waiting(x: int) -> str:
    seen = [x]

    @nbflow.query
    def so_far() -> list:
        return seen

    @nbflow.update
    def add(y: int) -> list:
        seen.append(y)
        if y == 0:
            nbflow.sleep("1 day")
        return seen

    @add.validator
    def check(y: int) -> None:
        if y < 0:
            raise ValueError("only numbers from 0 on")

    nbflow.sleep("30 days", summary="a long time")
    answer = nbflow.wait_for_signal("approve")
    return answer["by"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a store with one execution of each kind."""
    path = tmp_path_factory.mktemp("store") / "some.duckdb"
    client = Client(path)
    before = use_client(client)
    try:
        good.options(id="good-1").start(21).result(timeout=30)
        with pytest.raises(nbflow.exceptions.WorkflowFailedError):
            bad.options(id="bad-1").start().result(timeout=30)
        waiting.options(id="wait-1").start(1)
    finally:
        use_client(before)
        client.close()
    return path


@pytest.fixture
def store(recorded, tmp_path, monkeypatch):
    """Return a copy of that store, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.nbflow.duckdb").write_bytes(recorded.read_bytes())
    return tmp_path / "some.nbflow.duckdb"


@pytest.fixture
def call(capsys):
    """Return a function that runs a command and gives exit code, stdout and stderr."""

    def call(*arguments):
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_version_is_data(call, capsys):
    """A script can read it."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"nbflow {nbflow.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "say what to do"),
        (("rnu", "a.ipynb"), "did you mean run?"),
        (("run",), "required: NB"),
        (("run", "a.ipynb", "--timeot", "3"), "did you mean --timeout?"),
        (("run", "a.ipynb", "--timeout=soon"), "soon"),
        (("run", "a.ipynb", "--timeout=0"), "more than 0 seconds"),
        (("run", "a.ipynb", "--run-id", ""), "run id must not be empty"),
        (("run", "nowhere.ipynb"), "can't read notebook nowhere.ipynb"),
        (("run", "a.ipynb", "-p", "n"), "write it as key=value"),
        (("run", "a.ipynb", "-", "--json"), "--json and a notebook on standard output"),
        (("ls", "--status", "Runing"), "invalid choice: 'Runing'"),
        (("ls", "--limit", "-1"), "--limit must be 0 or more"),
        (("ls", "--store", "nowhere.duckdb"), "there is no store at"),
        (("show",), "required: ID"),
        (("sql", "from events", "--json", "--csv"), "not allowed with"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_was_meant(call, tmp_path, monkeypatch, arguments, told):
    """Nothing goes to stdout."""
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert (code, out) == (2, "" if arguments else out)
    assert told in err


def test_ls_lists_executions_newest_first(call, store):
    """As a table for people; control characters in a message do not break its lines."""
    code, out, _ = call("ls")
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[:3] for line in lines[2:]] == [
        ["wait-1", "waiting", "Running"],
        ["bad-1", "bad", "Failed"],
        ["good-1", "good", "Completed"],
    ]


def test_ls_filters_and_answers_in_json(call, store):
    """One object an execution."""
    _, out, _ = call("ls", "--status", "Failed", "--json")
    assert [(it["workflow_id"], it["status"]) for it in json.loads(out)] == [("bad-1", "Failed")]
    assert json.loads(call("ls", "--type", "good", "--status", "Failed", "--json")[1]) == []
    assert len(json.loads(call("ls", "--limit", "1", "--json")[1])) == 1


def test_show_tells_one_execution_with_its_parts(call, store):
    """By workflow id or run id, for people and as JSON."""
    shown = json.loads(call("show", "good-1", "--json", "--events")[1])
    assert (shown["status"], shown["result"], shown["input"]) == ("Completed", 84, [21])
    assert [(it["activity_type"], it["status"], it["attempt"]) for it in shown["activities"]] == [
        ("double", "Completed", 1),
        ("double", "Completed", 1),
    ]
    assert shown["events"][-1]["event_type"] == "WorkflowExecutionCompleted"
    code, out, _ = call("show", shown["run_id"])
    assert code == 0
    assert "good-1" in out
    assert "double" in out


def test_show_of_a_waiting_execution_has_its_timer(call, store):
    """When it goes on is the first thing one wants to know."""
    timers = json.loads(call("show", "wait-1", "--json")[1])["timers"]
    assert [(it["summary"], it["status"]) for it in timers] == [("a long time", "Pending")]


def test_show_of_an_unknown_id_fails(call, store):
    """Exit code 1, the id in the error."""
    code, out, err = call("show", "nobody")
    assert (code, out) == (1, "")
    assert "no workflow execution 'nobody'" in err


def test_sql_answers_as_text_json_and_csv(call, store):
    """JSON columns are values in JSON, and CSV that is read gives the same rows."""
    query = "select workflow_id, input, duration from executions where status <> 'Running' order by workflow_id"
    rows = json.loads(call("sql", query, "--json")[1])
    assert [(it["workflow_id"], it["input"]) for it in rows] == [("bad-1", []), ("good-1", [21])]
    read = list(csv.DictReader(io.StringIO(call("sql", query, "--csv")[1])))
    assert [(it["workflow_id"], float(it["duration"])) for it in read] == [
        (it["workflow_id"], it["duration"]) for it in rows
    ]
    assert call("sql", "select 1.5 as a, null as b, 'x' as c")[1] == "  a  b  c\n---  -  -\n1.5     x\n"


def test_sql_reads_a_statement_from_standard_input(call, store, monkeypatch):
    """Long ones live in files."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("select count(*) as n from executions"))
    assert json.loads(call("sql", "-", "--json")[1]) == [{"n": 3}]


@pytest.mark.parametrize("query", ["selec 1", "from nothing", "delete from event_log.events", "drop view events"])
def test_sql_that_fails_or_would_write_is_refused(call, store, query):
    """The log is append-only, and a shell only reads it."""
    code, out, err = call("sql", query)
    assert (code, out) == (1, "")
    assert err.startswith("nbflow: the query failed")


def test_the_only_store_here_is_taken_and_several_are_asked_about(call, store):
    """--store is for when there is a choice."""
    assert call("ls")[0] == 0
    (store.parent / "other.nbflow.duckdb").write_bytes(store.read_bytes())
    code, _, err = call("ls")
    assert code == 2
    assert "some.nbflow.duckdb" in err
    assert "--store" in err
    assert call("ls", "--store", "other.nbflow.duckdb")[0] == 0


def test_a_store_that_another_process_holds_is_told_with_its_pid(call, store):
    """One knows what to close, or what to wait for."""
    source = f"import sys, duckdb\nc = duckdb.connect({str(store)!r})\nprint('held', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        code, out, err = call("ls")
        holder.stdin.close()
    assert (code, out) == (1, "")
    assert str(holder.pid) in err


def test_a_signal_is_recorded_and_a_query_answered(call, store):
    """From a shell, with JSON for arguments; the workflow goes on when its notebook does."""
    assert call("query", "wait-1", "so_far")[:2] == (0, "[\n  1\n]\n")
    code, out, err = call("signal", "wait-1", "approve", '{"by": "Ann"}')
    assert (code, out) == (0, "")
    assert "signal 'approve' is recorded" in err
    events = json.loads(call("show", "wait-1", "--json", "--events")[1])["events"]
    assert events[-1]["event_type"] == "WorkflowExecutionSignaled"


def test_an_update_is_answered_or_goes_on_later(call, store):
    """The answer as JSON; what rejects it as an error; exit code 75 when it takes longer than the shell waits."""
    assert call("update", "wait-1", "add", "2", "--update-id", "u")[:2] == (0, "[\n  1,\n  2\n]\n")
    assert call("update", "wait-1", "add", "3", "--update-id", "u")[:2] == (0, "[\n  1,\n  2\n]\n")
    code, out, err = call("update", "wait-1", "add", "-1")
    assert (code, out) == (1, "")
    assert "was rejected: ValueError: only numbers from 0 on" in err
    code, out, err = call("update", "wait-1", "add", "0", "--timeout", "0.1s")
    assert (code, out) == (75, "")
    assert "update 'add' is accepted" in err


def test_cancel_and_terminate_close_executions(call, store):
    """Cancelling lets the workflow clean up, terminating does not ask."""
    assert call("cancel", "wait-1", "--reason", "too late")[0] == 0
    code, _, err = call("terminate", "wait-1")
    assert code == 1
    assert "already Canceled" in err


def test_operators_pause_and_run_again_from_a_shell(call, store):
    """One execution at a time; what it begins runs where the notebook opens the store next."""
    assert "status Paused" in call("pause", "wait-1", "--reason", "lunch")[2]
    assert json.loads(call("show", "wait-1", "--json")[1])["status"] == "Paused"
    assert "status Running" in call("unpause", "wait-1")[2]
    assert "fired" in call("fire", "wait-1")[2]
    code, _, err = call("fork", "wait-1", "--at", "first", "--as", "wait-2")
    assert (code, "wait-2 (run " in err) == (0, True)
    assert "status Running" in call("reset", "wait-1", "--event", "first")[2]
    assert "Terminated" in call("ls", "--status", "Terminated")[1]
    code, _, err = call("rewind", "good-1")
    assert (code, "nothing to rewind" in err) == (1, True)
    assert "status" in call("rewind", "bad-1")[2]
    assert "waits for its next attempt" in call("retry", "wait-2")[2]
    assert call("resume", "wait-2")[0] == 0


def test_a_condition_chooses_many(call, store):
    """Nothing is done unless one says yes; a dry run counts."""
    condition = "status = 'Running'"
    assert "1 workflow execution would be terminated" in call("terminate", "--where", condition, "--dry-run")[2]
    code, _, err = call("terminate", "--where", condition)
    assert (code, "add --yes" in err) == (2, True)
    code, _, err = call("terminate", "--where", condition, "--yes")
    assert (code, "terminate: 1 done" in err) == (0, True)
    code, _, err = call("terminate", "--where", "status = 'Terminated'", "--yes")
    assert (code, "already Terminated" in err, "1 failed" in err) == (1, True, True)
    for wrong in (("cancel",), ("cancel", "wait-1", "--where", condition)):
        assert call(*wrong)[0] == 2


def test_requests_to_nobody_fail(call, store):
    """Exit code 1, the id in the error."""
    for command in (("signal", "nobody", "s"), ("query", "nobody", "q"), ("cancel", "nobody"), ("terminate", "nobody")):
        code, out, err = call(*command)
        assert (code, out) == (1, "")
        assert "nobody" in err


def write_notebook(path, *sources):
    cells = [
        {"cell_type": "code", "source": it, "metadata": {}, "outputs": [], "execution_count": None} for it in sources
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))


def test_run_tells_people_on_stderr_and_programs_on_stdout(call, tmp_path, monkeypatch):
    """The traceback of a failing cell is in the terminal, without colours; the result is JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    write_notebook(tmp_path / "nb.ipynb", "print('hello')", "raise ValueError('bad')")
    code, out, err = call("run", "nb.ipynb", "--json", "--log-output", "--timeout", "1m")
    result = json.loads(out)
    assert code == result["exit_code"] == 1
    assert [it["status"] for it in result["cells"]] == ["succeeded", "failed"]
    assert f"nbflow run nb.ipynb --json --log-output --timeout 1m --run-id {result['run_id']}" in err
    assert "hello\n" in err
    assert "cell 2 (id cell-2, In [2]): ValueError: bad" in err
    assert "----> 1 raise ValueError('bad')" in err
    assert "\x1b" not in err


def test_run_reads_and_writes_pipes(tmp_path):
    """A notebook on stdin gives one on stdout, and nothing else."""
    write_notebook(tmp_path / "nb.ipynb", "print(1 + 1)")
    done = subprocess.run(
        [sys.executable, "-m", "nbflow", "run", "-", "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(nbflow.__file__).parent.parent)},
        input=(tmp_path / "nb.ipynb").read_text(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["cells"][0]["outputs"][0]["text"] == ["2\n"]


def test_the_command_line_starts_fast():
    """`nbflow --version` loads no notebook library."""
    code = "import sys, nbflow.cli; print([it for it in ('nbclient', 'duckdb', 'IPython') if it in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(nbflow.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
