"""Task tokens: text that names one attempt of one activity. What it is made of is nobody else's business."""

from __future__ import annotations

from typing import NamedTuple

from nbflow.exceptions import ClientError

__all__ = ["TaskToken"]


class TaskToken(NamedTuple):
    """What a token stands for."""

    run_id: str
    scheduled_event_id: int
    attempt: int

    def to_text(self) -> str:
        """Write it as text that goes through URLs, shells and tables as it is."""
        return f"{self.run_id}.{self.scheduled_event_id}.{self.attempt}"

    @classmethod
    def of_text(cls, text: str) -> TaskToken:
        """Read a token.

        Raises
        ------
        ClientError
            When the text is no token.
        """
        try:
            run_id, event_id, attempt = text.rsplit(".", 2)
            return cls(run_id, int(event_id), int(attempt))
        except (AttributeError, ValueError) as error:
            msg = f"{text!r} is no task token; take the one that activity_info().task_token gave, as it is"
            raise ClientError(msg) from error
