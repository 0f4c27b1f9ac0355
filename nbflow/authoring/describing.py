"""What a workflow says of itself while it runs: search attributes, memo, details, and which patches it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbflow.core.runtime import current_runtime

__all__ = ["deprecate_patch", "patched", "set_details", "upsert_memo", "upsert_search_attributes"]


def upsert_search_attributes(attributes: Mapping[str, Any]) -> None:
    """Change the execution's search attributes, which SQL can ask for.

    Parameters
    ----------
    attributes
        By name: text, numbers, bools, datetimes, dates, lists of text; None takes one away.
        Those not named stay as they are.

    Raises
    ------
    ConfigurationError
        When a value is none of these.
    """
    current_runtime("upsert_search_attributes").upsert_search_attributes(attributes)


def upsert_memo(memo: Mapping[str, Any]) -> None:
    """Change the execution's memo.

    Parameters
    ----------
    memo
        Values by name, of any kind that can be stored; None takes one away. Those not named stay as they are.

    Raises
    ------
    ConfigurationError
        When it is no dict with text as keys.
    """
    current_runtime("upsert_memo").upsert_memo(memo)


def set_details(details: str) -> None:
    """Say, in Markdown, how things stand; whoever looks at the execution is shown it.

    It is no event: ``handle.details`` gives what the code said last, also after a restart and after the end.

    Parameters
    ----------
    details
        The text.
    """
    current_runtime("set_details").set_details(details)


def patched(patch_id: str) -> bool:
    """Say whether this execution takes the new code path.

    False if it came past this place before the patch was there, True otherwise; the answer stays the same
    within a run.

    Parameters
    ----------
    patch_id
        Names the change.
    """
    return current_runtime("patched").patched(patch_id)


def deprecate_patch(patch_id: str) -> None:
    """Say that no execution takes the old code path any more, and that the patch may soon be taken out.

    Parameters
    ----------
    patch_id
        Names the change.
    """
    current_runtime("deprecate_patch").patched(patch_id, deprecated=True)
