"""``@transaction``: an activity whose DuckDB writes and whose completion are one commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from nbflow.authoring.activity import Activity, activity
from nbflow.core.options import ActivityDefinitionOptions
from nbflow.exceptions import ConfigurationError

__all__ = ["transaction"]

P = ParamSpec("P")
R = TypeVar("R")


@overload
def transaction(function: Callable[Concatenate[Any, P], R], /) -> Activity[P, R]: ...
@overload
def transaction(**options: Any) -> Callable[[Callable[Concatenate[Any, P], R]], Activity[P, R]]: ...
def transaction(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Mark a function as an activity that writes to the store's DuckDB, exactly once.

    Its first parameter is a DuckDB cursor; callers leave it out, and history does not know it. What the
    function writes through it commits together with the activity's completion, or not at all.

    Parameters
    ----------
    function
        A plain ``def``, with the cursor as its first parameter: ``def transfer(db, source, target, amount)``.
    **options
        Fields of :class:`~nbflow.core.options.ActivityDefinitionOptions`, as for ``@activity``, but for ``run_in``.

    Returns
    -------
    Activity
        Or a decorator, when only options are given. Called outside of workflows, it runs in a transaction of its
        own on the default store; called by the code of another transaction, it takes part in that one.

    Raises
    ------
    DefinitionError
        When it can't be a transaction.
    ConfigurationError
        When an option makes no sense.
    """
    if "run_in" in options:
        msg = "a transaction runs in a thread of the process that has the store: leave run_in out"
        raise ConfigurationError(msg)
    ActivityDefinitionOptions.read(options)

    mark = activity(**options, run_in="transaction")
    return mark if function is None else mark(function)
