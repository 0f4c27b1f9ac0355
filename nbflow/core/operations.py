"""What workflow code holds while it waits: handles of activities and timers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbflow.core.bridge import block_on, in_workflow_greenlet
from nbflow.core.commands import ScheduleActivityTask, StartTimer
from nbflow.core.loop import DeterministicLoop, OrderedFuture

if TYPE_CHECKING:
    from typing import Protocol

    class _Canceller(Protocol):
        loop: DeterministicLoop

        def cancel_activity(self, handle: ActivityHandle, reason: Any) -> bool: ...
        def cancel_timer(self, timer: DurableTimer) -> None: ...


__all__ = ["ActivityHandle", "DurableTimer", "SleepFuture"]


class ActivityHandle(OrderedFuture):
    """A scheduled activity: await it, or in a plain ``def`` workflow call ``.result()``.

    Parameters
    ----------
    owner
        The execution.
    command
        What scheduled it.
    """

    def __init__(self, owner: _Canceller, command: ScheduleActivityTask) -> None:
        super().__init__(loop=owner.loop)
        self._owner: _Canceller | None = owner
        self.command = command
        self.scheduled_event_id: int | None = None
        self.state = "New"
        self.cancel_requested = False

    @property
    def activity_type(self) -> str:
        """Name of the activity."""
        return self.command.activity_type

    @property
    def activity_id(self) -> str:
        """Id of this call within the execution."""
        return self.command.activity_id

    def result(self) -> Any:
        """Return the activity's result, waiting for it in a plain ``def`` workflow.

        Returns
        -------
        object
            What the activity returned.

        Raises
        ------
        ActivityError
            When it failed for good.
        asyncio.CancelledError
            When it was cancelled.
        asyncio.InvalidStateError
            In an ``async def`` workflow, when it is not done: await it instead.
        """
        if not self.done() and in_workflow_greenlet():
            return block_on(self)
        try:
            return super().result()
        finally:
            del self  # an error's traceback holds this frame, and this handle holds the error

    def cancel(self, msg: Any = None) -> bool:
        """Ask the activity to cancel, the way its cancellation type says.

        Returns
        -------
        bool
            False if it was done already.
        """
        return self._owner is not None and self._owner.cancel_activity(self, msg)

    def cancel_now(self, msg: Any = None) -> bool:
        """Wake whoever waits with CancelledError, whatever the activity does."""
        return super().cancel(msg)

    def detach(self) -> None:
        """Let go of the execution: it has nothing to do with this activity any more."""
        self._owner = None

    def fail(self, error: BaseException) -> None:
        """Wake whoever waits with an error; nobody waiting is no mistake."""
        self.set_exception(error)
        self._log_traceback = False


class DurableTimer:
    """A timer that history knows: what ``call_later`` returns inside a workflow.

    Parameters
    ----------
    owner
        The execution.
    command
        What started it.
    when
        Loop time at which it is due, in seconds.
    callback
        Called when it fires.
    """

    __slots__ = ("_callback", "_cancelled", "_owner", "_when", "command", "started_event_id", "state")

    def __init__(self, owner: _Canceller, command: StartTimer, when: float, callback: Callable[[], object]) -> None:
        self._owner: _Canceller | None = owner
        self._callback: Callable[[], object] | None = callback
        self._when = when
        self._cancelled = False
        self.command = command
        self.started_event_id: int | None = None
        self.state = "New"

    def cancel(self) -> None:
        """Forget it; nothing happens if it fired or was cancelled already."""
        if self._owner is not None and not self._cancelled and self.state not in ("Fired", "Canceled"):
            self._owner.cancel_timer(self)

    def cancel_now(self) -> None:
        """Never call back, whatever becomes of it."""
        self._cancelled = True
        self._callback = self._owner = None

    def cancelled(self) -> bool:
        """Return True if it was cancelled."""
        return self._cancelled

    def when(self) -> float:
        """Return the loop time at which it is due, in seconds."""
        return self._when

    def fire(self) -> None:
        """Call back."""
        callback = self._callback
        self._callback = self._owner = None  # what waits holds this timer in turn
        if callback is not None and not self._cancelled:
            callback()


class SleepFuture(OrderedFuture):
    """What ``nbflow.sleep`` returns in an ``async def`` workflow; cancelling it cancels the timer."""

    timer: Any = None

    def wake(self) -> None:
        """Sleep no longer: the timer fired."""
        if not self.done():
            self.set_result(None)

    def cancel(self, msg: Any = None) -> bool:
        """Stop sleeping."""
        if self.timer is not None:
            self.timer.cancel()
        return super().cancel(msg)
