"""What ``tts`` and ``play`` share."""

from typing import ClassVar

from media.api.fields import Line, Wait
from media.commands.base import HEARING, Queued
from media.session.state import State

MILLISECONDS_FROM = 600
"""A ``waitInputTimeout`` above this many seconds is meant in milliseconds (old clients)."""


class Playing(Queued):
    """What ``tts`` and ``play`` share."""

    states: ClassVar[tuple[State, ...]] = HEARING
    for_caller: ClassVar[bool] = True
    plays: ClassVar[bool] = True
    play_id: Line | None = None
    """Name of the play in its events. ``tts``: the same one continues what is being said, another replaces it.
    ``play``: the URL when absent."""
    auto_hangup: bool = False
    """Hang up when this has been played to its end."""
    wait_input_timeout: Wait | None = None
    """Seconds that the caller may do nothing after the play has ended; then ``silence`` comes, with the track id of
    what we play. 0 and absent: no limit. A value above 600 is milliseconds."""

    @property
    def input_seconds(self) -> float | None:
        """Seconds to wait for the caller after playing, None for no limit."""
        wait = self.wait_input_timeout
        if not wait:
            return None
        return wait / 1000 if wait > MILLISECONDS_FROM else wait
