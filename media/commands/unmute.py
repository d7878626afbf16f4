"""``unmute``"""

from typing import TYPE_CHECKING, Literal

from media.commands.muting import Muting

if TYPE_CHECKING:
    from media.session.session import Session


class Unmute(Muting):
    """Undo ``mute``."""

    command: Literal["unmute"] = "unmute"

    async def carry_out(self, session: "Session") -> None:
        """Let it be heard; a track that is not muted stays as it is."""
        if self.track_id != session.track.id:
            session.caller.mute(muted=False)
        if self.track_id != session.id:
            session.player.mute(muted=False)
