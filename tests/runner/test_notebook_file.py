"""Notebook files: any version is read, ids are stable, and a write is all or nothing."""

from __future__ import annotations

import json
import os

import pytest

from nbflow.exceptions import ConfigurationError
from nbflow.runner.notebook_file import NotebookFile, read_notebook, write_atomically

from .conftest import code, notebook


def test_cells_without_ids_get_the_same_ones_each_time(tmp_path):
    """Two runs of one notebook give cells that can be compared."""
    path = tmp_path / "nb.ipynb"
    path.write_text(json.dumps(notebook("1", "2")))
    first, second = read_notebook(str(path)), read_notebook(str(path))
    assert [cell.id for cell in first.cells] == [cell.id for cell in second.cells] == ["cell-1", "cell-2"]
    assert (first.nbformat, first.nbformat_minor) == (4, 5)


def test_ids_that_occur_twice_are_made_different(tmp_path):
    """Tools that copy cells leave duplicates, which the format forbids."""
    nb = notebook(code("1") | {"id": "a"}, code("2") | {"id": "a"}, code("3") | {"id": "cell-2"})
    (tmp_path / "nb.ipynb").write_text(json.dumps(nb | {"nbformat_minor": 5}))
    assert [cell.id for cell in read_notebook(str(tmp_path / "nb.ipynb")).cells] == ["a", "cell-2-", "cell-2"]


def test_a_notebook_of_version_3_is_converted(tmp_path):
    """Old notebooks run too."""
    cell = {"cell_type": "code", "input": "1", "language": "python", "outputs": [], "collapsed": False, "metadata": {}}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [cell], "metadata": {}}]}
    (tmp_path / "nb.ipynb").write_text(json.dumps(old))
    assert [(it.id, it.source) for it in read_notebook(str(tmp_path / "nb.ipynb")).cells] == [("cell-1", "1")]


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"nbformat": 4}', '{"nbformat": 9, "cells": []}', '"a"'])
def test_what_is_no_notebook_is_refused_by_name(tmp_path, text):
    """The error is one line that names the file."""
    (tmp_path / "bad.ipynb").write_text(text)
    with pytest.raises(ConfigurationError, match=r"bad\.ipynb is not a") as caught:
        read_notebook(str(tmp_path / "bad.ipynb"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "told"), [("nowhere.ipynb", "No such file"), (".", "is a folder")])
def test_an_unreadable_path_is_told(tmp_path, name, told):
    """A folder and a missing file are usage errors."""
    with pytest.raises(ConfigurationError, match=told):
        read_notebook(str(tmp_path / name))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    """A full disk costs the new text only."""
    target = tmp_path / "nb.ipynb"
    write_atomically(target, "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, "new")
    assert [(it.name, it.read_text()) for it in tmp_path.iterdir()] == [("nb.ipynb", "old")]


def test_links_and_modes_survive_a_write(tmp_path):
    """Replacing a file must not turn a link into a copy, nor a shared file into a private one."""
    real = tmp_path / "real.ipynb"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link.ipynb").symlink_to(real)
    write_atomically(tmp_path / "link.ipynb", "new")
    assert (tmp_path / "link.ipynb").is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("new", 0o640)


def test_a_new_file_gets_the_usual_mode(tmp_path):
    """Temporary files are private; notebooks are as public as the umask says."""
    mask = os.umask(0o022)
    try:
        write_atomically(tmp_path / "nb.ipynb", "text")
    finally:
        os.umask(mask)
    assert (tmp_path / "nb.ipynb").stat().st_mode & 0o777 == 0o644


def test_the_output_folder_is_made(tmp_path):
    """A path with parameters may name folders that are new."""
    file = NotebookFile(str(tmp_path / "2026" / "11" / "nb.ipynb"))
    file.prepare()
    assert (tmp_path / "2026" / "11").is_dir()
    with pytest.raises(ConfigurationError, match="is a folder"):
        NotebookFile(str(tmp_path)).prepare()
