"""Large values read from the store by whichever thread decodes them, each with a cursor of its own."""

from __future__ import annotations

import threading

from nbflow.store import EventStore, Reader

__all__ = ["BlobReader"]


class BlobReader:
    """Fetches large values by their hash, from any thread.

    Parameters
    ----------
    store
        Where they are.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._local = threading.local()

    def __call__(self, sha256: str) -> tuple[str, bytes]:
        """Return encoding and bytes of one value."""
        reader: Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = self._store.reader()
        return reader.blob(sha256)
