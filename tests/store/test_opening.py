"""What can be wrong with a store's file: each told clearly, the file left as it was."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from nbflow import exceptions
from nbflow.exceptions import (
    ForeignStoreError,
    StoreCorruptedError,
    StoreError,
    StoreLockedError,
    StoreNotWritableError,
    StoreVersionError,
)
from nbflow.store import EventStore
from nbflow.store.opening import store_error

HOLD = """
import sys
from nbflow.store import EventStore
store = EventStore.open(sys.argv[1], holder="report.ipynb")
print("held", flush=True)
sys.stdin.read()
"""


def note_of(path):
    return path.with_name(f"{path.name}.holder")


def files_beside(path):
    return sorted(path.parent.iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.duckdb"


@pytest.fixture
def written(path, story):
    """Return the path of a closed store with a few events."""
    with EventStore.open(path) as store:
        for number in range(50):
            store.commit(story(f"w{number}").started().completed().batch)
    return path


@pytest.fixture
def held(path):
    """Hold a store from another process; give its path and the process id."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield path, process.pid
        process.stdin.close()
        process.wait(30)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_that_another_process_holds(held, read_only):
    """The error names the process and what it is, and says what to do."""
    path, pid = held
    with pytest.raises(StoreLockedError, match=rf"held by process {pid} \(report.ipynb, since .*kill {pid}") as caught:
        EventStore.open(path, read_only=read_only)
    assert (caught.value.pid, caught.value.holder, caught.value.path) == (pid, "report.ipynb", str(path))


def test_a_stale_note_of_a_holder_is_not_believed(held):
    """A note that a crashed process left says nothing about the one that has the file now."""
    path, pid = held
    note_of(path).write_text('{"pid": 1, "holder": "old.ipynb", "since": "long ago"}')
    with pytest.raises(StoreLockedError) as caught:
        EventStore.open(path)
    assert (caught.value.pid, caught.value.holder) == (pid, "")
    note_of(path).write_text("{half")
    with pytest.raises(StoreLockedError, match=f"held by process {pid};"):
        EventStore.open(path)


def test_a_store_that_this_process_has_open(written):
    """A second opening in one process is refused too, and takes no lock away from the first."""
    with EventStore.open(written, holder="mine.ipynb"):
        for read_only in (False, True):
            with pytest.raises(StoreLockedError, match=r"held by this process \(mine.ipynb") as caught:
                EventStore.open(written, read_only=read_only)
            assert caught.value.pid == os.getpid()
        code = "import sys, duckdb; duckdb.connect(sys.argv[1])"
        other = subprocess.run([sys.executable, "-c", code, str(written)], capture_output=True, text=True, check=False)
        assert "Could not set lock" in other.stderr


def test_a_killed_holder_leaves_nothing_that_locks(path):
    """After kill -9 the store opens at once; the note left behind does no harm."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.kill()
    assert note_of(path).exists()
    with EventStore.open(path) as store:
        assert store.reader().counts().events == 0
    assert not note_of(path).exists()


def test_a_missing_store_is_not_made_for_reading(path):
    """Reading asks for a store that is there."""
    with pytest.raises(StoreError, match="there is no store"):
        EventStore.open(path, read_only=True)
    assert not path.exists()


def test_a_missing_folder(tmp_path):
    """The folder is named; nothing is made."""
    with pytest.raises(StoreNotWritableError, match=r"there is no folder .*nowhere"):
        EventStore.open(tmp_path / "nowhere" / "s.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_store(tmp_path):
    """A folder in place of a file is told, with a path that would do."""
    with pytest.raises(ForeignStoreError, match=r"is a folder; name a file in it, e\.g\. .*nbflow\.duckdb"):
        EventStore.open(tmp_path)


def text_file(path):
    path.write_text("hello " * 5000)


def sqlite_file(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()


def duckdb_file(path):
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS a")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (text_file, "is not a DuckDB database"),
        (sqlite_file, "is an SQLite database"),
        (duckdb_file, "a DuckDB database but not an nbflow store (it has 1 tables of its own, e.g. 'mine')"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_something_else(path, make, said, read_only):
    """It is told what the file is, and not one byte of it changes."""
    make(path)
    before = path.read_bytes()
    with pytest.raises(ForeignStoreError) as caught:
        EventStore.open(path, read_only=read_only)
    assert said in str(caught.value) and "choose another path" in str(caught.value)
    assert path.read_bytes() == before
    assert files_beside(path) == [path]


@pytest.mark.parametrize("make", [Path.touch, lambda path: duckdb.connect(path).close()])
def test_an_empty_file_becomes_a_store(path, make):
    """A crash in the middle of making a store, or a temporary file, is no obstacle."""
    make(path)
    with EventStore.open(path) as store:
        assert store.reader().counts().events == 0


def test_an_empty_database_is_no_store_to_read(path):
    """Nothing is made when a store is opened for reading."""
    duckdb.connect(path).close()
    with pytest.raises(ForeignStoreError, match="not an nbflow store"):
        EventStore.open(path, read_only=True)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_of_a_newer_nbflow(written, read_only):
    """It says which versions and how to upgrade."""
    with duckdb.connect(written) as connection:
        connection.execute("INSERT INTO event_log.meta VALUES ('schema_version', '99')")
    with pytest.raises(StoreVersionError, match=r"newer nbflow \(schema 99, .*pip install --upgrade nbflow"):
        EventStore.open(written, read_only=read_only)


def test_a_store_of_a_newer_duckdb():
    """DuckDB's refusal of a newer file format becomes advice to upgrade it."""
    said = duckdb.IOException(
        "IO Error: Trying to read a database file with version number 999, but we can only read versions between "
        "64 and 68.\nThe database file was created with an newer version of DuckDB."
    )
    error = store_error(said, "s.duckdb")
    assert type(error) is StoreVersionError
    assert f"({duckdb.__version__}); upgrade with: pip install --upgrade duckdb" in str(error)


