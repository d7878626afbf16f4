"""``accept``"""

from typing import TYPE_CHECKING, Literal

from media.api.options import CallOption
from media.commands.base import Queued

if TYPE_CHECKING:
    from media.session.session import Session


class Accept(Queued):
    """Answer the incoming call."""

    command: Literal["accept"] = "accept"
    option: CallOption
    """How the call is heard, spoken to and recorded."""

    async def carry_out(self, session: "Session") -> None:
        """As the session's kind of call does it."""
        await session.line.accept(self)
