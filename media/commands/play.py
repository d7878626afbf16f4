"""``play``"""

from typing import TYPE_CHECKING, Literal

from media.api.fields import Ms, Sound
from media.commands.playing import Playing
from media.session.play import Play as Playback
from media.session.sound import sound

if TYPE_CHECKING:
    from media.session.session import Session


class Play(Playing):
    """Play a file."""

    command: Literal["play"] = "play"
    url: Sound
    """``http://``, ``https://``, or a name below the operator's folder of sounds; WAV, MP3, Ogg (Vorbis, Opus) or
    FLAC."""
    offset_ms: Ms = 0
    """Where in the file it begins."""

    async def carry_out(self, session: "Session") -> None:
        """Play it at once, in place of what is on."""
        self.start(session)

    def start(self, session: "Session") -> Playback:
        """The same; the play that it has become."""
        playing = session.player.play(
            sound(session.services, self.url, self.offset_ms), self.play_id or self.url
        )
        playing.auto_hangup = self.auto_hangup
        playing.wait_input = self.input_seconds
        return playing
