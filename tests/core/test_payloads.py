"""Payloads: JSON text or JSON tree, each made of the other when asked."""

from __future__ import annotations

from nbflow.core.payloads import Blob, JsonConverter, Payload


def test_text_and_tree_are_two_forms_of_one_value():
    """Written as text, read as tree, or the other way round."""
    written, read = Payload('{"a":[1,null]}'), Payload.of_tree({"a": [1, None]})
    assert (written.tree, read.text) == ({"a": [1, None]}, '{"a":[1,null]}')
    assert written == read
    assert hash(written) == hash(read)
    assert written != Payload("1")
    assert written != '{"a":[1,null]}'


def test_a_form_is_made_once():
    """The tree is shared between all who ask."""
    payload = Payload("[1]")
    assert not payload.is_parsed
    assert payload.tree is payload.tree
    assert payload.is_parsed


def test_a_long_payload_is_shown_short():
    """In errors and logs."""
    assert repr(Payload("[1]")) == "Payload([1])"
    assert len(repr(Payload('"' + "x" * 1000 + '"'))) < 100


def test_blobs_travel_beside():
    """The text names them by hash."""
    blob = Blob("ab" * 32, "bytes", b"data")
    assert Payload('"x"', (blob,)).blobs == (blob,)
    assert Payload.of_tree("x").blobs == ()


def test_the_plain_converter_is_json():
    """What goes in comes out."""
    converter = JsonConverter()
    for value in (None, 1, "é", [1, {"a": 2.5}], float("inf")):
        assert converter.decode(converter.encode(value)) == value
