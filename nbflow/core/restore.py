"""A function rebuilt from its stored definition: in a new process, before any cell has run."""

from __future__ import annotations
import __future__

import ast
import importlib
import json
import linecache
import sys
from collections.abc import Callable
from typing import Any

from nbflow.core.definitions import FACTORIES, REGISTRY, Definition, DefinitionKind
from nbflow.exceptions import MissingDefinitionError

__all__ = ["restore_definition"]

_MARKS = {"workflow", "activity", "transaction"}

Lookup = Callable[[DefinitionKind, str], Definition | None]


def restore_definition(  # noqa: PLR0917  the fields of a stored definition, in their order
    kind: DefinitionKind, name: str, hash_: str, source: str, manifest: str, lookup: Lookup
) -> Definition:
    """Rebuild a definition.

    Parameters
    ----------
    kind, name, hash_, source, manifest
        As :class:`~nbflow.core.definitions.Definition` has them.
    lookup
        Finds the definitions of other workflows and activities that it uses.

    Returns
    -------
    Definition
        With a function that runs.

    Raises
    ------
    MissingDefinitionError
        When it can't be rebuilt; says what is missing.
    """
    tree = json.loads(manifest or "{}")
    what = f"{kind} {name}"
    found = _imported(tree, kind, name, what)
    if isinstance(found, Definition) and found.hash == hash_:
        return found
    if "globals" in tree:
        namespace = _namespace(tree, lookup, what)
        function = _execute_function(source, namespace, f"<nbflow {name} {hash_[:12]}>", what)
        bindings = {key: namespace[key] for key in tree["globals"] if key in namespace}
    else:
        function, bindings = _function_of(found, tree, what), {}
    return Definition(
        kind=kind,
        name=name,
        function=function,
        hash=hash_,
        source=source,
        manifest=manifest,
        bindings=bindings,
        options=tree.get("options") or {},
    )


def _imported(tree: dict[str, Any], kind: DefinitionKind, name: str, what: str) -> Any:
    """Look a function of an importable module up: its definition as it is there now, or what else is there."""
    module, qualname = str(tree.get("module") or "__main__"), str(tree.get("qualname"))
    if module == "__main__" or "<locals>" in qualname:
        return None
    try:
        with REGISTRY.capturing() as captured:
            found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception as error:
        if "globals" in tree:
            return None  # it can be rebuilt without
        msg = f"{what} can't be rebuilt: {module}.{qualname} is not to be had here ({type(error).__name__}: {error})"
        raise MissingDefinitionError(msg) from error
    if hasattr(found, "definition"):
        return found.definition()
    current = captured.get((kind, name))
    return found if current is None else current()


def _function_of(found: Any, tree: dict[str, Any], what: str) -> Callable[..., Any]:
    function = found.function if isinstance(found, Definition) else found
    if not callable(function):
        msg = f"{what} can't be rebuilt: {tree.get('module')}.{tree.get('qualname')} is no function any more"
        raise MissingDefinitionError(msg)
    return function


class _Namespace(dict[str, Any]):
    """Globals of rebuilt code; a name that was not stored says so when it is used."""

    def __init__(self, module: str, missing: dict[str, str], what: str) -> None:
        super().__init__(__name__=module, __builtins__=__builtins__)
        self._missing_names = missing
        self._what = what

    def __missing__(self, name: str) -> Any:
        if name in self._missing_names:
            module = sys.modules.get(str(self["__name__"]))
            if module is not None and module.__name__ != "__main__" and name in vars(module):
                return vars(module)[name]  # what could not be stored of a module is in the module
            msg = (
                f"{self._what} uses {name!r}, a {self._missing_names[name]} that could not be stored with it; "
                f"run the notebook's definition cells, or make it a plain value, an import or a function"
            )
            raise MissingDefinitionError(msg)
        raise KeyError(name)


def _namespace(tree: dict[str, Any], lookup: Lookup, what: str) -> dict[str, Any]:
    entries: dict[str, dict[str, Any]] = tree["globals"]
    missing = {name: entry["missing"] for name, entry in entries.items() if "missing" in entry}
    namespace = _Namespace(str(tree.get("module") or "__main__"), missing, what)
    for name, entry in entries.items():
        if "import" in entry:
            namespace[name] = _module(entry["import"], what)
        elif "from" in entry:
            namespace[name] = _import_object(entry["from"], entry["name"], what)
        elif "value" in entry:
            value = ast.literal_eval(entry["value"])
            namespace[name] = frozenset(value) if entry.get("frozen") else value
        elif "source" in entry:
            _execute(entry["source"], namespace, f"<nbflow {name} of {what}>")
            namespace[name] = namespace[entry["name"]]
        elif "definition" in entry:
            found = lookup(*entry["definition"])
            if found is None:
                missing[name] = f"definition ({entry['definition'][0]} {entry['definition'][1]!r})"
            else:
                namespace[name] = FACTORIES[found.kind](found, entry)
    return namespace


def _module(name: str, what: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"{what} can't be rebuilt: it imports {name!r}, which is not installed here"
        raise MissingDefinitionError(msg) from error


def _import_object(module: str, qualname: str, what: str) -> Any:
    found = _module(module, what)
    for part in qualname.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            msg = f"{what} can't be rebuilt: {module} has no {qualname!r} any more"
            raise MissingDefinitionError(msg) from error
    return found


def _execute(source: str, namespace: dict[str, Any], filename: str) -> None:
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    code = compile(source, filename, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    exec(code, namespace)  # noqa: S102  the user's own code, from the user's own store


def _execute_function(source: str, namespace: dict[str, Any], filename: str, what: str) -> Callable[..., Any]:
    """Execute a definition's source without the mark above it, so that the plain function comes out."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        msg = f"{what} can't be rebuilt: its stored source does not parse ({error})"
        raise MissingDefinitionError(msg) from error
    target = next((node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))), None)
    if target is None:
        msg = f"{what} can't be rebuilt: its source was not stored, because Python did not know it"
        raise MissingDefinitionError(msg)
    marks = [index for index, decorator in enumerate(target.decorator_list) if _is_mark(decorator)]
    target.decorator_list = target.decorator_list[marks[-1] + 1 :] if marks else target.decorator_list
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    code = compile(tree, filename, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    exec(code, namespace)  # noqa: S102  the user's own code, from the user's own store
    return namespace[target.name]  # type: ignore[no-any-return]


def _is_mark(decorator: ast.expr) -> bool:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in _MARKS
