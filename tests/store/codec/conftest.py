"""A codec to test, and what it means that a value comes back the same."""

from __future__ import annotations

import json
from collections import deque
from decimal import Decimal

import pytest

from nbflow.core.payloads import Payload
from nbflow.store.codec import Codec


def identical(one, other):
    """Tell whether two values are equal, of the same types all the way down, nan being equal to nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=False)
        return len(one) == len(other) and all(identical(*pair) for pair in pairs)
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(identical, one, other))
    if isinstance(one, set | frozenset):
        return sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, float | complex | Decimal):
        # tells nan from nothing else, and -0 from 0
        return repr(one) == repr(other)
    return bool(one == other)


class RoundTrip:
    """Encodes a value and decodes it every way there is: as written, as text read, as a tree read."""

    def __init__(self, codec):
        self.codec = codec

    def __call__(self, value):
        payload = self.codec.encode(value)
        blobs = {blob.sha256: (blob.encoding, blob.data) for blob in payload.blobs}
        elsewhere = Codec(blobs.__getitem__, b"a key", resolve_class=self.codec.resolve_class)
        tree = json.loads(payload.text)
        before = json.dumps(tree)
        results = [
            self.codec.decode(payload),
            elsewhere.decode(Payload(payload.text)),
            elsewhere.decode(Payload.of_tree(tree)),
        ]
        assert json.dumps(tree) == before, "decoding changed the shared tree"
        return results


@pytest.fixture
def codec():
    return Codec(key=b"a key")


@pytest.fixture
def round_trip(codec):
    return RoundTrip(codec)


@pytest.fixture
def same():
    return identical


@pytest.fixture
def tree_of(codec):
    """Give the JSON that a value becomes."""
    return lambda value: json.loads(codec.encode(value).text)
