"""A notebook's text: byte for byte what nbformat writes, with only changed cells written anew."""

from __future__ import annotations

from nbformat import from_dict, v4

from nbflow.runner.notebook_text import NotebookText

from .conftest import code, notebook

STREAM = {"output_type": "stream", "name": "stdout", "text": "a\nb\n"}
PICTURE = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBO", "text/plain": "<x>\n'é'"}}
MARKDOWN = {"cell_type": "markdown", "source": 'say "cells": []', "metadata": {"trusted": True}}


def made(*cells):
    nb = from_dict(notebook(*cells, kernelspec={"name": "python3"}, a={"cells": []}) | {"nbformat_minor": 5})
    for index, cell in enumerate(nb.cells):
        cell.id = f"c{index}"
    return nb


def test_the_text_is_that_of_nbformat():
    """Tools that compare notebooks see no difference between us and Jupyter."""
    nb = made(MARKDOWN, code("x = 1\nx") | {"outputs": [STREAM, PICTURE]}, code(""))
    assert NotebookText(nb).text() == v4.writes(nb) + "\n"
    assert NotebookText(made()).text() == v4.writes(made()) + "\n"


def test_changed_cells_and_metadata_are_written_anew():
    """What is told as changed is in the next text, and so is all that stands outside the cells."""
    nb = made("1", "2", "3")
    text = NotebookText(nb)
    text.text()
    nb.cells[1].outputs.append(from_dict(STREAM))
    nb.metadata["nbflow"] = {"status": "running"}
    assert text.text({1}) == v4.writes(nb) + "\n"
