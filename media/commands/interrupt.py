"""``interrupt``"""

from typing import TYPE_CHECKING, Literal

from media.api.fields import Ms
from media.commands.base import Urgent

if TYPE_CHECKING:
    from media.session.session import Session


class Interrupt(Urgent):
    """Stop what is playing, and drop what waits to be played."""

    command: Literal["interrupt"] = "interrupt"
    graceful: bool = False
    """Let the text that is being spoken end."""
    fade_out_ms: Ms | None = None
    """Milliseconds in which it falls silent, as far as its audio is there (about a second)."""

    def act(self, session: "Session") -> None:
        """Cut what is on, and forget what waits to be played."""
        session.forget_plays()
        session.interrupt(graceful=self.graceful, fade_ms=self.fade_out_ms or 0)
