"""``@activity``: a function with effects, retried by a RetryPolicy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, overload

from nbflow.authoring.capture import VersionCache
from nbflow.authoring.launcher import current_launcher
from nbflow.authoring.mapping import CompletionPolicy, map_calls
from nbflow.core.bridge import block_on, in_workflow_greenlet
from nbflow.core.definitions import FACTORIES, REGISTRY, Definition, bind_arguments
from nbflow.core.options import ActivityDefinitionOptions
from nbflow.core.runtime import current_runtime, runtime_or_none
from nbflow.core.transaction_context import open_transaction
from nbflow.exceptions import ConfigurationError, DefinitionError

__all__ = ["Activity", "activity"]

P = ParamSpec("P")
R = TypeVar("R")
_OF_ALL_CALLS = frozenset({"max_concurrency", "rate_limit"})


class Activity(Generic[P, R]):
    """A function marked ``@activity``.

    Outside a workflow, calling it is a plain call. In an ``async def`` workflow the call schedules
    it and returns an awaitable; in a plain ``def`` workflow the call blocks until it is done.

    Parameters
    ----------
    function
        The user's function.
    options
        What the decorator was given.
    """

    kind = "activity"

    def __init__(self, function: Callable[P, R], options: ActivityDefinitionOptions) -> None:
        self.function = function
        self.name = options.name or function.__name__
        self._options = options
        self._call_options = options.for_call()
        self._signature = inspect.signature(function)
        self._is_transaction = options.run_in == "transaction"
        if self._is_transaction:
            self._signature = _without_cursor(self.name, self._signature)
        self._exact_positionals = _count_plain_positionals(self._signature)
        self._versions = VersionCache("activity", self.name, function, options.to_json())
        update_wrapper(self, function)
        self.__signature__ = self._signature

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it: as an activity inside a workflow, as a plain function elsewhere."""
        if runtime_or_none() is None:
            return self._call_as_transaction(args, kwargs) if self._is_transaction else self.function(*args, **kwargs)
        handle = self.start(*args, **kwargs)
        return block_on(handle) if in_workflow_greenlet() else handle  # type: ignore[no-any-return]

    def _call_as_transaction(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> R:
        cursor = open_transaction.get()
        if cursor is not None:
            return self.function(cursor, *args, **kwargs)
        return current_launcher().transact(self.function, args, kwargs)  # type: ignore[no-any-return]

    def start(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Schedule it from workflow code and go on.

        Returns
        -------
        ActivityHandle
            Awaitable; in a plain ``def`` workflow call its ``.result()``.

        Raises
        ------
        NotInWorkflowError
            Outside of workflows.
        """
        runtime = current_runtime(f"{self.name}.start")
        if kwargs or len(args) != self._exact_positionals:
            positional, keywords = bind_arguments(self._signature, self.name, args, kwargs)
            return runtime.start_activity(self.name, positional, keywords, self._call_options)
        return runtime.start_activity(self.name, args, None, self._call_options)

    def map(
        self,
        *iterables: Iterable[Any],
        max_concurrency: int | None = None,
        min_successful: int | None = None,
        tolerated_failures: int | None = None,
        tolerated_failure_percentage: float | None = None,
        return_exceptions: bool = False,
    ) -> Any:
        """Run it for every item, from workflow code.

        Parameters
        ----------
        *iterables
            Arguments; several are taken in parallel, as by the built-in ``map``.
        max_concurrency
            So many at a time at most, the next one starting as one ends; default all at once.
        min_successful, tolerated_failures, tolerated_failure_percentage
            When it is done, and when it has failed; see :class:`~nbflow.authoring.mapping.CompletionPolicy`.
        return_exceptions
            True to get failures in place of results instead of raising the first; with a policy,
            to get the MapResult although the policy was violated.

        Returns
        -------
        list or Awaitable of list
            Results in the order of the items; with a policy, a :class:`~nbflow.authoring.mapping.MapResult`.

        Raises
        ------
        MapError
            When the policy is violated; what was under way is cancelled.
        """
        policy = CompletionPolicy(
            min_successful=min_successful,
            tolerated_failures=tolerated_failures,
            tolerated_failure_percentage=tolerated_failure_percentage,
        )
        return map_calls(
            self.name,
            self.start,
            list(zip(*iterables, strict=len(iterables) > 1)),
            policy=policy,
            max_concurrency=max_concurrency,
            return_exceptions=return_exceptions,
        )

    def options(self, **changes: Any) -> Activity[P, R]:
        """Return the same activity with other options for this call.

        Parameters
        ----------
        **changes
            Fields of :class:`~nbflow.core.options.ActivityDefinitionOptions`, but for those that hold for all
            calls: ``max_concurrency`` and ``rate_limit``.

        Raises
        ------
        ConfigurationError
            When an option makes no sense.
        """
        for name in _OF_ALL_CALLS & changes.keys():
            msg = f"{name} holds for all calls of activity {self.name}: give it to the decorator, @activity({name}=...)"
            raise ConfigurationError(msg)
        changed = Activity.__new__(Activity)
        changed.__dict__.update(self.__dict__)
        changed._options = ActivityDefinitionOptions.read(changes, self._options)  # noqa: SLF001  own class
        changed._call_options = changed._options.for_call()  # noqa: SLF001
        return changed

    def definition(self) -> Definition:
        """Return its definition as of now."""
        return self._versions.current()

    def changes(self) -> dict[str, Any]:
        """Say how this one differs from its definition, for the manifest of who uses it: JSON-native."""
        options = self._options.to_json()
        return {} if options == self._versions.options else {"options": options}

    def __repr__(self) -> str:
        return f"<activity {self.name}{self._signature}>"


def _count_plain_positionals(signature: inspect.Signature) -> int:
    """How many arguments a call has that needs no binding; -1 if every call needs it."""
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = signature.parameters.values()
    return len(parameters) if all(p.kind in plain for p in parameters) else -1


def _without_cursor(name: str, signature: inspect.Signature) -> inspect.Signature:
    """Take the first parameter away, which is the transaction's cursor."""
    first, *others = signature.parameters.values() or [None]
    if first is None or first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        msg = f"transaction {name}{signature} needs the cursor as its first parameter: def {name}(db, ...)"
        raise DefinitionError(msg)
    return signature.replace(parameters=[parameter for parameter in others if parameter is not None])


@overload
def activity(function: Callable[P, R], /) -> Activity[P, R]: ...
@overload
def activity(**options: Any) -> Callable[[Callable[P, R]], Activity[P, R]]: ...
def activity(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Mark a function as an activity.

    Parameters
    ----------
    function
        ``def`` (runs in a thread) or ``async def`` (runs on the engine's loop).
    **options
        Fields of :class:`~nbflow.core.options.ActivityDefinitionOptions`, e.g. ``retry=5``,
        ``start_to_close_timeout="30s"``.

    Returns
    -------
    Activity
        Or a decorator, when only options are given.

    Raises
    ------
    DefinitionError
        When it can't be an activity.
    ConfigurationError
        When an option makes no sense.
    """
    checked = ActivityDefinitionOptions.read(options)

    def mark(target: Callable[..., Any]) -> Activity[Any, Any]:
        if isinstance(target, Activity):
            target = target.function
        _check_function(target, "an activity")
        if inspect.iscoroutinefunction(target) and checked.run_in not in (None, "loop"):
            hint = "; make it a plain def" if checked.run_in == "transaction" else ""
            msg = f"{target.__name__} is async def: it runs on the engine's loop, not in a {checked.run_in}{hint}"
            raise DefinitionError(msg)
        marked: Activity[Any, Any] = Activity(target, checked)
        REGISTRY.register("activity", marked.name, marked.definition)
        return marked

    return mark if function is None else mark(function)


def _check_function(target: Any, what: str) -> None:
    if not callable(target) or not hasattr(target, "__name__"):
        msg = f"only a function can be {what}, not {target!r}"
        raise DefinitionError(msg)
    if target.__name__ == "<lambda>":
        msg = f"a lambda can't be {what}: give it a name with def, the history needs one"
        raise DefinitionError(msg)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        msg = f"{target.__name__} is a generator function; {what} returns its result once"
        raise DefinitionError(msg)


def _from_definition(definition: Definition, changes: Mapping[str, Any]) -> Activity[Any, Any]:
    options = changes.get("options", definition.options)
    return Activity(definition.function, ActivityDefinitionOptions.read({**options, "name": definition.name}))


FACTORIES["activity"] = _from_definition
