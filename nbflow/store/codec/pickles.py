"""The last resort: signed pickles.

A pickle runs code when it is loaded, so one is loaded only when a key of this user signed it.
"""

from __future__ import annotations

import io
import pickle
from types import BuiltinFunctionType, FunctionType
from typing import Any

from nbflow.exceptions import PayloadError, UntrustedPayloadError
from nbflow.store.codec.classes import ClassResolver, name_of_class
from nbflow.store.codec.keys import data_folder
from nbflow.store.codec.kinds import Packing, Tree, Unpacking, tagged

__all__ = ["READERS", "write"]

# fixed, so that equal values get equal payloads under every Python
_PROTOCOL = 5


def write(packing: Packing, value: Any, path: str) -> Tree:
    """Pickle and sign a value.

    Raises
    ------
    PayloadError
        When it can't be pickled.
    """
    if isinstance(value, FunctionType | BuiltinFunctionType | type) and value.__module__ == "__main__":
        msg = (
            f"{path} is {value.__qualname__}, a function or class of this notebook, which can't be stored as a value: "
            f"after a restart it would not be there; call it inside the function, or move it to a module"
        )
        raise PayloadError(msg)
    try:
        data = pickle.dumps(value, protocol=_PROTOCOL)
    except Exception as error:
        msg = (
            f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which can't be stored ({error}); "
            f"pass plain data (numbers, text, lists, dicts, dataclasses, DataFrames, arrays) or a path to a file, "
            f"and open connections, locks and the like inside the activity"
        )
        raise PayloadError(msg) from error
    name = name_of_class(type(value))
    return tagged("pickle", **{"class": name}, signature=packing.keys().sign(data), **packing.binary("pickle", data))


def read(unpacking: Unpacking, tree: Tree) -> Any:
    """Load a pickle that is signed with a trusted key.

    Raises
    ------
    UntrustedPayloadError
        When it is not.
    PayloadError
        When it can't be loaded here.
    """
    data, name = unpacking.binary(tree), tree.get("class", "unknown")
    if not unpacking.keys().verify(data, str(tree.get("signature", ""))):
        folder = data_folder()
        msg = (
            f"the store holds a pickled {name} that was not signed with your key, and loading it could run any code. "
            f"If you trust who wrote it, ask for their key (their file {folder / 'key'}) and save it as "
            f"{folder / 'trusted' / 'NAME'}, or set NBFLOW_KEY to it, and restart the kernel"
        )
        raise UntrustedPayloadError(msg)
    try:
        return _Unpickler(data, unpacking.classes).load()
    except PayloadError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        msg = f"a pickled {name} can't be loaded here ({why}); install or import what it needs, then try again"
        raise PayloadError(msg) from error


class _Unpickler(pickle.Unpickler):
    """Finds classes of notebooks as the rest of the codec does."""

    def __init__(self, data: bytes, classes: ClassResolver) -> None:
        super().__init__(io.BytesIO(data))
        self._classes = classes

    def find_class(self, module: str, name: str) -> Any:
        return self._classes.lookup(module, name) if module == "__main__" else super().find_class(module, name)


READERS = {"pickle": read}
