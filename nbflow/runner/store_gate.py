"""Waiting for the store of a run whose runner was killed: its kernel lives on for about a second and still holds it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

PATIENCE = 5.0
"""Seconds to wait; whoever holds the store longer is no orphan, and the notebook's own error will name it."""

# in a process of its own: closing a file drops all locks that this process may have on it
_PROBE = """
import fcntl, os, sys, time
handle = os.open(sys.argv[1], os.O_RDWR)
end = time.monotonic() + float(sys.argv[2])
while True:
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sys.exit(0)
    except OSError:
        if time.monotonic() > end:
            sys.exit(75)
    time.sleep(0.05)
"""


def _may_be_held(store: str) -> bool:
    # a store that was closed in order has no log beside it
    return Path(store).is_file() and Path(f"{store}.wal").exists()


async def wait_until_free(store: str, patience: float = PATIENCE) -> bool:
    """Wait while another process holds a store.

    Parameters
    ----------
    store
        Path of the event log.
    patience
        Seconds to wait at most.

    Returns
    -------
    bool
        False if it is still held.
    """
    if os.name != "posix" or not _may_be_held(store):
        return True
    probe = await asyncio.create_subprocess_exec(sys.executable, "-ISc", _PROBE, store, str(patience))
    try:
        return await probe.wait() != 75
    finally:
        if probe.returncode is None:
            probe.kill()
            await probe.wait()
