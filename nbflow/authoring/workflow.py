"""``@workflow``: a function that runs as if failure did not exist."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import update_wrapper
from typing import Any, Generic, Literal, NoReturn, ParamSpec, TypeVar, overload

from nbflow.authoring.activity import _check_function, _count_plain_positionals
from nbflow.authoring.capture import VersionCache
from nbflow.authoring.inside import wait_here
from nbflow.authoring.launcher import StartRequest, UpdateRequest, current_launcher
from nbflow.authoring.mapping import CompletionPolicy, map_calls
from nbflow.core.continuing import CHANGEABLE
from nbflow.core.definitions import FACTORIES, REGISTRY, Definition, bind_arguments
from nbflow.core.lint import lint_class, lint_workflow
from nbflow.core.options import WorkflowOptions
from nbflow.core.runtime import current_runtime, runtime_or_none
from nbflow.exceptions import ConfigurationError, DefinitionError

__all__ = ["DeterminismWarning", "Workflow", "workflow"]

P = ParamSpec("P")
R = TypeVar("R")


class DeterminismWarning(UserWarning):
    """A workflow's source does something that replay can't repeat."""


class Workflow(Generic[P, R]):
    """A function marked ``@workflow``.

    Calling it runs it durably to the end and returns its result (``await`` it if it is
    ``async def``); ``.start()`` returns a handle at once.

    Parameters
    ----------
    function
        The user's function.
    options
        What the decorator was given.
    """

    kind = "workflow"

    def __init__(self, function: Callable[P, R], options: WorkflowOptions) -> None:
        self.function = function
        self.name = options.name or function.__name__
        self._options = options
        self._given: frozenset[str] = frozenset()
        """Names of the options that ``.options(...)`` changed."""
        self._signature = inspect.signature(function)
        self._exact_positionals = _count_plain_positionals(self._signature)
        self._versions = VersionCache("workflow", self.name, function, {})
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it durably to the end."""
        handle = self.start(*args, **kwargs)
        if runtime_or_none() is not None:  # a child of the workflow that calls
            return wait_here(handle)  # type: ignore[no-any-return]
        return handle if inspect.iscoroutinefunction(self.function) else handle.result()  # type: ignore[no-any-return]

    def start(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Start an execution and go on; in workflow code, a child.

        Returns
        -------
        WorkflowHandle or ChildWorkflowHandle
            Outside of workflows returned once the start is committed.
        """
        return self._launch([self._request(args, kwargs, self._options)])[0]

    def start_many(self, calls: Iterable[Any], ids: Sequence[str] | None = None) -> list[Any]:
        """Start many executions in a few commits.

        Parameters
        ----------
        calls
            Arguments of each: a tuple for several, anything else for one.
        ids
            Workflow ids, one for each; default made up.

        Returns
        -------
        list of WorkflowHandle
            In order, returned once all starts are committed.
        """
        argument_lists = [call if isinstance(call, tuple) else (call,) for call in calls]
        if ids is not None and len(ids) != len(argument_lists):
            msg = f"{self.name}.start_many: {len(argument_lists)} calls but {len(ids)} ids"
            raise ConfigurationError(msg)
        options = [self._options] * len(argument_lists)
        if ids is not None:
            options = [WorkflowOptions.read({"id": workflow_id}, self._options) for workflow_id in ids]
        return self._launch([self._request(args, {}, o) for args, o in zip(argument_lists, options, strict=True)])

    def signal_with_start(
        self, name: str, *args: Any, start_args: tuple[Any, ...] = (), start_kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Start an execution with a signal that its code finds when it begins; if one runs, signal that.

        Parameters
        ----------
        name
            Name of the signal.
        *args
            Its arguments.
        start_args, start_kwargs
            Arguments of the workflow.

        Returns
        -------
        WorkflowHandle
            Returned once start and signal are committed, both or neither.

        Raises
        ------
        WorkflowClosedError
            When the id policy keeps a closed execution.
        """
        request = self._request(start_args, dict(start_kwargs or {}), self._options)
        definition = self._definition_to_start()
        return current_launcher().signal_with_start(definition, request, name, args)

    def update_with_start(
        self,
        name: str,
        *args: Any,
        start_args: tuple[Any, ...] = (),
        start_kwargs: Mapping[str, Any] | None = None,
        id: str | None = None,  # noqa: A002
        wait_for: Literal["accepted", "completed"] = "accepted",
    ) -> Any:
        """Start an execution, or take the one that runs, and have an update handled.

        Parameters
        ----------
        name
            Name of the update.
        *args
            Its arguments.
        start_args, start_kwargs
            Arguments of the workflow.
        id
            Names the update within the run: asking again with the same id attaches to the one that is there.
        wait_for
            ``"accepted"`` or ``"completed"``.

        Returns
        -------
        UpdateHandle
            ``.result()`` waits for the update's end; ``.workflow`` is the execution's handle.

        Raises
        ------
        WorkflowUpdateFailedError
            When the update was rejected; an execution that was started for it runs on.
        WorkflowClosedError
            When the id policy keeps a closed execution.
        """
        request = self._request(start_args, dict(start_kwargs or {}), self._options)
        definition = self._definition_to_start()
        return current_launcher().update_with_start(definition, request, UpdateRequest(name, args, id, wait_for))

    def map(self, calls: Iterable[Any], **how: Any) -> Any:
        """Run an execution for each item at once, in workflow code a child, and return their results in order.

        Parameters
        ----------
        calls
            Arguments of each: a tuple for several, anything else for one.
        **how
            In workflow code: ``max_concurrency``, ``return_exceptions`` and the fields of a
            :class:`~nbflow.authoring.mapping.CompletionPolicy`, as for ``activity.map``.

        Returns
        -------
        list, MapResult, or an Awaitable of it
            As ``activity.map`` gives it.
        """
        if runtime_or_none() is not None:
            return _map_children(self, calls, how)
        if how:
            msg = f"{self.name}.map takes {', '.join(how)} only in workflow code"
            raise ConfigurationError(msg)
        return [handle.result() for handle in self.start_many(calls)]

    def continue_as_new(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:
        """From workflow code: close this run and go on as a new run of this workflow.

        What ``.options(memo=, search_attributes=, run_timeout=, retry=, start_delay=)`` gave the new run has
        instead of what this run has; see :func:`nbflow.continue_as_new`.

        Raises
        ------
        ContinueAsNew
            Always; it leaves the workflow's code as an exception does.
        ConfigurationError
            When an option was given that can't change.
        """
        runtime = current_runtime(f"{self.name}.continue_as_new")
        for name in self._given - set(CHANGEABLE):
            msg = f"{self.name}.continue_as_new can't change {name}: the new run keeps what this one has"
            raise ConfigurationError(msg)
        positional, keywords, _ = self._request(args, kwargs, self._options)
        given = WorkflowOptions(**{name: getattr(self._options, name) for name in self._given})
        raise runtime.continue_as_new(self.name, positional, keywords, given)

    def options(self, **changes: Any) -> Workflow[P, R]:
        """Return the same workflow with other options for this call.

        Parameters
        ----------
        **changes
            Fields of :class:`~nbflow.core.options.WorkflowOptions`.
        """
        changed = Workflow.__new__(Workflow)
        changed.__dict__.update(self.__dict__)
        changed._options = WorkflowOptions.read(changes, self._options)  # noqa: SLF001  own class
        changed._given = self._given | set(changes)  # noqa: SLF001
        return changed

    def definition(self) -> Definition:
        """Return its definition as of now."""
        return self._versions.current()

    def changes(self) -> dict[str, Any]:
        """Say with which options others call this one, for the manifest of who uses it: JSON-native."""
        options = self._options.to_json()
        return {"options": options} if options else {}

    def request(self, *args: P.args, **kwargs: P.kwargs) -> StartRequest:
        """Bind a call without making it: for schedules, which make it later."""
        return self._request(args, kwargs, self._options)

    def _request(self, args: tuple[Any, ...], kwargs: dict[str, Any], options: WorkflowOptions) -> StartRequest:
        if not kwargs and len(args) == self._exact_positionals:
            return args, kwargs, options
        positional, keywords = bind_arguments(self._signature, self.name, args, kwargs)
        return positional, keywords, options

    def _launch(self, requests: list[StartRequest]) -> list[Any]:
        runtime = runtime_or_none()
        if runtime is not None:
            return [runtime.relations.start_child(self.name, *request) for request in requests]
        return current_launcher().start(self._definition_to_start(), requests)

    def _definition_to_start(self) -> Definition:
        if runtime_or_none() is not None:
            msg = f"workflow {self.name} can't be started with a message inside a workflow; do that in an activity"
            raise DefinitionError(msg)
        return REGISTRY.remember(self.definition())

    def __repr__(self) -> str:
        return f"<workflow {self.name}{self._signature}>"


@overload
def workflow(function: Callable[P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(**options: Any) -> Callable[[Callable[P, R]], Workflow[P, R]]: ...
def workflow(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Mark a function as a workflow.

    Parameters
    ----------
    function
        ``async def`` or plain ``def``.
    **options
        Fields of :class:`~nbflow.core.options.WorkflowOptions`.

    Returns
    -------
    Workflow
        Or a decorator, when only options are given.

    Raises
    ------
    DefinitionError
        When it can't be a workflow.
    ConfigurationError
        When an option makes no sense.
    """
    checked = WorkflowOptions.read(options)

    def mark(target: Callable[..., Any]) -> Workflow[Any, Any]:
        if isinstance(target, Workflow):
            target = target.function
        _check_function(target, "a workflow")
        marked: Workflow[Any, Any] = Workflow(target, checked)
        _warn(marked)
        REGISTRY.register("workflow", marked.name, marked.definition, on_edit=checked.on_edit)
        return marked

    return mark if function is None else mark(function)


def _map_children(child: Workflow[Any, Any], calls: Iterable[Any], how: dict[str, Any]) -> Any:
    rest = {name: how.pop(name) for name in ("max_concurrency", "return_exceptions") if name in how}
    argument_lists = [call if isinstance(call, tuple) else (call,) for call in calls]
    return map_calls(child.name, child.start, argument_lists, policy=CompletionPolicy(**how), **rest)


def _warn(marked: Workflow[Any, Any]) -> None:
    """Say what the source, and that of the helpers it uses, says about determinism."""
    definition = marked.definition()
    told = [(f"workflow {marked.name}", lint_workflow(definition.source))]
    for name, entry in json.loads(definition.manifest)["globals"].items():
        if "source" in entry:
            is_class = isinstance(definition.bindings.get(name), type)
            lint = lint_class if is_class else lint_workflow
            told.append((f"workflow {marked.name} uses {name}", lint(entry["source"])))
    for who, findings in told:
        for finding in findings:
            warnings.warn(f"{who}, line {finding.line}: {finding.message}", DeterminismWarning, stacklevel=4)


def _from_definition(definition: Definition, changes: Mapping[str, Any]) -> Workflow[Any, Any]:
    return Workflow(definition.function, WorkflowOptions.read({**changes.get("options", {}), "name": definition.name}))


FACTORIES["workflow"] = _from_definition
