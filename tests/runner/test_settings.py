"""Where things are: the store of a notebook and the path of its output."""

from __future__ import annotations

import pytest

from nbflow.exceptions import ConfigurationError
from nbflow.runner.settings import find_store, kernel_environment, output_path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return an empty folder, the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_store_lies_beside_the_notebook(here):
    """Two notebooks of a folder do not fight over one file."""
    assert find_store(None, "sub/report.ipynb") == str(here / "sub" / "report.nbflow.duckdb")
    assert find_store(None, None) == str(here / "nbflow.duckdb")


def test_the_project_file_names_the_store_relative_to_itself(here):
    """The next pyproject.toml upwards from the notebook decides, whatever the current folder is."""
    (here / "pyproject.toml").write_text("[tool.nbflow]\nstore = 'data/all.duckdb'\n")
    assert find_store(None, "sub/report.ipynb") == str(here / "data" / "all.duckdb")
    (here / "sub").mkdir()
    (here / "sub" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert find_store(None, "sub/report.ipynb") == str(here / "sub" / "report.nbflow.duckdb")


def test_the_environment_wins_over_the_project_and_the_option_over_both(here, monkeypatch):
    """What is nearer to the caller counts more; the path given is absolute for the kernel's sake."""
    (here / "pyproject.toml").write_text("[tool.nbflow]\nstore = 'project.duckdb'\n")
    monkeypatch.setenv("NBFLOW_STORE", "environment.duckdb")
    assert find_store(None, "a.ipynb") == str(here / "environment.duckdb")
    assert find_store("option.duckdb", "a.ipynb") == str(here / "option.duckdb")


@pytest.mark.parametrize("text", ["[tool.nbflow]\nstore = 5\n", "[tool]\nnbflow = 1\n", "no toml"])
def test_a_project_file_that_makes_no_sense_is_told(here, text):
    """Silently falling back would put the log where nobody looks."""
    (here / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml"):
        find_store(None, "a.ipynb")


def test_the_output_goes_beside_the_notebook_unless_told(here):
    """The input is never overwritten by accident."""
    assert output_path(None, "sub/report.ipynb", {}) == "sub/report.out.ipynb"
    assert output_path(None, "-", {}) == "-"
    assert output_path("-", "report.ipynb", {}) == "-"


def test_parameters_make_part_of_the_output_path():
    """One command line serves many values."""
    assert output_path("out/{city}-{n:03}-{{x}}.ipynb", "r.ipynb", {"city": "Oslo", "n": 7}) == "out/Oslo-007-{x}.ipynb"


@pytest.mark.parametrize(
    ("path", "told"),
    [("{cty}.ipynb", r"did you mean \{city\}"), ("{", "brace"), ("{}.ipynb", r"\{\}"), ("{city.x}", "no attribute")],
)
def test_a_path_that_names_no_parameter_is_refused(path, told):
    """A wrong name is told before a kernel starts."""
    with pytest.raises(ConfigurationError, match=told):
        output_path(path, "r.ipynb", {"city": "Oslo"})


def test_the_kernel_is_told_what_it_runs_for(here, monkeypatch):
    """The engine in the kernel finds its run id and store, and nothing of an outer run."""
    monkeypatch.setenv("NBFLOW_NOTEBOOK", "outer.ipynb")
    environment = kernel_environment(run_id="r", store="/s.duckdb", notebook="a.ipynb")
    told = {name: value for name, value in environment.items() if name.startswith("NBFLOW_")}
    assert told == {
        "NBFLOW_HEADLESS": "1",
        "NBFLOW_RUN_ID": "r",
        "NBFLOW_STORE": "/s.duckdb",
        "NBFLOW_NOTEBOOK": str(here / "a.ipynb"),
    }
    assert "NBFLOW_NOTEBOOK" not in kernel_environment(run_id="r", store="/s", notebook=None)
