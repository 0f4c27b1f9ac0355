"""``@nbflow.update``: inner functions of a workflow that change it and answer the caller."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, overload

from nbflow.core.runtime import current_runtime
from nbflow.exceptions import ConfigurationError

__all__ = [
    "UnfinishedHandlersWarning",
    "UnfinishedPolicy",
    "UpdateHandler",
    "all_handlers_finished",
    "check_unfinished_policy",
    "update",
]

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V", bound=Callable[..., Any])

UnfinishedPolicy: TypeAlias = Literal["warn", "abandon"]


class UnfinishedHandlersWarning(UserWarning):
    """An execution closed while handlers of its signals or updates were under way."""


def check_unfinished_policy(policy: object) -> None:
    """Refuse what is no policy.

    Raises
    ------
    ConfigurationError
        When it is neither ``"warn"`` nor ``"abandon"``.
    """
    if policy not in ("warn", "abandon"):
        msg = f"unfinished_policy must be 'warn' or 'abandon', not {policy!r}"
        raise ConfigurationError(msg)


class UpdateHandler(Generic[P, R]):
    """An inner function of a workflow marked ``@nbflow.update``; calling it calls the function.

    Parameters
    ----------
    function
        The user's function.
    name
        Name of the update.
    """

    def __init__(self, function: Callable[P, R], name: str) -> None:
        self.function = function
        self.update_name = name
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)

    def validator(self, check: V) -> V:
        """Let a function look at each update before it is accepted: what it raises rejects the update.

        It runs once, when the update comes, never on replay; so it may only read, and must not wait.

        Parameters
        ----------
        check
            A plain ``def`` with the handler's parameters.

        Returns
        -------
        Callable
            The function itself.
        """
        current_runtime("update").set_handler("validator", self.update_name, check)
        return check


@overload
def update(handler: Callable[P, R], /) -> UpdateHandler[P, R]: ...
@overload
def update(
    *, name: str | None = None, unfinished_policy: UnfinishedPolicy = "warn"
) -> Callable[[Callable[P, R]], UpdateHandler[P, R]]: ...
def update(handler: Any = None, /, *, name: str | None = None, unfinished_policy: UnfinishedPolicy = "warn") -> Any:
    """Let an inner function of the workflow handle updates of its name: the caller gets what it returns.

    Parameters
    ----------
    handler
        ``def`` or ``async def``; may run activities and wait.
    name
        Name of the update; default the function's.
    unfinished_policy
        ``"warn"`` (default) or ``"abandon"``: whether to say so when the execution closes while the handler waits.

    Returns
    -------
    UpdateHandler
        Its ``.validator`` decorates the function that may reject updates.
    """
    check_unfinished_policy(unfinished_policy)

    def mark(function: Callable[P, R]) -> UpdateHandler[P, R]:
        update_name = name or function.__name__
        current_runtime("update").set_handler("update", update_name, function, unfinished_policy)
        return UpdateHandler(function, update_name)

    return mark if handler is None else mark(handler)


def all_handlers_finished() -> bool:
    """Say whether no handler of a signal or an update is under way.

    ``nbflow.wait_condition(nbflow.all_handlers_finished)`` before the workflow returns lets them end.
    """
    return current_runtime("all_handlers_finished").all_handlers_finished()
