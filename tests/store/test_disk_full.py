"""A disk that fills up: nothing committed is lost, and space makes the store work again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nbflow.exceptions import StoreFullError
from nbflow.store import EventStore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")

# Writes until files may grow no more, as on a full disk, then goes on with a little; tells how many commits held.
FILL = """
import resource, signal, sys
from nbflow.core.events import WorkflowExecutionStarted
from nbflow.core.payloads import Payload
from nbflow.exceptions import StoreFullError
from nbflow.store import Batch, EventStore

def started(number, size):
    payload = Payload('["' + "x" * size + '"]')
    event = WorkflowExecutionStarted(event_id=1, event_time=number, workflow_type="t", workflow_id="w", input=payload)
    return Batch(events=[(f"run-{number:06}", "w", event, False)])

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[2])
if limit < 100_000:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
store = EventStore.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
held = 0
try:
    while True:
        store.commit(started(held, 20_000))
        held += 1
except StoreFullError as error:
    print(held, error, flush=True)
try:
    store.close()
except StoreFullError as error:
    print("close:", error, flush=True)
"""


def fill(path, limit):
    """Run the writer; return what it printed."""
    return subprocess.run(
        [sys.executable, "-c", FILL, str(path), str(limit)], capture_output=True, text=True, check=False, timeout=60
    )


def test_what_was_committed_before_the_disk_was_full_is_there(tmp_path):
    """The failing commit raises, says what to do, and leaves nothing; all before it are in the store."""
    path = tmp_path / "s.duckdb"
    done = fill(path, 1_500_000)
    held, said = done.stdout.split(" ", 1)
    assert "no space is left for the store" in said and "Free some space on that disk" in said
    with EventStore.open(path) as store:
        assert store.reader().counts().events == int(held) > 20
        store.sql("CREATE TABLE writable AS SELECT 1", write=True)


def test_a_store_that_can_not_be_made_leaves_no_file(tmp_path):
    """On a full disk the creation fails as a full disk, with nothing half-made."""
    done = fill(tmp_path / "s.duckdb", 4096)
    assert "StoreFullError" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """Mount three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_space_makes_a_full_store_work_again(small_disk, story):
    """On a real small disk: full, read again, more space, checkpointed, complete."""
    path = small_disk / "s.duckdb"
    store, held = EventStore.open(path), 0
    with pytest.raises(StoreFullError):
        while True:
            one = story(f"w{held}").started(memo=None, summary="x" * 30_000)
            store.commit(one.batch)
            held += 1
    assert store.reader().counts().events == held
    with pytest.raises(StoreFullError):
        store.close()
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    with EventStore.open(path) as again:
        assert again.reader().counts().events == held > 20
        again.commit(story("after").started().batch)
    assert list(small_disk.iterdir()) == [path]


def test_a_file_system_that_is_read_only(small_disk, story):
    """Such a store can be read; writing says what to do, and nothing is made."""
    path = small_disk / "s.duckdb"
    with EventStore.open(path) as store:
        store.commit(story().started().batch)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for name in ("s.duckdb", "new.duckdb"):
        with pytest.raises(Exception, match=r"can't be written; make the file and its folder writable"):
            EventStore.open(small_disk / name)
    with EventStore.open(path, read_only=True) as store:
        assert store.reader().counts().events == 1
    assert list(small_disk.iterdir()) == [path]
