"""``hangup``"""

from typing import TYPE_CHECKING, Literal

from media.api.fields import Headers, Phrase
from media.commands.base import Urgent

if TYPE_CHECKING:
    from media.session.session import Session


class Hangup(Urgent):
    """End the call, or only the transfer."""

    command: Literal["hangup"] = "hangup"
    reason: Phrase | None = None
    """Comes back in the event, and goes to the far end; ``system`` when absent."""
    initiator: Phrase | None = None
    """Comes back in the event; ``system`` when absent."""
    headers: Headers = None
    """Extra headers of our BYE."""
    refer: bool = False
    """Extension: whether only the transfer ends, and the caller is back with the bot."""

    def act(self, session: "Session") -> None:
        """End the call, or with `refer` only the transfer, whatever it is doing."""
        if not self.refer:
            session.call.bye_headers |= self.headers or {}
            session.finish(self.initiator or "system", self.reason or "system")
        elif session.transfer is None:
            raise self.unfit('there is no transfer that "refer" could end')
        else:
            session.transfer.hang_up(self.reason or "system", self.headers or {})
