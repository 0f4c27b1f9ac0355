"""Values to payloads and back: JSON where it can be, tagged where it must be, signed pickle at last."""

from __future__ import annotations

from nbflow.store.codec.codec import BLOB_THRESHOLD, Codec
from nbflow.store.codec.keys import Keyring, user_keyring

__all__ = ["BLOB_THRESHOLD", "Codec", "Keyring", "user_keyring"]
