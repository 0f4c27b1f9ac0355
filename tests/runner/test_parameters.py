"""Parameters: what a notebook declares, what it is given, and the cell that is injected."""

from __future__ import annotations

import pytest
from nbformat import from_dict

from nbflow.exceptions import ConfigurationError
from nbflow.runner import given
from nbflow.runner.parameter_values import Given
from nbflow.runner.parameters import declared_parameters, parameterize

from .conftest import code, notebook

DEFAULTS = code("n: int = 5\nname = 'x'  # who\nwhen = None", "parameters")


def made(*cells, **metadata):
    return from_dict(notebook(*cells, **metadata))


def texts(**values):
    return {name: Given(value, is_text=True) for name, value in values.items()}


def test_the_injected_cell_follows_the_parameters_cell():
    """Values given override the defaults of the cell before."""
    nb = made("import os", DEFAULTS, "print(n)")
    plain = parameterize(nb, texts(n="7", when="now"))
    assert nb.cells[2].source == "# Parameters\nn = 7\nwhen = 'now'"
    assert nb.cells[2].metadata.tags == ["injected-parameters"]
    assert plain == {"n": 7, "name": "x", "when": "now"}


def test_an_injected_cell_is_replaced_by_the_next_one():
    """Running an output again does not pile up injected cells."""
    nb = made(DEFAULTS, code("n = 6", "injected-parameters"), "print(n)")
    parameterize(nb, texts(n="7"))
    assert [cell.source for cell in nb.cells] == [DEFAULTS["source"], "# Parameters\nn = 7", "print(n)"]


def test_nothing_is_injected_when_nothing_is_given():
    """A notebook without values runs as it is, and its defaults are known."""
    nb = made(DEFAULTS)
    assert parameterize(nb, {}) == {"n": 5, "name": "x"}
    assert len(nb.cells) == 1


def test_unknown_names_are_refused_with_the_name_that_was_meant():
    """A typing error must not run a report with default values."""
    with pytest.raises(ConfigurationError, match="unknown parameter 'nmae': did you mean 'name'"):
        parameterize(made(DEFAULTS), texts(nmae="x"))


def test_unknown_names_pass_when_asked_for():
    """--no-strict-params is for notebooks that read more than they declare."""
    nb = made(DEFAULTS)
    parameterize(nb, texts(extra="1"), strict=False)
    assert nb.cells[1].source == "# Parameters\nextra = 1"


def test_without_a_parameters_cell_values_are_injected_at_the_top_only_when_asked():
    """Nothing declares names there, so the caller has to insist."""
    with pytest.raises(ConfigurationError, match="no cell tagged 'parameters'"):
        parameterize(made("print(n)"), texts(n="1"))
    nb = made("print(n)")
    parameterize(nb, texts(n="1"), strict=False)
    assert nb.cells[0].source == "# Parameters\nn = 1"


def test_a_wrong_type_is_told_with_the_one_expected():
    """All that is wrong is told at once."""
    with pytest.raises(ConfigurationError, match="unknown parameter 'zzz'") as caught:
        parameterize(made(DEFAULTS), texts(n="many", zzz="1"))
    assert "parameter 'n': expected int, got 'many'" in str(caught.value)


def test_a_declaration_without_a_default_is_required():
    """`rows: int` alone says that there is no sensible default."""
    nb = made(code("rows: int", "parameters"))
    with pytest.raises(ConfigurationError, match="'rows' \\(int\\) has no default"):
        parameterize(nb, {})
    assert parameterize(nb, texts(rows="3")) == {"rows": 3}


@pytest.mark.parametrize("name", ["class", "a-b", "1a", ""])
def test_impossible_names_are_refused(name):
    """What can't be a variable can't be injected."""
    with pytest.raises(ConfigurationError, match="not a name"):
        parameterize(made(DEFAULTS), texts(**{name: "1"}), strict=False)


def test_a_parameters_cell_may_hold_other_things():
    """Imports, magics, unpacking and later annotations do not hide what is declared."""
    source = "%matplotlib inline\nimport dt\nstart: dt.date = dt.date(2026, 1, 1)\na, b = 1, 2\nif True:\n    c = 3"
    found = declared_parameters(source)
    assert [(name, it.expected.name) for name, it in found.items()] == [("start", "date"), ("a", ""), ("b", "")]


def test_a_parameters_cell_that_is_no_python_is_told():
    """Types can't be read from it, so values can't be checked."""
    nb = made(code("n: int = ", "parameters"))
    with pytest.raises(ConfigurationError, match="not valid Python \\(line 1"):
        parameterize(nb, texts(n="1"))
    assert parameterize(nb, {}) == {}


def test_parameters_of_another_language_are_refused():
    """The injected cell would be Python."""
    nb = made(code("n <- 5", "parameters"), kernelspec={"name": "ir", "language": "R", "display_name": "R"})
    with pytest.raises(ConfigurationError, match="written in R"):
        parameterize(nb, texts(n="1"))


def test_sources_are_merged_with_the_command_line_last(tmp_path):
    """A file sets the scene, the command line has the last word."""
    file = tmp_path / "params.json"
    file.write_text('{"a": 1, "b": 1, "c": 1}')
    merged = given.gather(["c=3"], ['{"b": 2, "c": 2}'], [str(file)])
    assert merged == {"a": Given(1), "b": Given(2), "c": Given("3", is_text=True)}


def test_a_value_may_hold_an_equals_sign():
    """Only the first one separates."""
    assert given.from_pair("query=a=b") == ("query", Given("a=b", is_text=True))


@pytest.mark.parametrize("text", ["n", "=5", ""])
def test_a_pair_without_a_key_or_equals_sign_is_refused(text):
    """papermill's `-p key value` is a frequent slip."""
    with pytest.raises(ConfigurationError, match="write it as key=value"):
        given.from_pair(text)


def test_yaml_is_read_when_pyyaml_is_there(monkeypatch):
    """JSON always works; YAML works where its library is installed."""
    yaml = pytest.importorskip("yaml")
    assert yaml.__name__ == "yaml"
    assert given.from_text("a: 1\nb: [x, y]", "here") == {"a": Given(1), "b": Given(["x", "y"])}


def test_yaml_without_pyyaml_is_told_with_what_to_install(monkeypatch):
    """The error names both ways out."""
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(ConfigurationError, match="pip install pyyaml"):
        given.from_text("a: 1", "here")


@pytest.mark.parametrize("text", ["[1, 2]", '"a"', "5"])
def test_parameters_that_are_no_mapping_are_refused(text):
    """A list has no names."""
    with pytest.raises(ConfigurationError, match="expected a mapping"):
        given.from_text(text, "here")


def test_a_missing_parameter_file_is_told():
    """The path is in the error."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.json: No such file"):
        given.from_file("nowhere.json")
