"""Encoded values as Temporal's payloads, and back.

======================  ============================================================================
metadata ``encoding``   the value
======================  ============================================================================
``json/plain``          JSON's own types, as every Temporal SDK writes them
``binary/null``         None
``json/nbflow``         JSON with nbflow's tags (``{"$nbflow": ...}``) in it; blobs stand inside it as base64
======================  ============================================================================

What comes with another encoding (encrypted, protobuf, other SDKs' own) is kept whole under the key
``temporal_payload``, so that it goes out again as it came.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from nbflow.core.payloads import Blob, Payload
from nbflow.store.codec import BLOB_THRESHOLD, Codec
from nbflow.store.codec.kinds import TAG

__all__ = ["KEYWORDS_ROLE", "LoadBlob", "Tree", "from_payload", "payload_of_tree", "to_payload", "whole_tree"]

Tree: TypeAlias = Any
LoadBlob: TypeAlias = Callable[[str], tuple[str, bytes]]
"""Fetches a stored value's encoding and bytes by its hash."""

FOREIGN = "temporal_payload"
KEYWORDS_ROLE = "keywords"
"""``nbflow-role`` of the payload that holds keyword-only arguments, after the positional ones."""

_TAG_TEXT = f'"{TAG}"'
_PLAIN, _NULL, _OWN, _BYTES = "json/plain", "binary/null", "json/nbflow", "binary/plain"


def whole_tree(tree: Tree, load_blob: LoadBlob | None) -> Tree:
    """Return a value's JSON tree with its blobs inside it.

    Parameters
    ----------
    tree
        As the log has it.
    load_blob
        Fetches blobs; without it they are left outside.

    Returns
    -------
    object
        JSON.
    """
    if load_blob is None:
        return tree
    if isinstance(tree, list):
        return [whole_tree(item, load_blob) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if TAG in tree and "sha256" in tree and "base64" not in tree:
        data = load_blob(tree["sha256"])[1]
        if tree[TAG] == "json":
            return whole_tree(json.loads(data), load_blob)
        outside = {key: item for key, item in tree.items() if key not in ("sha256", "size")}
        return {**outside, "base64": b64encode(data).decode("ascii")}
    return {key: whole_tree(item, load_blob) for key, item in tree.items()}


def payload_of_tree(tree: Tree) -> Payload:
    """Make a payload of a JSON tree that has everything inside it; a large one becomes a blob."""
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
    if len(text) <= BLOB_THRESHOLD:
        return Payload.of_tree(tree)
    data = text.encode()
    digest = sha256(data).hexdigest()
    outer = json.dumps({TAG: "json", "sha256": digest, "size": len(data)}, separators=(",", ":"))
    return Payload(outer, (Blob(digest, "json", data),))


def to_payload(tree: Tree, role: str | None = None) -> dict[str, Any]:
    """Write one value as Temporal's payload JSON.

    Parameters
    ----------
    tree
        Its JSON tree, blobs inside.
    role
        What it is, beside an argument.

    Returns
    -------
    dict
        ``{"metadata": ..., "data": ...}``, both base64 as protobuf's JSON has bytes.
    """
    if isinstance(tree, dict) and set(tree) == {FOREIGN}:
        held = tree[FOREIGN]
        return {"metadata": _encoded_metadata(held["metadata"]), "data": held["data"]}
    if tree is None and role is None:
        return {"metadata": _encoded_metadata({"encoding": _NULL})}
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
    metadata = {"encoding": _OWN if _TAG_TEXT in text or role else _PLAIN}
    if role:
        metadata["nbflow-role"] = role
    return {"metadata": _encoded_metadata(metadata), "data": b64encode(text.encode()).decode("ascii")}


def from_payload(payload: Mapping[str, Any]) -> Tree:
    """Read one value's JSON tree from Temporal's payload JSON; a payload of a foreign encoding stays one."""
    metadata = metadata_of(payload)
    encoding = metadata.pop("encoding", "")
    metadata.pop("nbflow-role", None)
    data = str(payload.get("data") or "")
    if encoding == _NULL and not metadata:
        return None
    if encoding in (_PLAIN, _OWN) and set(metadata) <= {"type"}:
        try:
            text = b64decode(data).decode()
            tree = json.loads(text)
        except ValueError:
            return {FOREIGN: {"metadata": {"encoding": encoding, **metadata}, "data": data}}
        if encoding == _PLAIN and _TAG_TEXT in text:
            return Codec().encode(tree).tree  # somebody else's value that looks like a tag of ours
        return tree
    if encoding == _BYTES and not metadata:
        return Codec().encode(b64decode(data)).tree
    return {FOREIGN: {"metadata": {"encoding": encoding, **metadata}, "data": data}}


def metadata_of(payload: Mapping[str, Any]) -> dict[str, str]:
    """Return a payload's metadata as text."""
    return {key: _text(value) for key, value in (payload.get("metadata") or {}).items()}


def _text(value: str) -> str:
    return b64decode(value).decode("utf-8", "replace")


def _encoded_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: b64encode(value.encode()).decode("ascii") for key, value in metadata.items()}


def payloads_in(tree: Mapping[str, Any] | Sequence[Any] | None) -> list[Mapping[str, Any]]:
    """Return the payloads of ``{"payloads": [...]}``, or of a bare list."""
    if tree is None:
        return []
    return list(tree.get("payloads") or []) if isinstance(tree, Mapping) else list(tree)
