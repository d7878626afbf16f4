"""``reject``"""

from typing import TYPE_CHECKING, Literal

from media.api.fields import Code, Phrase
from media.commands.base import Queued

if TYPE_CHECKING:
    from media.session.session import Session


class Reject(Queued):
    """Refuse the incoming call."""

    command: Literal["reject"] = "reject"
    reason: Phrase
    """Told to the caller in a ``Reason`` header."""
    code: Code | None = None
    """SIP status; 603 (declined) when absent."""

    async def carry_out(self, session: "Session") -> None:
        """As the session's kind of call does it."""
        await session.line.reject(self)
