"""``pause``"""

from typing import TYPE_CHECKING, ClassVar, Literal

from media.commands.base import HEARING, Queued
from media.session.state import State

if TYPE_CHECKING:
    from media.session.session import Session


class Pause(Queued):
    """Hold what is playing where it is."""

    command: Literal["pause"] = "pause"
    states: ClassVar[tuple[State, ...]] = HEARING
    plays: ClassVar[bool] = True

    async def carry_out(self, session: "Session") -> None:
        """Keep what is on where it is."""
        if not session.player.busy:
            raise self.unfit("nothing is playing")
        session.player.pause()
        session.caller.attention.paused()
