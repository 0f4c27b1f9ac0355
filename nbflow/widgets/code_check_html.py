"""What came of trying edited code on executions, as a table under the cell: which, why, what to do."""

from __future__ import annotations

from html import escape

from nbflow.client.code_check import CodeCheck, MisfitGroup
from nbflow.widgets.look import shorten

__all__ = ["code_check_html"]

_LINE = "#80808059"
_CARD = f"border: 1px solid {_LINE}; border-radius: 6px; padding: 6px 14px; margin: 4px 0; max-width: 72em; line-height: 1.5"  # fmt: skip  # noqa: E501
_CELL = "text-align: left; vertical-align: top; padding: 2px 16px 2px 0; border: none; background: none"
_CODE = "font-family: monospace; font-size: 92%; white-space: pre-wrap; word-break: break-word; background: none"
_HEADS = ("execution", "why it stays", "line", "what to do")


def code_check_html(check: CodeCheck) -> str:
    """Draw what came of a check.

    Parameters
    ----------
    check
        From :func:`nbflow.code_check` or :func:`nbflow.check`.

    Returns
    -------
    str
        HTML with inline styles only; every value in it is escaped.
    """
    icon = "" if check.note else "✓ " if check.ok else "! "
    head = f'<div><span style="font-weight: 600">{icon}{escape(check.headline())}</span></div>'
    groups, more = check.shown_groups()
    if not groups:
        return f'<div style="{_CARD}">{head}</div>'
    heads = "".join(f'<th style="{_CELL}; opacity: 0.72; font-weight: 400">{name}</th>' for name in _HEADS)
    rows = "".join(_row(group) for group in groups)
    table = f'<table style="border-collapse: collapse; border: none; font-size: 100%"><tr>{heads}</tr>{rows}</table>'
    tail = f'<div style="opacity: 0.72">{escape(more)}</div>' if more else ""
    return f'<div style="{_CARD}">{head}{table}{tail}</div>'


def _row(group: MisfitGroup) -> str:
    where = f'<code style="{_CODE}">{escape(shorten(group.where, 160))}</code>' if group.where else ""
    cells = (escape(group.which), escape(shorten(group.misfit.why, 300)), where, escape(group.misfit.advice))
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"
