"""`%%flowsql`: SQL over the log, in a plain IPython shell."""

from __future__ import annotations

import pytest

import nbflow
from nbflow.exceptions import ConfigurationError, SqlError


@nbflow.workflow
def double(n: int) -> int:
    return 2 * n


@pytest.fixture
def sql(shell, env):
    """Return a function that runs a cell in a notebook whose store has three executions."""
    for n in range(3):
        double.options(id=f"d{n}").start(n).result()
    return shell.run


def test_the_answer_is_a_dataframe(sql):
    """Columns are those of the query."""
    frame = sql("%%flowsql\nSELECT workflow_id, result FROM executions ORDER BY workflow_id")
    assert list(frame.itertuples(index=False, name=None)) == [("d0", "0"), ("d1", "2"), ("d2", "4")]


def test_the_line_magic_answers_too(sql):
    """Its value can be assigned."""
    sql("frame = %flowsql SELECT count(*) AS n FROM executions")
    assert sql("frame.n[0]") == 3


def test_new_facts_are_seen_by_the_next_query(sql):
    """Each query sees what was committed before it."""
    assert sql("%flowsql SELECT count(*) AS n FROM executions").n[0] == 3
    double(5)
    assert sql("%flowsql SELECT count(*) AS n FROM executions").n[0] == 4


def test_names_are_bound_to_variables_of_the_notebook(sql):
    """They are values, never text that is pasted in."""
    sql("wanted, floor = \"d1' OR 'x'='x\", 1")
    assert len(sql("%%flowsql\nSELECT * FROM executions WHERE workflow_id = $wanted")) == 0
    assert len(sql("%%flowsql\nSELECT * FROM executions WHERE result::INT > $floor")) == 2


def test_braces_and_dollars_in_text_are_left_alone(sql):
    """IPython's own expansion does not touch SQL."""
    sql("x = 5")
    assert sql("%flowsql SELECT '{x} $x' AS t, {'a': 1}.a AS a").iloc[0].tolist() == ["{x} $x", 1]


def test_of_several_statements_the_last_one_answers(sql):
    """Each takes the variables that it names."""
    sql("a, b = 1, 2")
    assert sql("%%flowsql\nSELECT $a;\nSELECT $b AS b -- the last\n").b[0] == 2


def test_out_puts_the_answer_into_a_variable(sql):
    """Nothing is shown then."""
    assert sql("%%flowsql --out frame\nSELECT 1 AS one") is None
    assert sql("frame.one[0]") == 1


def test_limit_takes_the_first_rows_in_order(sql):
    """A limit keeps the order that the query asks for."""
    frame = sql("%%flowsql --limit 2\nSELECT workflow_id FROM executions ORDER BY workflow_id DESC; -- latest;")
    assert frame.workflow_id.tolist() == ["d2", "d1"]
    assert sql("%flowsql --limit 1 SELECT 'a; -- b' AS t -- c").t.tolist() == ["a; -- b"]


def test_changes_need_write(sql):
    """What would change something is refused, unless it is asked for."""
    with pytest.raises(SqlError, match="--write"):
        sql("%%flowsql\nCREATE TABLE mine AS SELECT 1 AS n")
    sql("%%flowsql --write\nCREATE TABLE mine AS SELECT 1 AS n")
    assert sql("%flowsql FROM mine").n[0] == 1


@pytest.mark.parametrize(
    ("cell", "error", "part"),
    [
        ("%flowsql SELECT $nobody", ConfigurationError, "no variable 'nobody'"),
        ("wanted = 1\n%flowsql SELECT $wantde", ConfigurationError, "did you mean $wanted?"),
        ("%flowsql SELECT ?", ConfigurationError, "write $name"),
        ("%flowsql", ConfigurationError, "there is no SQL"),
        ("%%flowsql", ConfigurationError, "there is no SQL"),
        ("%%flowsql --limt 5\nSELECT 1", ConfigurationError, "did you mean --limit?"),
        ("%%flowsql --limit many\nSELECT 1", ConfigurationError, "a number of rows"),
        ("%%flowsql --out 5x\nSELECT 1", ConfigurationError, "a variable's name"),
        ("%flowsql SELEC 1", SqlError, "syntax error"),
        ("%flowsql SELECT * FROM execution", SqlError, "executions"),
    ],
)
def test_what_is_wrong_is_a_real_error_that_says_what_to_do(sql, cell, error, part):
    """No UsageError, which some runners take for success."""
    with pytest.raises(error) as caught:
        sql(cell)
    assert part in str(caught.value)
