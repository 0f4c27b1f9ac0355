"""What a workflow's source says about its determinism, told when it is defined.

Only what is surely wrong or surely fragile is reported: real IO by name, threads, unordered sets,
clocks and chance where no twin stands in for them. The audit hook catches the rest when it happens.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Finding", "lint_class", "lint_workflow"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark on a workflow's source.

    Parameters
    ----------
    line
        Line within the source, from 1.
    message
        What is wrong and what to write instead.
    """

    line: int
    message: str


_IO_CALLS = {
    "open": "reads or writes a file",
    "input": "asks the user",
    "os.system": "runs a process",
    "os.popen": "runs a process",
    "os.listdir": "reads a folder",
    "os.remove": "deletes a file",
    "subprocess.run": "runs a process",
    "subprocess.Popen": "runs a process",
    "subprocess.check_output": "runs a process",
    "subprocess.check_call": "runs a process",
    "subprocess.call": "runs a process",
    "socket.socket": "opens a socket",
    "urllib.request.urlopen": "calls a service",
    "threading.Thread": "starts a thread",
    "asyncio.to_thread": "starts a thread",
    "asyncio.create_subprocess_exec": "runs a process",
    "asyncio.create_subprocess_shell": "runs a process",
    "asyncio.open_connection": "opens a socket",
}
_IO_MODULES = {"requests", "httpx", "aiohttp", "urllib3", "boto3", "smtplib", "ftplib", "psycopg2", "sqlalchemy"}
_IO_METHODS = {"read_csv", "read_parquet", "read_excel", "read_sql", "to_csv", "to_parquet", "read_text", "write_text"}

_DRAW = "is random; use nbflow.random()"
_CHANCE_MODULES = {"secrets.": _DRAW, "np.random.": _DRAW, "numpy.random.": _DRAW, "os.urandom": _DRAW}
_CLOCKS = {"pd.Timestamp.now", "pd.Timestamp.today", "pandas.Timestamp.now", "pandas.Timestamp.today"}

_WAITS = {"sleep", "wait_condition", "wait_for_signal", "gather"}

_NO_TWIN_IN_CLASSES = {
    **dict.fromkeys(("time.time", "time.time_ns", "time.monotonic", "time.perf_counter"), "nbflow.now()"),
    **dict.fromkeys(("datetime.now", "datetime.today", "datetime.utcnow", "date.today"), "nbflow.now()"),
    **dict.fromkeys(
        ("datetime.datetime.now", "datetime.date.today", "dt.datetime.now", "dt.date.today"), "nbflow.now()"
    ),
    **dict.fromkeys(("uuid.uuid4", "uuid4"), "nbflow.uuid4()"),
    "random.": "nbflow.random()",
}


def lint_workflow(source: str) -> list[Finding]:
    """Read a workflow's source, or a helper's.

    Parameters
    ----------
    source
        The text, dedented.

    Returns
    -------
    list of Finding
        In order of lines; empty if the text can't be parsed.
    """
    return _lint(source, _inspect)


def lint_class(source: str) -> list[Finding]:
    """Read the source of a class that a workflow uses: its methods see the real clock and real chance.

    Parameters
    ----------
    source
        The text, dedented.

    Returns
    -------
    list of Finding
        In order of lines; empty if the text can't be parsed.
    """
    return _lint(source, _inspect_in_class)


def _lint(source: str, inspect: Callable[[ast.AST], Iterator[Finding]]) -> list[Finding]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    skipped = {id(inner) for call in _side_effects(tree) for inner in ast.walk(call)}
    findings = {finding for node in ast.walk(tree) if id(node) not in skipped for finding in inspect(node)}
    return sorted(findings, key=lambda finding: (finding.line, finding.message))


def _side_effects(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _dotted(node.func).rpartition(".")[2] == "side_effect":
            yield node


def _inspect(node: ast.AST) -> Iterator[Finding]:
    match node:
        case ast.Call(func=func):
            yield from _inspect_call(node, _dotted(func))
        case ast.For(iter=unordered) | ast.comprehension(iter=unordered) if _is_set(unordered):
            yield Finding(unordered.lineno, "iterates a set, whose order differs between processes; use sorted(...)")
        case ast.Global(names=names):
            what = f"assigns the global {', '.join(names)}"
            yield Finding(node.lineno, f"{what}: only this execution will see that, and every replay does it again")
        case ast.AsyncFunctionDef(body=body):
            for statement in body:
                if not isinstance(statement, ast.FunctionDef):
                    yield from _inspect_waits(statement)


def _is_set(node: ast.expr) -> bool:
    match node:
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
    return False


def _inspect_waits(statement: ast.stmt) -> Iterator[Finding]:
    """Find waits that an ``async def`` begins and does not await."""
    for node in _walk_same_colour(statement):
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="nbflow"), attr=name))) if name in _WAITS:
                yield Finding(
                    node.lineno, f"nbflow.{name}() is not awaited, so nobody waits; write 'await nbflow.{name}(...)'"
                )
            case ast.Call(func=func) if _dotted(func) == "time.sleep":
                yield Finding(node.lineno, "time.sleep() would block an async def; write 'await nbflow.sleep(...)'")


def _walk_same_colour(node: ast.AST) -> Iterator[ast.AST]:
    """Walk down, but not into functions, which may be of the other colour."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _walk_same_colour(child)


def _inspect_call(node: ast.Call, name: str) -> Iterator[Finding]:
    head, _, tail = name.partition(".")
    if name in _IO_CALLS:
        yield Finding(node.lineno, f"{name}() {_IO_CALLS[name]}; do that in an activity")
    elif head in _IO_MODULES and tail:
        yield Finding(node.lineno, f"{name}() calls a service; do that in an activity")
    elif name.rpartition(".")[2] in _IO_METHODS and tail:
        yield Finding(node.lineno, f"{name}() reads or writes data; do that in an activity")
    elif name in _CLOCKS:
        yield Finding(node.lineno, f"{name}() is another time in every replay; use nbflow.now()")
    else:
        for prefix, what in _CHANCE_MODULES.items():
            if name.startswith(prefix):
                yield Finding(node.lineno, f"{name}() {what}")


def _inspect_in_class(node: ast.AST) -> Iterator[Finding]:
    if isinstance(node, ast.Call):
        name = _dotted(node.func)
        for pattern, instead in _NO_TWIN_IN_CLASSES.items():
            if name == pattern or (pattern.endswith(".") and name.startswith(pattern)):
                yield Finding(node.lineno, f"{name}() in a class is not the same in every replay; use {instead}")
                return
        yield from _inspect_call(node, name)


def _dotted(node: ast.expr) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])
