"""What ``mute`` and ``unmute`` share."""

from typing import TYPE_CHECKING, ClassVar

from control.errors import CommandError
from media.api.fields import Line
from media.commands.base import HEARING, Queued
from media.session.state import State

if TYPE_CHECKING:
    from media.session.session import Session


class Muting(Queued):
    """A command about a track, or all of them."""

    states: ClassVar[tuple[State, ...]] = HEARING
    track_id: Line | None = None
    """The session's id for the caller, ``server-side-track`` for what we play; absent: both, as far as they are
    there."""

    def check(self, session: "Session") -> None:
        """Raise CommandError unless there is such a track."""
        super().check(session)
        if self.track_id not in (None, session.id, session.track.id):
            raise CommandError(
                f'command "{self.command}": there is no track {self.track_id!r}; '
                f"there are {session.id!r} (the caller) and {session.track.id!r}",
                404,
            )