@pytest.mark.parametrize("where", [100, 4200, 8300, 13_000, 100_000])
def test_a_damaged_file(written, where):
    """One flipped byte in headers or in the catalog is noticed on opening; the file stays as it is."""
    data = bytearray(written.read_bytes())
    data[where] ^= 0xFF
    written.write_bytes(data)
    with pytest.raises(StoreCorruptedError, match=r"is damaged and was left as it is; restore it from a backup"):
        EventStore.open(written)
    assert written.read_bytes() == data


def test_damaged_data_is_noticed_when_it_is_read(written):
    """Rows behind an intact catalog are checked as they are read: no wrong answer, an error."""
    data = bytearray(written.read_bytes())
    # past the headers and the first block, which has the catalog
    data[len(data) - 300_000] ^= 0xFF
    written.write_bytes(data)
    with EventStore.open(written) as store, pytest.raises(StoreCorruptedError):
        store.reader().histories(["run-of-w1"])


@pytest.mark.parametrize("kept", [12, 5000, 13_000, 300_000])
def test_a_file_cut_short(written, kept):
    """A truncated copy is damaged, not foreign."""
    os.truncate(written, kept)
    with pytest.raises(StoreCorruptedError):
        EventStore.open(written)
    assert written.stat().st_size == kept


def test_a_log_cut_short_loses_only_what_was_not_whole(path, story):
    """A copy of file and log with a torn end opens with the commits before it."""
    store = EventStore.open(path)
    for number in range(3):
        store.commit(story(f"w{number}").started().batch)
    torn = path.with_name("torn.duckdb")
    log = path.with_name("torn.duckdb.wal")
    shutil.copy(path, torn), shutil.copy(f"{path}.wal", log)
    store.close()
    os.truncate(log, log.stat().st_size - 10)
    with EventStore.open(torn) as copy:
        assert copy.reader().counts().events == 2


def test_a_creation_that_fails_leaves_no_file(path, monkeypatch):
    """Neither file nor log nor note remain, so the next try starts clean."""
    monkeypatch.setattr("nbflow.store.event_store.bring_up_to_date", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        EventStore.open(path)
    assert files_beside(path) == []
    monkeypatch.undo()
    EventStore.open(path).close()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('IO Error: Could not write file "x": No space left on device', "StoreFullError"),
        ('IO Error: Could not write file "x": File too large', "StoreFullError"),
        ('IO Error: Cannot open file "x": Permission denied', "StoreNotWritableError"),
        ('IO Error: Cannot open file "x": Read-only file system', "StoreNotWritableError"),
        ("Catalog Error: something else", "StoreError"),
    ],
)  # fmt: skip
def test_what_the_system_says_in_our_words(said, expected):
    """Full disks and missing permissions have errors of their own; the rest is told as it is."""
    error = store_error(duckdb.IOException(said), "x")
    assert type(error) is getattr(exceptions, expected)
    assert error.path == "x" and "x" in str(error)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_read_only_folder(tmp_path):
    """Nothing is made where nothing can be written."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreNotWritableError, match="make the file and its folder writable"):
            EventStore.open(tmp_path / "s.duckdb")
    finally:
        tmp_path.chmod(0o700)
