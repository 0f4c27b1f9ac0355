"""What a workflow's source says about its determinism, told when it is defined.

Only what is surely wrong or surely fragile is reported: real IO by name, threads, unordered sets.
The audit hook catches the rest when it happens.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Finding", "lint_workflow"]


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
    "secrets.token_hex": "is random",
    "secrets.token_bytes": "is random",
    "secrets.token_urlsafe": "is random",
    "os.urandom": "is random",
}
_IO_MODULES = {"requests", "httpx", "aiohttp", "urllib3", "boto3", "smtplib", "ftplib", "psycopg2", "sqlalchemy"}
_IO_METHODS = {"read_csv", "read_parquet", "read_excel", "read_sql", "to_csv", "to_parquet", "read_text", "write_text"}


def lint_workflow(source: str) -> list[Finding]:
    """Read a workflow's source.

    Parameters
    ----------
    source
        The function's text, dedented.

    Returns
    -------
    list of Finding
        In order of lines; empty if the text can't be parsed.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    skipped = {id(inner) for call in _side_effects(tree) for inner in ast.walk(call)}
    findings = {finding for node in ast.walk(tree) if id(node) not in skipped for finding in _inspect(node)}
    return sorted(findings, key=lambda finding: (finding.line, finding.message))


def _side_effects(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _dotted(node.func).rpartition(".")[2] == "side_effect":
            yield node


def _inspect(node: ast.AST) -> Iterator[Finding]:
    match node:
        case ast.Call(func=func):
            yield from _inspect_call(node, _dotted(func))
        case (
            ast.For(iter=ast.Set() as unordered)
            | ast.For(iter=ast.Call(func=ast.Name(id="set" | "frozenset")) as unordered)
        ):
            yield Finding(unordered.lineno, "iterates a set, whose order differs between processes; use sorted(...)")
        case ast.Global(names=names):
            yield Finding(node.lineno, f"assigns the global {', '.join(names)}; every replay would assign it again")


def _inspect_call(node: ast.Call, name: str) -> Iterator[Finding]:
    head, _, tail = name.partition(".")
    if name in _IO_CALLS:
        yield Finding(node.lineno, f"{name}() {_IO_CALLS[name]}; do that in an activity")
    elif head in _IO_MODULES and tail:
        yield Finding(node.lineno, f"{name}() calls a service; do that in an activity")
    elif name.rpartition(".")[2] in _IO_METHODS and tail:
        yield Finding(node.lineno, f"{name}() reads or writes data; do that in an activity")


def _dotted(node: ast.expr) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])
