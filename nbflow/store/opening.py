"""Opening a store's file: what can be wrong with it, and who else has it."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

import duckdb

from nbflow.exceptions import (
    ForeignStoreError,
    StoreCorruptedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StoreNotWritableError,
    StoreVersionError,
)

__all__ = ["MEMORY", "attach", "forget_holder", "remember_holder", "remove_files", "store_error"]

MEMORY = ":memory:"

# DuckDB writes its file in the format of the oldest release that nbflow works with, so that any of them reads it
_STORAGE_VERSION = "v1.5.0"
_FULL = ("No space left", "Disk quota exceeded", "File too large", "not enough space", "ENOSPC")
_FORBIDDEN = ("Permission denied", "Read-only file system", "Access is denied", "Operation not permitted")
_LOCKED = ("Could not set lock", "Conflicting lock", "being used by another process", "already open in")
_HELD_HERE = ("Unique file handle conflict", "already attached")
_DAMAGED = (
    "Corrupt", "corrupt", "not enough bytes", "Could not read enough bytes", "Failure while replaying WAL",
    "Serialization Error", "Failed to deserialize",
)  # fmt: skip


def attach(connection: duckdb.DuckDBPyConnection, path: str, *, read_only: bool) -> bool:
    """Attach the store's file as ``store``, making it if there is none.

    The fixed name matters: a file called nbflow.duckdb would give the catalog the name of the
    schema, and ``nbflow.executions`` would be ambiguous.

    Parameters
    ----------
    connection
        An in-memory DuckDB.
    path
        The file, or ``":memory:"``.
    read_only
        True to open it beside other readers.

    Returns
    -------
    bool
        True if the file is new.

    Raises
    ------
    StoreError
        One of its kinds.
    """
    made = path == MEMORY or _check_file(Path(path), read_only=read_only)
    quoted = path.replace("'", "''")
    # without the TYPE, DuckDB would look for an extension that reads the file, and download it
    options = "" if path == MEMORY else "(TYPE duckdb, READ_ONLY)" if read_only else "(TYPE duckdb)"
    if made and path != MEMORY:
        options = f"(TYPE duckdb, STORAGE_VERSION '{_STORAGE_VERSION}')"
    try:
        connection.execute(f"ATTACH '{quoted}' AS store {options}")
    except (duckdb.Error, OSError) as error:
        if made:
            remove_files(path)
        raise store_error(error, path) from error
    return made


def remove_files(path: str) -> None:
    """Take away what a failed creation left behind."""
    if path != MEMORY:
        for name in (path, f"{path}.wal", _holder_file(path)):
            # what can't be taken away was not there, or the error that led here says why
            with suppress(OSError):
                Path(name).unlink()


def _check_file(file: Path, *, read_only: bool) -> bool:
    """Look at what there is; tell whether the file is to be made.

    The file itself is not opened: closing it again would drop the lock of a DuckDB that has it
    open in this process, as POSIX locks go.
    """
    if file.is_dir():
        msg = f"{file} is a folder; name a file in it, e.g. {file / 'nbflow.duckdb'}"
        raise ForeignStoreError(msg, str(file))
    if not file.parent.is_dir():
        msg = f"there is no folder {file.parent} to keep the store {file.name} in; create it, or choose another path"
        raise StoreNotWritableError(msg, str(file))
    if not file.exists():
        if read_only:
            msg = f"there is no store {file}; check the path, or open it once for writing to make it"
            raise StoreError(msg, str(file))
        return True
    if file.stat().st_size == 0 and not read_only and _is_abandoned(file):
        # a creation that a crash cut off, or a temporary file made for us
        file.unlink()
        return True
    return False


def _is_abandoned(file: Path) -> bool:
    """Tell whether nobody, not even a process that makes a store at this moment, has the empty file."""
    try:
        import fcntl
    except ImportError:
        return False
    with file.open("rb+") as opened:
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return os.fstat(opened.fileno()).st_size == 0


def store_error(error: Exception, path: str) -> StoreError:
    """Say in our words what DuckDB or the system said.

    Parameters
    ----------
    error
        What was raised.
    path
        The store's file.

    Returns
    -------
    StoreError
        To be raised from ``error``.
    """
    text = str(error)
    if _says(text, _FULL):
        msg = (
            f"no space is left for the store {path}; what was committed is safe. Free some space on that disk "
            f"and open the store again ({_first_line(text)})"
        )
        return StoreFullError(msg, path)
    if _says(text, _HELD_HERE):
        return _locked(path, os.getpid())
    if _says(text, _LOCKED):
        found = re.search(r"PID (\d+)", text)
        return _locked(path, int(found[1]) if found else None)
    if "database file with version number" in text or "newer version of DuckDB" in text:
        msg = (
            f"{path} was written by a newer DuckDB than the one installed ({duckdb.__version__}); "
            f"upgrade with: pip install --upgrade duckdb"
        )
        return StoreVersionError(msg, path)
    if _says(text, _FORBIDDEN) or isinstance(error, PermissionError):
        msg = (
            f"{path} can't be written; make the file and its folder writable, choose another path, "
            f"or open it with read_only=True ({_first_line(text)})"
        )
        return StoreNotWritableError(msg, path)
    if "valid DuckDB database file" in text:
        msg = f"{path} is {_kind_of_file(path)}; choose another path for the store (nbflow never overwrites a file)"
        return ForeignStoreError(msg, path)
    if _says(text, _DAMAGED):
        msg = (
            f"{path} is damaged and was left as it is; restore it from a backup, together with {path}.wal if there is "
            f"one ({_first_line(text)})"
        )
        return StoreCorruptedError(msg, path)
    return StoreError(f"the store {path} can't be used: {text}", path)


def _kind_of_file(path: str) -> str:
    with suppress(OSError), open(path, "rb") as opened:  # noqa: PTH123  only its first bytes
        if opened.read(6) == b"SQLite":
            return "an SQLite database, not a DuckDB one"
    return "not a DuckDB database"


def _says(text: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in text for phrase in phrases)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"


def _locked(path: str, pid: int | None) -> StoreLockedError:
    holder = _read_holder(path)
    # what a crashed holder left says nothing about the one that has the file now
    known = holder if pid is None or holder.get("pid") == pid else {}
    name, since = str(known.get("holder") or ""), known.get("since")
    who = "this process" if pid == os.getpid() else f"process {pid}" if pid else "another process"
    told = ", ".join(part for part in (name, f"since {since}" if since else "") if part)
    what = (
        "use the one that is open, or close it first"
        if pid == os.getpid()
        else f"shut down that notebook's kernel or stop the process{f' (kill {pid})' if pid else ''}, "
        f"or choose another path for this store"
    )
    msg = f"the store {path} is held by {who}{f' ({told})' if told else ''}; {what}"
    return StoreLockedError(msg, path, pid, name)


def _holder_file(path: str) -> str:
    return f"{path}.holder"


def _read_holder(path: str) -> dict[str, object]:
    try:
        found = json.loads(Path(_holder_file(path)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # absent or half-written: it is a courtesy, nothing depends on it
        return {}
    return found if isinstance(found, dict) else {}


def remember_holder(path: str, holder: str, since: str) -> None:
    """Leave a note beside the store for those who find it locked."""
    if path == MEMORY:
        return
    note = json.dumps({"pid": os.getpid(), "holder": holder, "since": since})
    # without the note the error names only the pid
    with suppress(OSError):
        Path(_holder_file(path)).write_text(note, encoding="utf-8")


def forget_holder(path: str) -> None:
    """Take the note away."""
    if path != MEMORY and _read_holder(path).get("pid") == os.getpid():
        with suppress(OSError):
            Path(_holder_file(path)).unlink()
