"""``mute``"""

from typing import TYPE_CHECKING, ClassVar, Literal

from media.commands.muting import Muting

if TYPE_CHECKING:
    from media.session.session import Session


class Mute(Muting):
    """Silence a track."""

    command: Literal["mute"] = "mute"
    for_caller: ClassVar[bool] = True

    async def carry_out(self, session: "Session") -> None:
        """Silence it.

        The caller stays muted to the end of the call. What is played stays it to the end of the play, however many
        texts it has: the next one is heard.
        """
        caller, player = session.caller, session.player
        if self.track_id == session.id and caller.since is None:
            raise self.unfit("the caller's audio is not connected yet")
        if self.track_id == session.track.id and not player.busy:
            raise self.unfit("nothing is playing that could be muted")
        if self.track_id != session.track.id:
            caller.mute(muted=True)
        if self.track_id != session.id and player.busy:
            player.mute(muted=True)
