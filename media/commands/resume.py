"""``resume``"""

from typing import TYPE_CHECKING, ClassVar, Literal

from media.commands.base import HEARING, Queued
from media.session.state import State

if TYPE_CHECKING:
    from media.session.session import Session


class Resume(Queued):
    """Go on where ``pause`` held what was playing."""

    command: Literal["resume"] = "resume"
    states: ClassVar[tuple[State, ...]] = HEARING
    plays: ClassVar[bool] = True

    async def carry_out(self, session: "Session") -> None:
        """Go on."""
        if not session.player.busy:
            raise self.unfit("nothing is playing")
        session.player.resume()
        session.caller.attention.resumed()
