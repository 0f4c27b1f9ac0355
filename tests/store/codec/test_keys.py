"""Signed pickles: only what a trusted key signed is loaded."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections import defaultdict

import pytest

from nbflow.core.payloads import Payload
from nbflow.exceptions import PayloadError, UntrustedPayloadError
from nbflow.store.codec import Codec, Keyring, keys


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Give the user a home of their own."""
    monkeypatch.setattr(keys, "data_folder", lambda: tmp_path / "nbflow")
    monkeypatch.setattr("nbflow.store.codec.pickles.data_folder", lambda: tmp_path / "nbflow")
    keys._keyring.cache_clear()
    yield tmp_path / "nbflow"
    keys._keyring.cache_clear()


VALUE = defaultdict(list, a=[1])


def test_a_pickle_of_ours_is_loaded(home):
    """Another codec of the same user reads it."""
    assert Codec().decode(Codec().encode(VALUE)) == VALUE


def test_the_key_is_made_once_and_for_its_owner_only(home):
    """Made when first needed, 64 hex digits, readable by nobody else."""
    Codec().encode([1, {"a": (2,)}])
    assert not home.exists()
    Codec().encode(VALUE)
    first = (home / "key").read_bytes()
    keys._keyring.cache_clear()
    Codec().encode(VALUE)
    assert (home / "key").read_bytes() == first and len(bytes.fromhex(first.decode())) == 32
    assert os.name != "posix" or stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    assert [file.name for file in home.iterdir()] == ["key"]


def test_a_pickle_of_someone_else_is_refused(home):
    """The error says what it is, why, and how to trust its author."""
    payload = Codec(key=b"theirs").encode(VALUE)
    with pytest.raises(UntrustedPayloadError) as caught:
        Codec().decode(payload)
    for said in ("collections:defaultdict", "not signed with your key", str(home / "trusted" / "NAME"), "NBFLOW_KEY"):
        assert said in str(caught.value)


def test_a_key_beside_ours_is_trusted(home):
    """Putting an author's key into the folder is all it takes."""
    payload = Codec(key=b"theirs").encode(VALUE)
    (home / "trusted").mkdir(parents=True)
    (home / "trusted" / "ada").write_bytes(b"theirs\n")
    assert Codec().decode(payload) == VALUE


def test_the_environment_may_give_the_key(home, monkeypatch):
    """NBFLOW_KEY replaces the file."""
    monkeypatch.setenv("NBFLOW_KEY", "from the environment")
    payload = Codec().encode(VALUE)
    assert not home.exists()
    assert Codec(key=b"from the environment").decode(payload) == VALUE


def test_a_changed_pickle_is_refused(codec):
    """Signature and content belong together."""
    tree = codec.encode(VALUE).tree
    other = codec.encode(defaultdict(list, b=[2])).tree
    for changed in ({**tree, "base64": other["base64"]}, {**tree, "signature": ""}, {**tree, "signature": "0" * 64}):
        with pytest.raises(UntrustedPayloadError):
            codec.decode(Payload.of_tree(changed))


def test_nothing_of_an_untrusted_pickle_runs(codec, tmp_path):
    """The refusal comes before the first opcode."""
    target = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(target),))

    Evil.__qualname__ = "Evil"
    with pytest.raises(UntrustedPayloadError):
        codec.decode(Codec(key=b"theirs").encode(Evil()))
    assert not target.exists()


def test_a_key_that_can_not_be_made_is_told(home):
    """Where nothing can be written, the environment is the way."""
    home.write_text("a file where the folder belongs")
    with pytest.raises(PayloadError, match="set NBFLOW_KEY to a secret text"):
        Codec().encode(VALUE)


def test_many_processes_make_one_key(home):
    """Whoever is first makes it; all the others take that one."""
    code = f"""
import pathlib, sys
from nbflow.store.codec import keys
keys.data_folder = lambda: pathlib.Path({str(home)!r})
print(keys.user_keyring().sign(b"x"))
"""
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(4)]
    assert len({process.communicate()[0] for process in running}) == 1


def test_a_pickle_that_can_not_be_loaded_is_told(codec):
    """A missing module is named."""
    import types

    module = types.ModuleType("soon_gone")
    exec("class Thing: ...", module.__dict__)
    module.Thing.__module__ = "soon_gone"
    sys.modules["soon_gone"] = module
    payload = codec.encode(module.Thing())
    del sys.modules["soon_gone"]
    with pytest.raises(PayloadError, match=r"soon_gone:Thing can't be loaded here \(ModuleNotFoundError"):
        codec.decode(payload)


def test_signatures_depend_on_key_and_data():
    """Two keys or two contents never share one."""
    one, other = Keyring(b"1"), Keyring(b"2", (b"1",))
    assert one.sign(b"x") != other.sign(b"x") != other.sign(b"y")
    assert other.verify(b"x", one.sign(b"x")) and not one.verify(b"x", other.sign(b"x"))
