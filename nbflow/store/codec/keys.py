"""Keys that sign pickles, so that a store from elsewhere can't run code here by being read.

A user has one key, made when first needed, in a file that only they can read. Keys of others
whose stores are trusted lie beside it. ``NBFLOW_KEY`` replaces the user's own.
"""

from __future__ import annotations

import hmac
import os
import secrets
import sys
from functools import cache
from pathlib import Path

from nbflow.exceptions import PayloadError

__all__ = ["Keyring", "data_folder", "user_keyring"]

_PURPOSE = b"nbflow pickle 1\0"


class Keyring:
    """One key to sign with, and all keys whose signatures hold.

    Parameters
    ----------
    key
        Signs.
    trusted
        Further keys that are believed.
    """

    def __init__(self, key: bytes, trusted: tuple[bytes, ...] = ()) -> None:
        self._key = key
        self._believed = (key, *trusted)

    def sign(self, data: bytes) -> str:
        """Return the signature of ``data``, in hex."""
        return _signature(self._key, data)

    def verify(self, data: bytes, signature: str) -> bool:
        """Tell whether a key of this ring made the signature."""
        return any(hmac.compare_digest(_signature(key, data), signature) for key in self._believed)


def _signature(key: bytes, data: bytes) -> str:
    digest = hmac.new(key, _PURPOSE, "sha256")
    digest.update(data)
    return digest.hexdigest()


def data_folder() -> Path:
    """Return the folder of this user's nbflow data."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming") / "nbflow"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "nbflow"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "nbflow"


def user_keyring() -> Keyring:
    """Return this user's keyring, making the key when there is none.

    Raises
    ------
    PayloadError
        When the key can neither be read nor made.
    """
    return _keyring(os.environ.get("NBFLOW_KEY"), data_folder())


@cache
def _keyring(given: str | None, folder: Path) -> Keyring:
    try:
        key = given.strip().encode() if given else _read_or_make(folder / "key")
        trusted = tuple(file.read_bytes().strip() for file in sorted(folder.glob("trusted/*")) if file.is_file())
    except OSError as error:
        msg = (
            f"a value needs a signed pickle, and the key {folder / 'key'} can't be read or made ({error.strerror}); "
            f"make the folder writable, or set NBFLOW_KEY to a secret text"
        )
        raise PayloadError(msg) from error
    return Keyring(key, trusted)


def _read_or_make(file: Path) -> bytes:
    try:
        return file.read_bytes().strip()
    except FileNotFoundError:
        pass
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"key.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(secrets.token_hex(32).encode())
    try:
        # unlike a rename, a link fails when another process was faster, so all end up with one key
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return file.read_bytes().strip()
