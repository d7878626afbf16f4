"""``ringing``"""

from typing import TYPE_CHECKING, Literal

from media.api.fields import Sound
from media.api.options import RecorderSwitch
from media.commands.base import Queued

if TYPE_CHECKING:
    from media.session.session import Session


class Ringing(Queued):
    """Tell the caller that it rings: 180, or 183 with sound before the answer."""

    command: Literal["ringing"] = "ringing"
    recorder: RecorderSwitch = None
    """Record from now on where there is early media, else from the answer on; true is an option with its defaults."""
    early_media: bool = False
    """Whether the caller hears us before the answer (183)."""
    ringtone: Sound | None = None
    """Played to the caller until ``accept``, as ``play`` would; implies `early_media`."""

    async def carry_out(self, session: "Session") -> None:
        """As the session's kind of call does it."""
        await session.line.ringing(self)
