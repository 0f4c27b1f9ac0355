"""Large values: stored beside the events, once, by their content hash."""

from __future__ import annotations

import hashlib
import json

import pytest

from nbflow.core.payloads import Payload
from nbflow.exceptions import PayloadError, StoreCorruptedError
from nbflow.store.codec import BLOB_THRESHOLD, Codec

LARGE = [
    "x" * (BLOB_THRESHOLD + 1),
    "é" * BLOB_THRESHOLD,
    "\ud800" * BLOB_THRESHOLD,
    b"x" * (BLOB_THRESHOLD + 1),
    list(range(100_000)),
    {"rows": [{"a": i, "b": (i,)} for i in range(20_000)]},
    [1, "y" * (BLOB_THRESHOLD + 1), {"deep": "z" * (BLOB_THRESHOLD + 1)}],
]


@pytest.mark.parametrize("value", LARGE, ids=lambda value: type(value).__name__)
def test_large_values_come_back_the_same(round_trip, same, value):
    """By way of blobs, whatever they are made of."""
    assert all(same(value, found) for found in round_trip(value))


@pytest.mark.parametrize("value", LARGE, ids=lambda value: type(value).__name__)
def test_large_values_leave_only_a_reference_in_the_payload(codec, value):
    """The text is short, and every blob bears the name of its content."""
    payload = codec.encode(value)
    assert len(payload.text) < 1000
    for blob in payload.blobs:
        assert blob.sha256 == hashlib.sha256(blob.data).hexdigest()
        assert blob.sha256 in payload.text or any(blob.sha256.encode() in other.data for other in payload.blobs)


@pytest.mark.parametrize("value", ["x" * (BLOB_THRESHOLD - 2), b"x" * 100_000, list(range(20_000))])
def test_values_up_to_the_threshold_stay_in_the_event(codec, value):
    """No blob for what fits."""
    assert codec.encode(value).blobs == ()


def test_one_large_argument_does_not_hide_the_others(codec):
    """Of several arguments only the large one goes aside; SQL still reads the rest."""
    payload = codec.encode(["Oslo", "x" * (BLOB_THRESHOLD + 1), 7])
    tree = json.loads(payload.text)
    assert (tree[0], tree[2], tree[1]["$nbflow"], tree[1]["size"]) == ("Oslo", 7, "str", BLOB_THRESHOLD + 1)
    (blob,) = payload.blobs
    assert blob.encoding == "text"


def test_the_same_content_has_one_name(codec):
    """Equal values share their blob."""
    value = b"x" * (BLOB_THRESHOLD + 1)
    assert len(codec.encode([value, value]).blobs) == 1
    assert codec.encode(value).blobs[0].sha256 == codec.encode([value]).blobs[0].sha256


def test_values_travel_through_a_store(store, story):
    """Encoded, committed, read back by another codec over the store's reader."""
    value = [b"x" * (BLOB_THRESHOLD + 1), list(range(100_000))]
    store.commit(story().started(input=Codec(key=b"k").encode(value)).batch)
    reader = store.reader()
    (event,) = reader.histories(["run-of-w"])["run-of-w"]
    assert Codec(reader.blob).decode(event.input) == value


def test_a_blob_that_is_missing_is_a_damaged_store(store):
    """The reader's error passes through."""
    payload = Payload('{"$nbflow":"bytes","sha256":"abc","size":1}')
    with pytest.raises(StoreCorruptedError, match="value abc is missing"):
        Codec(store.reader().blob).decode(payload)


def test_a_codec_without_a_store_says_so():
    """A blob can't come out of nowhere."""
    with pytest.raises(PayloadError, match="has none to read it from"):
        Codec().decode(Payload('{"$nbflow":"bytes","sha256":"abc","size":1}'))
