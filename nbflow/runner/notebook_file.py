"""Notebook files: read with every cell identified, written so that a reader finds the old or the new one whole."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from nbflow.exceptions import ConfigurationError

STDIO = "-"


def read_notebook(path: str) -> Any:
    """Read a notebook of any version and give each cell an id.

    Parameters
    ----------
    path
        The file, or ``-`` for standard input.

    Raises
    ------
    ConfigurationError
        If there is no such file or it is no notebook.
    """
    from nbformat import ValidationError, reader, validate
    from nbformat.converter import convert

    try:
        text = sys.stdin.read() if path == STDIO else Path(path).read_text(encoding="utf-8")
    except IsADirectoryError:
        raise ConfigurationError(f"{path} is a folder; give the path of a notebook") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"can't read notebook {path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        nb = reader.reads(text)  # type: ignore[no-untyped-call]
        version = nb["nbformat"]
        nb = convert(nb, 4)  # type: ignore[no-untyped-call]
        if version < 4:  # conversion makes ids up at random
            for cell in nb["cells"]:
                cell.pop("id", None)
        identify_cells(nb)
        validate(nb)
    except reader.NotJSONError:
        raise ConfigurationError(f"{path} is not a notebook: it holds no JSON") from None
    except (ValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigurationError(f"{path} is not a valid notebook: {first}") from None
    return nb


def identify_cells(nb: Any) -> None:
    """Bring a version 4 notebook to 4.5; missing ids come from the cells' places, so they are the same next time."""
    taken = {cell.get("id") for cell in nb["cells"]}
    seen: set[str] = set()
    for index, cell in enumerate(nb["cells"]):
        if "id" not in cell or cell["id"] in seen:
            name = f"cell-{index + 1}"
            while name in taken:
                name += "-"
            cell["id"] = name
            taken.add(name)
        seen.add(cell["id"])
    if nb["nbformat"] == 4:
        nb["nbformat_minor"] = max(nb["nbformat_minor"], 5)


class NotebookFile:
    """The output notebook on disk.

    Parameters
    ----------
    path
        Where to write; ``-`` writes to standard output, once, when the run is over.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the folder.

        Raises
        ------
        ConfigurationError
            If it can't be made, or the path is a folder.
        """
        if self.path == STDIO:
            return
        target = Path(self.path)
        if target.is_dir():
            raise ConfigurationError(f"output {self.path} is a folder; give the path of a notebook")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"can't make the output's folder {target.parent}: {error.strerror}") from None

    def save(self, text: str, *, final: bool = False) -> None:
        """Write the notebook, durably and all at once.

        Parameters
        ----------
        text
            The notebook's text.
        final
            True for the last save of a run; standard output is written then only.

        Raises
        ------
        OSError
            If the disk does not take it; the file is what it was.
        """
        if self.path != STDIO:
            write_atomically(Path(self.path), text)
        elif final:
            sys.stdout.write(text)
            sys.stdout.flush()


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content; after a crash it holds the old text or the new.

    Raises
    ------
    OSError
        If the disk does not take it; no temporary file is left.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", "replace"))  # a cell may print half a surrogate pair
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_mode_of(target))
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _mode_of(target: Path) -> int:
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows has no such call and needs none
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # a file system without it; the file's own content is synced
        pass
    finally:
        os.close(handle)
