"""Types of parameters: what an annotation, or a default, of the parameters cell says about its values."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Expected:
    """A type to hold values against.

    Parameters
    ----------
    name
        Its bare name: ``int``, ``list``, ``Union``; empty when anything goes.
    source
        As the notebook writes it.
    members
        Its type arguments.
    choices
        The values that a ``Literal`` allows.
    """

    name: str
    source: str
    members: tuple[Expected, ...] = ()
    choices: tuple[Any, ...] = ()


ANYTHING = Expected("", "anything")

_ALIASES = {
    **dict.fromkeys(("List", "Sequence", "Iterable", "MutableSequence", "Collection"), "list"),
    **dict.fromkeys(("Dict", "Mapping", "MutableMapping"), "dict"),
    **dict.fromkeys(("Set", "AbstractSet"), "set"),
    **dict.fromkeys(("PurePath", "PosixPath"), "Path"),
    "FrozenSet": "frozenset",
    "Tuple": "tuple",
    "NoneType": "None",
}
_TRANSPARENT = {"Annotated", "Final", "ClassVar", "Required", "NotRequired"}


def of_annotation(node: ast.expr) -> Expected:
    """Return the type that an annotation's syntax stands for; `ANYTHING`-like if it is none of those known."""
    source = ast.unparse(node)
    match node:
        case ast.Constant(value=None):
            return Expected("None", "None")
        case ast.Constant(value=str(text)):
            return _of_text(text)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union((of_annotation(left), of_annotation(right)), source)
        case ast.Name() | ast.Attribute():
            return Expected(_bare(source), source)
        case ast.Subscript(value=head, slice=inner):
            return _subscript(_bare(ast.unparse(head)), inner, source)
        case _:
            return Expected("", source)


def of_default(value: Any) -> Expected:
    """Return the type that an unannotated default suggests: numbers mix, None says nothing."""
    if isinstance(value, bool):
        return Expected("bool", "bool")
    if isinstance(value, int):
        return Expected("Union", "number", (Expected("int", "int"), Expected("float", "float")))
    if isinstance(value, float | str | list | dict | tuple | set):
        return Expected(type(value).__name__, type(value).__name__)
    return ANYTHING


def _bare(dotted: str) -> str:
    last = dotted.rsplit(".", 1)[-1]
    return _ALIASES.get(last, last)


def _of_text(text: str) -> Expected:
    try:
        return of_annotation(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return Expected("", text)


def _union(members: tuple[Expected, ...], source: str) -> Expected:
    flat: list[Expected] = []
    for member in members:
        flat.extend(member.members if member.name == "Union" else (member,))
    return Expected("Union", source, tuple(flat))


def _subscript(name: str, inner: ast.expr, source: str) -> Expected:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        return Expected("Literal", source, choices=tuple(_literal_choices(parts)))
    members = tuple(of_annotation(part) for part in parts)
    if name in _TRANSPARENT:
        return members[0]
    if name == "Optional":
        return _union((*members, Expected("None", "None")), source)
    if name == "Union":
        return _union(members, source)
    return Expected(name, source, members)


def _literal_choices(parts: list[ast.expr]) -> list[Any]:
    choices = []
    for part in parts:
        try:
            choices.append(ast.literal_eval(part))
        except ValueError:  # an enum member: not a value that a command line can name
            continue
    return choices
