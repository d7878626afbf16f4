"""``invite``"""

from typing import TYPE_CHECKING, ClassVar, Literal

from media.api.options import CallOption
from media.commands.base import Queued
from media.session.state import State

if TYPE_CHECKING:
    from media.session.session import Session


class Invite(Queued):
    """Place a call, take a browser's offer, or begin the audio of ``/call``."""

    command: Literal["invite"] = "invite"
    states: ClassVar[tuple[State, ...]] = (State.IDLE, State.WAITING)
    option: CallOption
    """How the call is made, heard, spoken to and recorded."""

    async def carry_out(self, session: "Session") -> None:
        """As the session's kind of call does it."""
        await session.line.invite(self)
