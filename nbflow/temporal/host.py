"""nbflow's interpreter behind Temporal's Core: a runner for temporalio's workers and replayers.

``temporalio.worker`` lets a ``WorkflowRunner`` decide who plays an execution. The one here makes instances that turn
each activation's jobs into nbflow's events, hand them to :class:`~nbflow.core.instance.WorkflowInstance`, and answer
with its commands. temporalio wants a workflow class as well: :class:`NbflowWorkflow` stands for all functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from temporalio import workflow
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.common import RawValue
from temporalio.converter import (
    SerializationContext,
    StorageDriverStoreContext,
    StorageDriverWorkflowInfo,
    WorkflowSerializationContext,
)
from temporalio.worker import WorkflowInstance as HostedInstance
from temporalio.worker import WorkflowInstanceDetails, WorkflowRunner

from nbflow.core.child_handles import ChildWorkflowHandle, ExternalRequest
from nbflow.core.commands import Command, record
from nbflow.core.definitions import REGISTRY, Definition
from nbflow.core.events import HistoryEvent, TimerStarted, WorkflowTaskStarted
from nbflow.core.failures import failure_of_exception
from nbflow.core.instance import WorkflowInstance
from nbflow.core.patches import is_change_version
from nbflow.core.payloads import Converter
from nbflow.core.workflow_tasks import OWN_FLAG, SINGLE_BATCH
from nbflow.exceptions import MissingDefinitionError, NondeterminismError, WorkflowEvicted
from nbflow.interchange.side_effects import side_effect_of
from nbflow.temporal.child_commands import set_cancellation_type
from nbflow.temporal.commands import command_proto
from nbflow.temporal.jobs import events_of, own_header
from nbflow.temporal.lanes import Lanes
from nbflow.temporal.payloads import arguments_of, failure_proto, result_proto

__all__ = ["NbflowRunner", "NbflowWorkflow", "current_definition"]

_MOVES_NOTHING = ("notify_has_patch", "update_random_seed", "query_workflow", "remove_from_cache")


@workflow.defn(dynamic=True, sandboxed=False)
class NbflowWorkflow:
    """Stands for every workflow function; :class:`NbflowRunner` plays them."""

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> Any:
        """Never called by an NbflowRunner."""
        msg = f"NbflowWorkflow needs an NbflowRunner as workflow_runner and unsandboxed_workflow_runner ({len(args)})"
        raise RuntimeError(msg)


def current_definition(workflow_type: str, definition_hash: str = "") -> Definition:
    """Find the function of a workflow type in this process.

    Parameters
    ----------
    workflow_type
        Its name.
    definition_hash
        The version that the execution is pinned to, if that is known.

    Raises
    ------
    MissingDefinitionError
        When nothing of this name is defined here.
    """
    pinned = REGISTRY.by_hash("workflow", definition_hash) if definition_hash else None
    found = pinned or REGISTRY.current("workflow", workflow_type)
    if found is None:
        msg = f"workflow {workflow_type!r} is not defined in this process; run the cell that defines it"
        raise MissingDefinitionError(msg)
    return found


class NbflowRunner(WorkflowRunner):
    """Plays executions with nbflow's interpreter, each on a thread of its own choice.

    Parameters
    ----------
    converter
        Encodes and decodes values.
    find_definition
        Finds a function by workflow type and definition hash.
    lanes
        The threads; default eight.
    """

    def __init__(
        self,
        converter: Converter,
        find_definition: Callable[[str, str], Definition] = current_definition,
        lanes: Lanes | None = None,
    ) -> None:
        self.converter = converter
        self.find_definition = find_definition
        self.lanes = lanes or Lanes()
        self.on_command: Callable[[str, Command], None] | None = None
        """Hears of every command, with the run id."""

    def prepare_workflow(self, defn: Any) -> None:
        """Do nothing: functions are looked up when an execution starts."""

    def create_instance(self, det: WorkflowInstanceDetails) -> HostedInstance:
        """Make the player of one execution."""
        return _Hosted(det, self)

    def close(self) -> None:
        """End the threads; no worker may use the runner any more."""
        self.lanes.close()


class _Hosted(HostedInstance):
    """One execution: nbflow's instance, and the little history that numbers its operations."""

    def __init__(self, det: WorkflowInstanceDetails, runner: NbflowRunner) -> None:
        self._info = det.info
        self._runner = runner
        self._lane = runner.lanes.take()
        self._instance: WorkflowInstance | None = None
        self._last_event_id = 0
        self._timers: dict[int, int] = {}
        self._reseeds: list[tuple[int, int]] = []
        """New seeds of a run that was reset, each by the id of the exported event from which on it holds."""
        self.run_id = det.info.run_id
        self.time = 0

    # What temporalio asks.

    def get_info(self) -> workflow.Info:
        """Return what temporalio told of the execution."""
        return self._info

    def get_serialization_context(self, command_info: Any) -> SerializationContext | None:  # noqa: ARG002  one for all
        """Return the execution's context."""
        return WorkflowSerializationContext(namespace=self._info.namespace, workflow_id=self._info.workflow_id)

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:  # noqa: ARG002  same
        """Return the execution as what a driver of large values stores for."""
        info = self._info
        target = StorageDriverWorkflowInfo(
            id=info.workflow_id, run_id=info.run_id, type=info.workflow_type, namespace=info.namespace
        )
        return StorageDriverStoreContext(target=target)

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Run the code on its thread until it blocks."""
        completion = WorkflowActivationCompletion(run_id=act.run_id)
        self._runner.lanes.run(self._lane, self._activate, act, completion)
        return completion

    # On the thread.

    def _activate(self, act: WorkflowActivation, completion: WorkflowActivationCompletion) -> None:
        if any(job.HasField("remove_from_cache") for job in act.jobs):
            self._evict()
            completion.successful.SetInParent()
            return
        self.time = act.timestamp.ToMicroseconds()
        try:
            completion.successful.SetInParent()
            self._advance(act, completion.successful.commands)
            for job in act.jobs:
                if job.HasField("query_workflow"):
                    self._answer(job.query_workflow, completion.successful.commands.add().respond_to_query)
            if not act.is_replaying:
                completion.successful.used_internal_flags.extend((SINGLE_BATCH, OWN_FLAG))
        except (Exception, WorkflowEvicted) as error:  # noqa: BLE001  told to Core, as the contract has it
            failure = failure_of_exception(error, self._runner.converter)
            completion.failed.failure.CopyFrom(failure_proto(failure))
            if isinstance(error, NondeterminismError):
                completion.failed.force_cause = (
                    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
                )

    def _advance(self, act: WorkflowActivation, commands: Any) -> None:
        moves = [job for job in act.jobs if job.WhichOneof("variant") not in _MOVES_NOTHING]
        if self._instance is None:
            self._instance = self._new_instance(moves[0].initialize_workflow)
        self._instance.is_replaying = act.is_replaying
        for job in act.jobs:
            if job.HasField("notify_has_patch"):
                self._note_patch(self._instance, job.notify_has_patch.patch_id)
            elif job.HasField("update_random_seed"):
                self._instance.random().seed(job.update_random_seed.randomness_seed)
        while self._reseeds and self._reseeds[0][0] <= act.history_length:
            self._instance.random().seed(self._reseeds.pop(0)[1])
        if any(job.HasField("initialize_workflow") for job in moves):
            # What comes with the start finds the handlers that the code has set up by then.
            updates = [job for job in moves if job.HasField("do_update")]
            moves = [job for job in moves if not job.HasField("do_update")]
            self._move(self._instance, moves, commands)
            moves = updates
        self._move(self._instance, moves, commands)

    def _new_instance(self, init: Any) -> WorkflowInstance:
        own = own_header(init)
        self._reseeds = sorted((int(event_id), seed) for event_id, seed in own.get("reseeds", {}).items())
        definition = self._runner.find_definition(init.workflow_type, own.get("definition_hash", ""))
        return WorkflowInstance(self.run_id, definition, self._runner.converter)

    def _move(self, instance: WorkflowInstance, jobs: list[Any], commands: Any) -> None:
        """Hand jobs to the code, and record what it asks for."""
        if instance.is_closed:  # a cancelled activity is resolved after the end, too
            return
        events: list[HistoryEvent] = []
        for job in jobs:
            if not job.HasField("do_update") or self._accepts(instance, job.do_update, commands.add().update_response):
                events += events_of(self, job)
        if events:
            task = WorkflowTaskStarted(event_id=self.next_event_id(), event_time=self.time, scheduled_event_id=0)
            instance.activate([*events, task])
        for command in list(instance.outstanding):
            proto = self._recorded(instance, command)
            if not is_change_version(command):  # Core lists the patches by itself
                commands.append(proto)

    def _accepts(self, instance: WorkflowInstance, update: Any, answer: Any) -> bool:
        """Let an update's validator look at it, unless history has its verdict."""
        answer.protocol_instance_id = update.protocol_instance_id
        if update.run_validator:
            try:
                instance.validate_update(update.name, arguments_of(update.input))
            except Exception as error:  # noqa: BLE001  the sender's to handle
                answer.rejected.CopyFrom(failure_proto(failure_of_exception(error, self._runner.converter)))
                return False
        answer.accepted.SetInParent()
        return True

    def _note_patch(self, instance: WorkflowInstance, patch_id: str) -> None:
        effect = side_effect_of(patch_id)
        if effect is not None:
            instance.recorded_side_effects[effect[0]] = effect[1]
        else:
            instance.patches.recorded.add(patch_id)

    def _recorded(self, instance: WorkflowInstance, command: Command) -> Any:
        event = record(command, self.next_event_id(), self.time)
        instance.confirm(event)
        if self._runner.on_command is not None:
            self._runner.on_command(self.run_id, command)
        if isinstance(event, TimerStarted):
            self._timers[int(event.timer_id)] = event.event_id
        request = instance.relations.requests.get(event.event_id)
        child = instance.relations.children.get(event.event_id)
        seq = (request.child.initiated_event_id if request is not None and request.child else None) or event.event_id
        proto = command_proto(command, seq, self._info.task_queue)
        if child is not None:
            set_cancellation_type(proto, child.cancellation_type)
        return proto

    def _answer(self, query: Any, answer: Any) -> None:
        assert self._instance is not None
        converter = self._runner.converter
        answer.query_id = query.query_id
        try:
            found = self._instance.query(query.query_type, converter.decode(arguments_of(query.arguments)))
            answer.succeeded.response.CopyFrom(result_proto(converter.encode(found)))
        except Exception as error:  # noqa: BLE001  the asker's to handle
            answer.failed.CopyFrom(failure_proto(failure_of_exception(error, converter)))

    def _evict(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.evict()
            self._runner.lanes.give_back(self._lane)

    # What jobs ask.

    def next_event_id(self) -> int:
        """Number the next event."""
        self._last_event_id += 1
        return self._last_event_id

    def child(self, seq: int) -> ChildWorkflowHandle | None:
        """Return a child without an outcome."""
        return self._instance.relations.children.get(seq) if self._instance else None

    def request(self, seq: int) -> ExternalRequest | None:
        """Return a request to another execution without an outcome."""
        return self._instance.relations.requests.get(seq) if self._instance else None

    def cancel_request_of(self, child: ChildWorkflowHandle) -> ExternalRequest | None:
        """Return the request that asks a child to cancel."""
        requests = self._instance.relations.requests.values() if self._instance else ()
        return next((request for request in requests if request.child is child), None)

    def timer_event(self, seq: int) -> int:
        """Return the id of the event that started a timer."""
        return self._timers.get(seq, 0)
