"""Classes by name: how a recorded value finds its class again."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import reduce
from typing import Any

from nbflow.exceptions import PayloadError

__all__ = ["ClassResolver", "name_of_class"]


def name_of_class(cls: type) -> str:
    """Return ``module:qualname``."""
    return f"{cls.__module__}:{cls.__qualname__}"


class ClassResolver:
    """Finds classes by module and qualified name.

    Parameters
    ----------
    hook
        Asked for classes that their module does not have, e.g. those of notebook cells that
        have not run again yet.
    """

    def __init__(self, hook: Callable[[str, str], type | None] | None = None) -> None:
        self.hook = hook

    def checked_name(self, cls: type, path: str) -> str:
        """Return the name of a class that can be found again.

        Raises
        ------
        PayloadError
            When the class is local to a function.
        """
        if "<locals>" in cls.__qualname__:
            msg = (
                f"{path} is a {cls.__qualname__}, a class defined inside a function, which can't be found again "
                f"when the value is read; define the class at the top level of a cell or module"
            )
            raise PayloadError(msg)
        return name_of_class(cls)

    def find(self, name: str, base: Callable[[type], bool]) -> type:
        """Return the class of a recorded name.

        Parameters
        ----------
        name
            ``module:qualname``.
        base
            Says whether a class is of the kind that the record speaks of: a store may not name others.

        Raises
        ------
        PayloadError
            When it is not defined here, or is of another kind.
        """
        module, _, qualname = name.partition(":")
        found = self.lookup(module, qualname)
        if not isinstance(found, type) or not base(found):
            msg = (
                f"a recorded value is of class {name}, which is something else now; put the class back, then try again"
            )
            raise PayloadError(msg)
        return found

    def lookup(self, module: str, qualname: str) -> Any:
        """Return what a module calls by this name.

        Raises
        ------
        PayloadError
            When there is no such thing.
        """
        try:
            owner = sys.modules.get(module) or importlib.import_module(module)
            return reduce(getattr, qualname.split("."), owner)
        except (ImportError, AttributeError) as error:
            found = self.hook(module, qualname) if self.hook else None
            if found is not None:
                return found
            where = "run the cell that defines it" if module == "__main__" else f"make it importable ({error})"
            msg = f"a recorded value is of class {qualname} of {module}, which is not here; {where}, then try again"
            raise PayloadError(msg) from None
