"""Task tokens: opaque text that names one attempt of one activity."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from nbflow.exceptions import ClientError

__all__ = ["TaskToken"]


class TaskToken(NamedTuple):
    """What a token stands for."""

    run_id: str
    scheduled_event_id: int
    attempt: int

    def to_text(self) -> str:
        """Write it as text that goes through URLs, shells and file names as it is."""
        text = f"{self.run_id}/{self.scheduled_event_id}/{self.attempt}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def of_text(cls, text: str) -> TaskToken:
        """Read a token.

        Raises
        ------
        ClientError
            When the text is no token.
        """
        try:
            plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            run_id, event_id, attempt = plain.split("/")
            return cls(run_id, int(event_id), int(attempt))
        except (TypeError, ValueError, binascii.Error) as error:
            msg = f"{text!r} is no task token; take the one that activity_info().task_token gave, as it is"
            raise ClientError(msg) from error
