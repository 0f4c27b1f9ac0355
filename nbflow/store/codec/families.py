"""Values of data libraries: their modules load when the first such value shows up.

A kind with a dot in its name, such as ``pandas.DataFrame``, belongs to one of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nbflow.exceptions import PayloadError
from nbflow.store.codec.kinds import Reader, Writer

__all__ = ["family_reader", "family_writer"]

_MODULES = {
    "numpy": "nbflow.store.codec.numpy_values",
    "pandas": "nbflow.store.codec.pandas_values",
    "polars": "nbflow.store.codec.polars_values",
    "pyarrow": "nbflow.store.codec.arrow_values",
}


def family_writer(kind: type) -> Writer | None:
    """Return what writes values of a data library's class, if we know it."""
    library = kind.__module__.partition(".")[0]
    if library not in _MODULES:
        return None
    module: Any = import_module(_MODULES[library])
    writer: Writer | None = module.writer_for(kind)
    return writer


def family_reader(kind: Any) -> Reader | None:
    """Return what reads a data library's kind, if we know it.

    Raises
    ------
    PayloadError
        When the library is not installed.
    """
    library, dot, _ = str(kind).partition(".")
    if not dot or library not in _MODULES:
        return None
    try:
        module: Any = import_module(_MODULES[library])
    except ImportError as error:
        msg = f"a recorded value is a {kind}, and {error.name} is not installed here: pip install {error.name}"
        raise PayloadError(msg) from error
    reader: Reader | None = module.READERS.get(kind)
    return reader
