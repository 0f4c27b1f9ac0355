"""Parameters of a notebook: what its cell tagged ``parameters`` declares, and the cell that gives it other values."""

from __future__ import annotations

import ast
import difflib
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbflow.exceptions import ConfigurationError
from nbflow.runner.parameter_types import ANYTHING, Expected, of_annotation, of_default
from nbflow.runner.parameter_values import Bound, Given, MismatchError, fit

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"


@dataclass(frozen=True)
class Declared:
    """A parameter as the notebook declares it.

    Parameters
    ----------
    name
        The variable.
    expected
        Type of its values.
    required
        True if it has no default.
    default
        Its default as a plain value, where it is a literal.
    """

    name: str
    expected: Expected
    required: bool = False
    default: Any = None


def tags_of(cell: Mapping[str, Any]) -> Sequence[str]:
    """Return a cell's tags."""
    tags = cell["metadata"].get("tags", [])
    return tags if isinstance(tags, list) else []


def find_cell(nb: Mapping[str, Any], tag: str) -> int | None:
    """Return the index of the first code cell with a tag."""
    cells = enumerate(nb["cells"])
    return next((index for index, cell in cells if cell["cell_type"] == "code" and tag in tags_of(cell)), None)


def declared_parameters(source: str) -> dict[str, Declared]:
    """Read the assignments at the top level of a parameters cell.

    Raises
    ------
    ConfigurationError
        If the cell is not Python that can be parsed.
    """
    # magics are no Python; a line of their own declares nothing
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError as error:
        raise ConfigurationError(
            f"the cell tagged {PARAMETERS_TAG!r} is not valid Python (line {error.lineno}: {error.msg})"
        ) from None
    found: dict[str, Declared] = {}
    for statement in tree.body:
        for parameter in _declared_by(statement):
            known = found.get(parameter.name)
            if known is not None and known.expected.name and not parameter.expected.name:
                parameter = Declared(parameter.name, known.expected, False, parameter.default)  # noqa: PLW2901
            found[parameter.name] = parameter
    return found


def _declared_by(statement: ast.stmt) -> list[Declared]:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            return [Declared(name, of_annotation(annotation), value is None, _literal(value))]
        case ast.Assign(targets=targets, value=value):
            default = _literal(value)
            single = [it.id for it in targets if isinstance(it, ast.Name)]
            several = [it for it in targets if isinstance(it, ast.Tuple | ast.List)]
            unpacked = [it.id for target in several for it in target.elts if isinstance(it, ast.Name)]
            return [Declared(name, of_default(default), default=default) for name in single] + [
                Declared(name, ANYTHING) for name in unpacked
            ]
        case _:
            return []


def _literal(value: ast.expr | None) -> Any:
    try:
        return None if value is None else ast.literal_eval(value)
    except (ValueError, TypeError):  # an expression: its value is known in the kernel only
        return None


def bind(
    declared: Mapping[str, Declared] | None, given: Mapping[str, Given], *, strict: bool = True
) -> dict[str, Bound]:
    """Hold given values against declared parameters.

    Parameters
    ----------
    declared
        What the parameters cell declares; None if there is no such cell.
    given
        The values, by name.
    strict
        True to refuse names that are not declared.

    Raises
    ------
    ConfigurationError
        If a name is impossible or unknown, a value has the wrong type, or a required value is missing.
    """
    problems = [problem for name in given if (problem := _name_problem(name, declared, strict))]
    bound: dict[str, Bound] = {}
    for name, value in given.items():
        expected = (declared or {}).get(name, Declared(name, ANYTHING)).expected
        try:
            bound[name] = fit(expected, value)
        except MismatchError:
            problems.append(f"parameter {name!r}: expected {expected.source}, got {_told(value)}")
    missing = [it for it in (declared or {}).values() if it.required and it.name not in given]
    problems.extend(f"parameter {it.name!r} ({it.expected.source}) has no default: give it a value" for it in missing)
    if problems:
        raise ConfigurationError("; ".join(problems))
    return bound


def _name_problem(name: str, declared: Mapping[str, Declared] | None, strict: bool) -> str | None:
    if not name.isidentifier() or keyword.iskeyword(name):
        return f"parameter {name!r}: not a name that a Python variable can have"
    if not strict or (declared is not None and name in declared):
        return None
    if declared is None:
        return (
            f"parameter {name!r}: the notebook has no cell tagged {PARAMETERS_TAG!r}; tag the cell that holds the "
            "defaults, or inject at the top with --no-strict-params"
        )
    close = difflib.get_close_matches(name, declared, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"the notebook declares {', '.join(sorted(declared)) or 'none'}"
    return f"unknown parameter {name!r}: {hint} (--no-strict-params allows it)"


def _told(given: Given) -> str:
    if given.is_text:
        return repr(given.value)
    quote = "" if isinstance(given.value, str) else f" ({type(given.value).__name__})"
    return f"{given.value!r}{quote}"


def parameterize(nb: Any, given: Mapping[str, Given], *, strict: bool = True) -> dict[str, Any]:
    """Give a notebook its parameters, in place.

    Parameters
    ----------
    nb
        The notebook.
    given
        The values, by name.
    strict
        True to refuse names that the notebook does not declare.

    Returns
    -------
    dict
        All parameters with a value known beforehand, defaults included, as plain values.

    Raises
    ------
    ConfigurationError
        See `bind`.
    """
    place = find_cell(nb, PARAMETERS_TAG)
    injected = find_cell(nb, INJECTED_TAG)
    if not given and (place is None or injected is not None):
        return {}
    language = nb["metadata"].get("kernelspec", {}).get("language", "python")
    if given and str(language).lower() != "python":
        raise ConfigurationError(f"parameters can be given to Python notebooks only; this one is written in {language}")
    declared = _declared_in(nb, place, needed=bool(given))
    bound = bind(declared, given, strict=strict)
    if bound:
        _inject(nb, bound, after=place, instead_of=injected)
    defaults = {it.name: it.default for it in (declared or {}).values() if it.default is not None}
    return defaults | {name: value.plain for name, value in bound.items()}


def _declared_in(nb: Any, place: int | None, *, needed: bool) -> dict[str, Declared] | None:
    if place is None:
        return None
    try:
        return declared_parameters(nb["cells"][place]["source"])
    except ConfigurationError:
        if needed:
            raise
        return {}  # the kernel will say what is wrong with it, at the right cell


def _inject(nb: Any, bound: Mapping[str, Bound], *, after: int | None, instead_of: int | None) -> None:
    from nbformat.v4 import new_code_cell

    source = "\n".join(["# Parameters", *(f"{name} = {value.code}" for name, value in bound.items())])
    taken = {cell.get("id") for cell in nb["cells"]}
    cell_id = INJECTED_TAG
    while cell_id in taken:
        cell_id += "-"
    metadata = {"tags": [INJECTED_TAG]}
    cell = new_code_cell(source, id=cell_id, metadata=metadata)  # type: ignore[no-untyped-call]
    if instead_of is not None:
        cell["id"] = nb["cells"][instead_of].get("id", cell_id)
        nb["cells"][instead_of] = cell
    else:
        nb["cells"].insert(0 if after is None else after + 1, cell)
