"""``history``"""

from typing import TYPE_CHECKING, Literal

from media.api import events
from media.api.fields import Line, Text
from media.commands.base import Queued
from media.session.clock import now_ms

if TYPE_CHECKING:
    from media.session.session import Session


class History(Queued):
    """Add a line to the conversation's history; it comes back as ``addHistory``."""

    command: Literal["history"] = "history"
    speaker: Line
    """Such as ``user`` or ``assistant``."""
    text: Text
    """What was said."""

    async def carry_out(self, session: "Session") -> None:
        """Add to the record of the conversation."""
        session.send(
            events.AddHistory(sender=session.id, timestamp=now_ms(), speaker=self.speaker, text=self.text)
        )
